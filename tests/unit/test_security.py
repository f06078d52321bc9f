"""SECURITY.md names tests that exist, and parameters that do."""

import re

from local.template import ROOT, load

TEXT = (ROOT / "SECURITY.md").read_text()
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


def test_each_test_it_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 20
    assert named <= TESTS


def test_each_row_is_shown_by_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]
    assert [row for row in rows if "`test_" not in row.rpartition(" | ")[2]] == []


def test_each_parameter_it_names_exists() -> None:
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", TEXT))
    assert named
    assert named <= load()["Parameters"].keys()
