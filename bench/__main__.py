"""``python -m bench``: what a picture costs our functions, beside a plain script's picture.

The built functions run in processes of their own (``probe``) on the local stack's AWS and its
stand-in for OpenAI. They have a work queue of their own, so that no worker but the measured one
takes their messages. All processes do one call each in turn; only ratios of one run mean anything.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Any

import boto3
from PIL import Image

from easel import uploads
from local import stack
from local.standin import Control
from local.template import ROOT

HERE = Path(__file__).parent
PYTHON = ROOT / ".local/venv/ministack/bin/python"
WARM_UPS, CALLS, STARTS, SLOW_CALLS, SLOW_SECONDS = 3, 9, 5, 2, 10
IMAGE_BYTES = 2_000_000
MOST_INPUTS, MOST_IMAGES = 16, 10
FUNCTIONS = ("generate", "edit", "variation", "worker", "jobs", "models", "authorizer", "sweep")
Event = dict[str, Any]


class Probe:
    """A measured process, from its import on."""

    def __init__(self, module: str, environ: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            command = [str(PYTHON), str(HERE / "probe.py"), module]
            self._process = Popen(
                command, env=environ, stdin=PIPE, stdout=PIPE, stderr=output, text=True
            )
        self._log = log
        self.imported = self.receive()

    def send(self, event: Event) -> None:
        """Begin a call."""
        if self._process.stdin:
            print(json.dumps(event), file=self._process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """Return what a call took, when it is done."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            sys.exit(f"A measured process died:\n{self._log.read_text()[-4000:]}")
        return dict(json.loads(line))

    def close(self) -> str:
        """End the process; return its profile, if it made one."""
        return str(self._process.communicate()[0])


