"""``python -m bench.cost``: what Easel costs on AWS, measured now, printed and put into the README.

Of what is measured the calls, units and bytes are always the same; a test holds them. The CPU is
this machine's, and a hundredth of the cost at most.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from bench.cost.measuring import Measured, measure
from bench.cost.tables import RECORDED, USUAL, Tables, models
from local.standin import Standin
from local.template import ROOT
from tests.functions.conftest import deploy

README = ROOT / "README.md"
MARKS = "<!-- make cost -->", "<!-- /make cost -->"


def shown(text: str) -> str:
    """Return what the README shows between its marks."""
    start, end = MARKS
    return text.partition(start)[2].partition(end)[0].strip()


def put(text: str, tables: str) -> str:
    """Return the README with the tables in it."""
    start, end = (re.escape(mark) for mark in MARKS)
    body = f"{MARKS[0]}\n{tables}\n{MARKS[1]}"
    return re.sub(f"{start}.*?{end}", lambda _: body, text, flags=re.DOTALL)


def counted(name: str, measured: Measured) -> Iterator[str]:
    """Yield which calls it was, by who called."""
    yield f"\n{name}:"
    for who, counts in measured.counts.items():
        calls = Counter(counts.calls)
        said = ", ".join(f"{count} {call}" for call, count in calls.items())
        units = (
            f"{counts.read_units:g} read, {counts.write_units} write, {counts.index_units} index"
        )
        cpu = f"{counts.cpu_seconds * 1000:.0f} ms CPU"
        yield f"  {who}: {said}; units: {units}; {cpu}"


def main() -> None:
    """Measure, record, print."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Standin() as standin,
        deploy(patch, standin) as deployed,
    ):
        record = measure(deployed, models())
    RECORDED.write_text(json.dumps(record, indent=1) + "\n")
    tables = Tables.recorded()
    README.write_text(put(README.read_text(), tables.readme()))
    for name in (USUAL, "edit", "hit", "status", "result", "authorizer", "sweep"):
        print("\n".join(counted(name, tables.measured[name])))
    print(f"\n{tables.readme()}")


if __name__ == "__main__":
    main()
