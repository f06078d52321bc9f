"""``python -m bench``: what Easel costs in CPU, memory and time, each beside a plain baseline.

All processes do one call each in turn, on the local stack's AWS and its stand-in for OpenAI; only
ratios of one run mean anything. With PROFILE in the environment the warm calls are profiled
instead.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import boto3

from bench import cold, where
from bench.functions import (
    ASYNC,
    CALLS,
    HERE,
    IMAGE_BYTES,
    MANY,
    MANY_BYTES,
    MOST_INPUTS,
    WARM_UPS,
    Bench,
    Event,
    example,
    generate,
    job,
    with_headers,
)
from local import stack
from local.licences import SHIPPED
from local.servers import free_port
from local.standin import Control

STARTS = 7
IMPORTS = {
    # what a start imports until it can answer, or call upstream
    **dict.fromkeys(("one client", "authorizer", "jobs", "generate"), "app"),
    "worker": "app, easel.aws.secrets, easel.upstream",
}
Imports = dict[str, dict[str, float]]


class Row(NamedTuple):
    """A measure, the baseline it is held against, and the ratio it is to reach."""

    measure: str
    baseline: str
    values: list[float]
    bases: list[float]
    reach: float
    takes: str = ""
    """What it would take to reach it."""
    unit: str = "ms"

    def __str__(self) -> str:
        value, base = median(self.values), median(self.bases)
        ratio = value / base
        spread = f"{min(self.values):.1f} to {max(self.values):.1f}"
        reached = "yes" if self.reached else "**no**"
        return (
            f"| {self.measure} | {value:.1f} {self.unit} ({spread}) | {self.baseline} | "
            f"{base:.1f} {self.unit} | **{ratio:.2f}** | {self.reach:g} | {reached} |"
        )

    @property
    def reached(self) -> bool:
        """Whether the ratio of the medians is what it is to be."""
        return median(self.values) / median(self.bases) <= self.reach


RIGHT: dict[str, Callable[[dict[str, Any]], bool]] = {
    # what tells a first answer that is as it should be
    **dict.fromkeys(("plain", "one client", "jobs"), lambda answer: answer["statusCode"] == 200),
    "generate": lambda answer: answer["statusCode"] == 202,
    "authorizer": lambda answer: answer["principalId"] == "demo",
    "worker": lambda answer: answer == {"upstream": "/v1/images/generations"},
}


def colds(bench: Bench, state: Path) -> tuple[dict[str, list[cold.Start]], Imports]:
    """Start every function in turn, so many times, each after one start that does not count.

    Return what that took, and what each imports.
    """
    built = bench.build
    shared = [built / "Dependencies/python", built / "Easel/python"]
    runtime = cold.build_runtime(state / "runtime")
    plain = cold.build_plain(state / "plain", SHIPPED)
    bare = cold.build_one_client(state / "one-client")
    opened, _ = bench.opened()
    port = free_port()
    here = {"api_key": "sk-none", "base_url": f"http://127.0.0.1:{port}/v1"}
    secret = boto3.client("secretsmanager").create_secret(
        Name="bench", SecretString=json.dumps(here)
    )
    environ = {**bench.environ, "UPSTREAM_SECRET": secret["ARN"]}
    asks: dict[str, tuple[list[Path], Callable[[], Event]]] = {
        "plain": ([plain], dict),
        "one client": ([bare], dict),
        "generate": (
            [built / "GenerateFunction", *shared],
            lambda: with_headers(generate(), ASYNC),
        ),
        "jobs": ([built / "JobsFunction", *shared], lambda: job(opened)),
        "authorizer": (
            [built / "AuthorizerFunction", *shared],
            lambda: example("authorizer", "https"),
        ),
        "worker": ([built / "WorkerFunction", *shared], lambda: bench.opened()[1]),
    }
    taken: dict[str, list[cold.Start]] = {name: [] for name in asks}
    for _ in range(1 + STARTS):
        for name, (code, ask) in asks.items():
            start = cold.started([*code, runtime], environ, ask(), state / "cold.log", port)
            if name == "generate":
                bench.message()
            if not RIGHT[name](start.answer):
                sys.exit(f"{name} answered {start.answer}")
            taken[name].append(start)
    imports = {
        name: where.imported([*asks[name][0], runtime], environ, modules)
        for name, modules in IMPORTS.items()
    }
    return {name: starts[1:] for name, starts in taken.items()}, imports


WITHOUT = {
    # what would have to go
    "generate": "jobs without pydantic, logs without Powertools (what is imported: below)",
    "jobs": "jobs without pydantic, logs without Powertools (what is imported: below)",
    "worker": "OpenAI's SDK without the types of chats that it needs itself",
    "authorizer": "DynamoDB without botocore",
    "promises": (
        "fewer promises. The script asks AWS once; door and worker for identity, hold, message, "
        "pace, lease, attempt, two objects, charge, and how the job stands (below)"
    ),
    "hit": "neither to look whether its pictures are still there, nor to count it",
}


def rows(bench: Bench, starts: dict[str, list[cold.Start]]) -> Iterator[Row]:
    """Yield what was measured, in the order of the life of a call."""
    cpu = {name: [start.cpu * 1000 for start in taken] for name, taken in starts.items()}
    plain, one = "openai, boto3, pydantic, Powertools, as sam build leaves them", "one boto3 client"
    for name, what, reach in (
        ("generate", "generate door", 0.35),
        ("worker", "worker, to its first upstream call", 0.50),
        ("jobs", "jobs", 0.30),
        ("authorizer", "authorizer", 0.20),
    ):
        measure = f"cold start to the first answer: {what}"
        yield Row(measure, plain, cpu[name], cpu["plain"], reach, WITHOUT[name])
    for name, reach in (("authorizer", 1.1), ("jobs", 1.3)):
        yield Row(f"the same: {name}", one, cpu[name], cpu["one client"], reach, WITHOUT[name])
    warm, wall = (
        {
            name: [one[kind] * 1000 for one in taken[WARM_UPS:]]
            for name, taken in bench.taken.items()
        }
        for kind in ("cpu", "wall")
    )
    both = [a + b for a, b in zip(warm["door"], warm["worker"], strict=True)]
    generate = "warm generate, door + worker, one 2 MB PNG"
    yield Row(generate, "plain script", both, warm["plain"], 1.5, WITHOUT["promises"])
    read = "a DynamoDB read and a presign in boto3"
    yield Row("warm cache hit", read, warm["hit"], warm["read and presign"], 2.0, WITHOUT["hit"])
    yield Row("warm status read", read, warm["status"], warm["read and presign"], 2.0)
    once = "json, base64, sha256 and a put"
    yield Row("bytes: JSON, base64, digest, upload", once, warm["bytes"], warm["bytes plain"], 1.5)
    idle = bench.taken["one"][0]["resident"]
    above = (bench.taken["many"][0]["memory"] - idle) / 1e6
    image = f"one image of {MANY_BYTES / 1e6:g} MB, decoded"
    yield Row(
        f"peak memory of n={MANY} above idle", image, [above], [MANY_BYTES / 1e6], 10, unit="MB"
    )
    latency = "latency of an answer already there, warm, one after the other"
    yield Row(latency, "two DynamoDB reads in boto3", wall["result"], wall["two reads"], 2.0)


def report(bench: Bench, starts: dict[str, list[cold.Start]], imports: Imports) -> Iterator[str]:
    """Yield the tables, line by line, and of what was not reached why."""
    yield "| measure | here, least to most | beside | there | ratio | to reach | reached |"
    yield "|---|---|---|---:|---:|---:|---|"
    measured = list(rows(bench, starts))
    yield from map(str, measured)
    yield ""
    for row in measured:
        if not row.reached:
            yield f"- To reach {row.reach:g}, {row.measure}: {row.takes}."
    yield "\n| cold start | CPU ms | wall ms |"
    yield "|---|---:|---:|"
    for name, taken in starts.items():
        cpu, wall = median(one.cpu for one in taken), median(one.wall for one in taken)
        yield f"| {name} | {cpu * 1000:.0f} | {wall * 1000:.0f} |"
    yield ""
    yield from where.table(imports)
    yield ""
    yield from where.asking({what: bench.taken[name][WARM_UPS:] for name, what in WARM.items()})
    yield "\n| peak memory | MB |"
    yield "|---|---:|"
    for name, what in MEMORY.items():
        yield f"| {what} | {bench.taken[name][-1]['memory'] / 1e6:.0f} |"
    yield "\n| built | MB | files |"
    yield "|---|---:|---:|"
    for name in ("Dependencies", "Easel"):
        files = [path for path in (bench.build / name).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        yield f"| layer {name} | {size / 1e6:.1f} | {len(files)} |"


WARM = {
    "plain": "plain script",
    "door": "door, that opens and waits",
    "worker": "worker",
    "read and presign": "a DynamoDB read and a presign in boto3",
    "hit": "cache hit",
    "status": "status read",
}
MEMORY = {
    "one": "worker, after its first picture",
    "many": f"worker, {MANY} images at {MANY_BYTES / 1e6:g} MB",
    "large edit": f"door, an edit of {MOST_INPUTS} uploads of 50 MB",
    "large worker": f"worker of that edit, {MANY} images at 1536x1024",
}


def machine() -> str:
    """Return what this was measured on."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    model = next((one.split(":")[1].strip() for one in lines if "model name" in one), "")
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {model or platform.machine()}; {python}"