class Bench:
    """The measured processes of one run, and what their calls took: by name, in order."""

    def __init__(self, described: dict[str, Any], state: Path) -> None:
        self.taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._build, self._log = state / "build", state / "probe.log"
        # Whoever builds meanwhile does not change what is measured.
        shutil.copytree(ROOT / ".local/build", self._build)
        self._sqs = boto3.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="bench")["QueueUrl"]
        self._environ = {
            **described["environment"],
            **described["aws"],
            **({"WARM_UPS": str(WARM_UPS)} if os.environ.get("PROFILE") else {}),
            "HOME": str(state),
            "WORK_QUEUE_URL": self._queue,
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_OPENAI_KEY": "sk-standin",
            "BENCH_OPENAI_URL": f"{described['standin_url']}/v1",
        }

    def start(self, name: str) -> Probe:
        """Start a function's process, or that of a module beside this one."""
        function = name in FUNCTIONS
        folder = self._build / f"{name.capitalize()}Function" if function else HERE
        path = f"{folder}:{self._build}/Dependencies/python:{self._build}/Easel/python"
        environ = {**self._environ, "PYTHONPATH": path}
        probe = Probe("app" if function else name, environ, self._log)
        self.taken[f"import {name}"].append(probe.imported)
        return probe

    def imports(self) -> None:
        """Import everything in turn, each time in a new process."""
        for _ in range(STARTS):
            for name in ("baseline", *FUNCTIONS, "plain"):
                self.start(name).close()

    def pictures(self) -> None:
        """Make pictures in turn: by the plain script, by HTTPS calls that wait and one that not."""
        names = ("plain", "generate", "worker", "generate", "jobs")
        plain, door, worker, both, jobs = (self.start(name) for name in names)
        for _ in range(WARM_UPS + CALLS):
            self._call("plain", plain, {"prompt": "plainly", **ASKED})
            self._waited("door", door, worker, response_format="url")
            self._waited("both", both, worker)
            opened = self._call("open", door, generate({"prefer": "respond-async"}))
            self._call("worker", worker, self._message())
            self._call("result", jobs, result(opened["headers"]["location"]))
        for _ in range(SLOW_CALLS):
            self._waited("slow", door, worker, response_format="url", prompt="slowly")
        for probe in (both, jobs):
            probe.close()
        for name, probe in (("plain", plain), ("door", door), ("worker", worker)):
            if profile := probe.close():
                print(f"\n{name}: CPU seconds of all profiled calls\n{profile}")

    def largest(self) -> None:
        """Take the largest inputs there may be, and give the largest answer that is usual."""
        edit, worker, jobs = (self.start(name) for name in ("edit", "worker", "jobs"))
        body = {**ASKED, "prompt": "largely", "size": "1536x1024", "n": MOST_IMAGES}
        data = noise()
        body["images"] = [{"file_id": self._uploaded(data)} for _ in range(MOST_INPUTS)]
        opened = self._call("large edit", edit, asked("edit", body))
        self._call("large worker", worker, self._message())
        event = result(opened["headers"]["location"])
        event["queryStringParameters"] = {"response_format": "b64_json"}
        self._call("large jobs", jobs, event)
        for probe in (edit, worker, jobs):
            probe.close()

    def _uploaded(self, data: bytes) -> str:
        """Put an upload; return its id."""
        file_id = uploads.new_id(time.time())
        key = uploads.key("demo", file_id)
        boto3.client("s3").put_object(Bucket=self._environ["BUCKET"], Key=key, Body=data)
        return file_id

    def _waited(self, name: str, door: Probe, worker: Probe, **body: str) -> None:
        """Make one picture while the door waits for it."""
        door.send(generate({}, **body))
        self._call("worker", worker, self._message())
        self._call(name, door)

    def _call(self, name: str, probe: Probe, event: Event | None = None) -> dict[str, Any]:
        """Make a call, or end the one that was sent; return the answer, if it is right."""
        if event:
            probe.send(event)
        reply = probe.receive()
        answer: dict[str, Any] = reply["answer"]
        done = answer.get("statusCode") == 200 and f'"bytes": {IMAGE_BYTES}' in answer["body"]
        done = done or answer.get("statusCode") in (202, 303) or answer.get("bytes") == IMAGE_BYTES
        if not done and answer != {"batchItemFailures": []}:
            sys.exit(f"{name} answered {answer}")
        self.taken[name].append(reply)
        return answer

    def _message(self) -> Event:
        """Take the one message of the queue, as the event Lambda makes of it."""
        [got] = self._sqs.receive_message(QueueUrl=self._queue, WaitTimeSeconds=20)["Messages"]
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=got["ReceiptHandle"])
        event = example("worker", "queue")
        event["Records"][0]["body"] = got["Body"]
        return event


ASKED = {"model": "gpt-image-2.5-flare", "quality": "medium", "size": "1024x1024"}


def example(function: str, door: str) -> Event:
    """Return events/{function}/{door}.json, as if sent now."""
    event: Event = json.loads((ROOT / f"events/{function}/{door}.json").read_text())
    if door == "https":
        event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
    return event


def asked(function: str, body: Event) -> Event:
    """Return the event of a JSON call that does not wait."""
    event = {**example("generate", "https"), "resource": f"/images/{function}s"}
    event["headers"] |= {"prefer": "respond-async"}
    return event | {"body": json.dumps(body)}


def noise(edge: int = 4096) -> bytes:
    """Return a picture of 50 MB: noise that no format makes smaller."""
    stream = BytesIO()
    picture = Image.frombytes("RGB", (edge, edge), os.urandom(edge * edge * 3))
    picture.save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def generate(headers: dict[str, str], prompt: str = "quickly", **body: str) -> Event:
    """Return the event of a new picture: each is another's prompt, so that none is a repeat."""
    event = example("generate", "https")
    event["headers"] |= headers
    return event | {"body": json.dumps({"prompt": f"{prompt} {time.time()}", **ASKED, **body})}


def result(location: str) -> Event:
    """Return the event that reads a job's result."""
    event = example("jobs", "https")
    event["requestContext"]["path"] = location
    return event | {
        "resource": "/jobs/{id}/result",
        "pathParameters": {"id": location.split("/")[-2]},
        "queryStringParameters": {"response_format": "url"},
    }


