"""``python -m tests.stack.clients.matrix``: every client in every case it can express, as a table.

It starts a stack of its own, or uses the one whose ``stack.json`` EASEL_STACK names. Arguments are
parts of clients' names. The exit code is 1 if a picture did not come, or was not paid just once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, product
from pathlib import Path

from tests.stack.clients.cells import ask
from tests.stack.clients.clients import CLIENTS, FORMATS, FULL_CHAIN, KINDS, Case, Client
from tests.stack.conftest import PARAMETERS, described, start, stop
from tests.stack.running import Running

AT_ONCE = int(os.environ.get("AT_ONCE", "3"))
COLUMNS = [*product(FORMATS, KINDS)]
Cell = tuple[Client, Case]


def main(wanted: list[str]) -> int:
    """Run the cells, print the table and what failed; return the exit code."""
    clients = [one for one in CLIENTS if not wanted or any(part in one.name for part in wanted)]
    absent = {one.name: reason for one in clients if (reason := one.missing())}
    cells = [(one, case) for one in clients if one.name not in absent for case in one.cases()]
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as running:
        outcomes = run(running, cells, Path(folder))
        failed = [(cell, reason) for cell, reason in outcomes.items() if reason]
        report(cells, failed, absent)
    return 1 if failed or not cells else 0


def run(running: Running, cells: list[Cell], folder: Path) -> dict[Cell, str | None]:
    """Return what failed, by cell, in the cells' order."""

    def outcome(cell: Cell) -> str | None:
        try:
            ask(running, *cell, folder)
        except subprocess.CalledProcessError as error:
            return "\n   ".join((error.stderr or error.stdout).strip().splitlines()[-12:])
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(cells, pool.map(outcome, cells), strict=True))


def report(cells: list[Cell], failed: list[tuple[Cell, str]], absent: Mapping[str, str]) -> None:
    """Print the table, why cells failed, and who is not here."""
    for line in table(cells, [cell for cell, _ in failed]):
        _say(line)
    for number, ((client, case), reason) in enumerate(failed, 1):
        _say(f"{number}. {client.name}: {_words(case)}: {reason}")
    for name, reason in absent.items():
        _say(f"Not run: {name}: {reason}")
    _say(f"{len(cells) - len(failed)} of {len(cells)} cells ok")


def table(cells: list[Cell], failed: list[Cell]) -> Iterator[str]:
    """Yield a row per client, operation and speed; a number leads to what failed."""
    yield _row(["client", "", *(f"{form or 'omitted'} {kind}" for form, kind in COLUMNS)])
    yield _row(["---"] * (2 + len(COLUMNS)))

    def row(cell: Cell) -> tuple[str, str]:
        client, case = cell
        return client.name, f"{case.operation} {_speed(case)}"

    for head, group in groupby(sorted(cells, key=lambda cell: _order(*cell)), row):
        marks = {
            (cell[1].response_format, cell[1].kind): (
                f"FAILED {failed.index(cell) + 1}" if cell in failed else "ok"
            )
            for cell in group
        }
        yield _row([*head, *(marks.get(column, "") for column in COLUMNS)])


def _order(client: Client, case: Case) -> tuple[int, int, int]:
    return CLIENTS.index(client), client.operations.index(case.operation), case.delay


def _speed(case: Case) -> str:
    if case.delay == FULL_CHAIN:
        return "full chain"
    return "slow" if case.delay else "fast"


def _words(case: Case) -> str:
    return f"{case.operation} {_speed(case)}, {case.response_format or 'omitted'} {case.kind}"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    if described_by := os.environ.get("EASEL_STACK"):
        yield Running(json.loads(Path(described_by).read_text()))
        return
    process = start(folder, *PARAMETERS)
    try:
        yield Running(described(folder, process))
    finally:
        stop(process)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
