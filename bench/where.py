"""Where it goes: what a start imports, by who brought it, and what a warm call asks of AWS.

Python tells what each import took by itself (``-X importtime``), in wall time, of a process that is
told nothing else; so its sum is near the cold start's CPU, without AWS's runtime client and the
first answer.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from local.emulator import PYTHON

COUNTED = Path(__file__).parent / "cost/measured.json"
BROUGHT = {
    # by whom: the packages that are there for its sake
    "botocore": ("botocore", "boto3", "s3transfer", "urllib3", "dateutil", "jmespath", "six"),
    "pydantic": ("pydantic", "pydantic_core", "annotated_types", "typing_inspection"),
    "Powertools": ("aws_lambda_powertools",),
    "OpenAI's SDK": (
        "openai",
        "httpx2",
        "httpcore2",
        "anyio",
        "h11",
        "truststore",
        "idna",
        "jiter",
    ),
    "Easel": ("easel",),
    "what is made": ("app",),
}
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")


def imported(code: Sequence[Path], environ: Mapping[str, str], what: str) -> dict[str, float]:
    """Return what an import takes, in milliseconds, by who brought it."""
    path = ":".join(str(folder) for folder in code)
    run = subprocess.run(
        [str(PYTHON), "-S", "-X", "importtime", "-c", f"import {what}"],
        env={**environ, "PYTHONPATH": path},
        cwd=code[0],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = dict.fromkeys((*BROUGHT, "Python"), 0.0)
    for micros, module in _LINE.findall(run.stderr):
        package = module.partition(".")[0]
        whose = next((who for who, names in BROUGHT.items() if package in names), "Python")
        taken[whose] += int(micros) / 1000
    return taken


def table(taken: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield the table of imports, a start a row."""
    names = (*BROUGHT, "Python")
    yield f"| a start imports, in ms | {' | '.join(names)} | all |"
    yield "|---|" + "---:|" * (len(names) + 1)
    for name, parts in taken.items():
        cells = [f"{parts[part]:.0f}" for part in names]
        yield f"| {name} | {' | '.join(cells)} | {sum(parts.values()):.0f} |"


def asked_by_a_hit() -> list[str]:
    """Return the calls of AWS that a cache hit makes, as ``make cost`` counted them."""
    door = json.loads(COUNTED.read_text())["hit"]["counts"]["door"]
    return [name for name, times in door["calls"].items() for _ in range(times)]