WARM = {
    "plain": "plain script",
    "door": "door: opens, waits, answers with a URL",
    "worker": "worker",
    "both": "door, answering with base64 too",
    "slow": f"door, upstream {SLOW_SECONDS} s slower",
    "open": "door, only opening (respond-async)",
    "result": "jobs, reading the result",
}
LARGE = {
    "large edit": f"door, an edit of {MOST_INPUTS} uploads of 50 MB",
    "large worker": f"worker of that edit, {MOST_IMAGES} images at 1536x1024",
    "large jobs": "jobs, composing all of them in base64",
}
FIRST = {"generate": "door", "worker": "worker", "jobs": "result", "plain": "plain"}


def report(taken: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the tables, line by line."""
    warm = {name: [one["cpu"] * 1000 for one in taken[name]] for name in taken}
    for name in WARM:
        # The worker is called by every door in turn, the slow door only when all is warm.
        warm[name] = warm[name][len(warm[name]) // (WARM_UPS + CALLS) * WARM_UPS :]
    plain, size = median(warm["plain"]), taken["plain"][-1]["memory"]
    yield "| warm, one picture | CPU ms | least to most | of plain | peak MB | of plain |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, what in WARM.items():
        peak = taken[name][-1]["memory"]
        yield f"{_cells(what, warm[name], plain)} {peak / 1e6:.0f} | {peak / size:.2f} |"
    both = median(warm["door"]) + median(warm["worker"])
    yield f"| **door + worker** | {both:.1f} | | **{both / plain:.2f}** | | |"
    yield "\n| cold | CPU ms of the import | least to most | of baseline | and the first call, ms |"
    yield "|---|---:|---:|---:|---:|"
    for name in ("baseline", *FUNCTIONS, "plain"):
        first = taken[FIRST[name]][0]["cpu"] * 1000 if name in FIRST else None
        cells = _cells(name, warm[f"import {name}"], median(warm["import baseline"]))
        yield f"{cells} {'' if first is None else f'{first:.1f}'} |"
    yield "\n| large | CPU ms | peak MB | above idle |"
    yield "|---|---:|---:|---:|"
    for name, what in LARGE.items():
        [once], idle = taken[name], taken[f"import {name.split()[1]}"][0]["memory"]
        cpu, peak = once["cpu"] * 1000, once["memory"]
        yield f"| {what} | {cpu:.0f} | {peak / 1e6:.0f} | {(peak - idle) / 1e6:.0f} |"


def _cells(name: str, times: list[float], base: float) -> str:
    middle = median(times)
    return f"| {name} | {middle:.1f} | {min(times):.1f} to {max(times):.1f} | {middle / base:.2f} |"


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
        described = stack.start(started, 0, state, [])
        standin = Control(described["standin_url"])
        standin.rule(containing="slowly", delay_seconds=SLOW_SECONDS, image_bytes=IMAGE_BYTES)
        standin.rule(image_bytes=IMAGE_BYTES)
        bench = Bench(described, state)
        bench.pictures()
        if os.environ.get("PROFILE"):
            return
        bench.imports()
        bench.largest()
    head = ABOUT.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine())
    text = "\n".join([head, *report(bench.taken), ""])
    (HERE / "RESULTS.md").write_text(text)
    print(text)


ABOUT = f"""\
# What a picture costs

`make bench`, {{date}}: {{machine}}.

One 1024x1024 PNG of {IMAGE_BYTES:,} bytes. Medians of {CALLS} calls (of all doors' for the worker,
{SLOW_CALLS} of the slow one) after {WARM_UPS}, all processes in turn; CPU is user and system of
that process. The plain script does the same with the openai SDK and boto3. Baseline: `import
openai, boto3, pydantic, aws_lambda_powertools` and three clients; {STARTS} processes of each.
"""

if __name__ == "__main__":
    main()
