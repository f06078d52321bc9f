"""Where it goes: what a start imports, by who brought it, and how much of a warm call asks AWS.

Python tells what each import took by itself (``-X importtime``), in wall time, of a process that is
told nothing else; so its sum is near the cold start's CPU, without AWS's runtime client and the
first answer.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from local.emulator import PYTHON

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


def asking(taken: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    """Yield the table of warm calls: their CPU, and that of what they ask of AWS."""
    yield "| a warm call, CPU in ms | all | AWS is asked | takes of it |"
    yield "|---|---:|---:|---:|"
    for name, calls in taken.items():
        whole, times, part = (median(one[of] for one in calls) for of in ("cpu", "asked", "asking"))
        yield f"| {name} | {whole * 1000:.1f} | {times:g} times | {part * 1000:.1f} |"