def main() -> None:
    """Measure, print, and write RESULTS.md; with PROFILE in the environment, print profiles."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Nothing here is to be paid for.
    os.environ.pop("OPENAI_API_KEY", None)
    with ExitStack() as started:
        state = Path(started.enter_context(tempfile.TemporaryDirectory()))
        described: dict[str, Any] = stack.start(started, 0, state, ["ModerationPolicy=off"])
        standin = Control(described["standin_url"])
        standin.rule(containing="many", image_bytes=MANY_BYTES)
        standin.rule(image_bytes=IMAGE_BYTES)
        bench = Bench(described, state)
        bench.pictures()
        bench.answers()
        if os.environ.get("PROFILE"):
            return
        bench.many()
        starts, imports = colds(bench, state)
        head = ABOUT.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
        text = "\n".join([head, *report(bench, starts, imports), ""])
    (HERE / "RESULTS.md").write_text(text)
    print(text)


ABOUT = f"""\
# What Easel takes

`make bench`, {{date}}: {{machine}}.

Medians of {CALLS} calls after {WARM_UPS}, and of {STARTS} cold starts after one, all processes in
turn; CPU is user and system of that process. Ratios of one run alone mean anything. Moderation is
off: it is one more call of OpenAI's.
"""

if __name__ == "__main__":
    main()
