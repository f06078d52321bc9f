"""What is installed: pinned with hashes, all of it used, nothing undeclared, its licences told."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from local import licences
from local.template import ROOT

NAMES = sorted((ROOT / "requirements").glob("*.in"))
LAYER = ROOT / "requirements/layer.in"
MAKEFILE = (ROOT / "Makefile").read_text()
OURS = {"bench", "cli", "easel", "functions", "local", "tests"}
RUN = {
    # what is run, not imported: where, and by what words
    "aws-sam-cli": ("Makefile", "$(SAM) build"),
    "aws-sam-translator": ("requirements/ministack.in", "MiniStack transforms"),
    "awslambdaric": ("tests/stack/test_direct.py", "-m awslambdaric"),
    "cfn-lint": ("Makefile", "/cfn-lint template.yaml"),
    "checkov": ("Makefile", "/checkov -f template.yaml"),
    "mypy": ("Makefile", "-m mypy"),
    "pip": ("Makefile", "SAM downloads"),
    "pytest-xdist": ("Makefile", "pytest -n 3"),
    "ruff": ("Makefile", "-m ruff check"),
    "uv": ("Makefile", "/uv pip compile"),
    "types-pyyaml": ("Makefile", "-m mypy --strict"),
}
ELSEWHERE = {
    "langchain_community": "langchain-community",
    "ministack": "ministack",
    "schemathesis": "schemathesis",
}
"""What is imported in an environment of its own, and the package that brings it."""
LAMBDAS = {"boto3", "botocore"}
"""What Lambda's runtime brings; the layer does not."""


def named(path: Path) -> str:
    return path.stem


def locked(names: Path) -> Path:
    """Return the file that ``make update`` writes from a file of names."""
    return licences.SHIPPED if names == LAYER else names.with_suffix(".txt")


def direct(names: Path) -> set[str]:
    """Return the packages that a file of names asks for itself."""
    lines = re.findall(r"^([a-z][a-z0-9-]*)", names.read_text(), re.MULTILINE)
    return set(lines)


def imported(*folders: str) -> Iterator[str]:
    """Yield the outermost module of every import in the folders."""
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (each.name.partition(".")[0] for each in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield str(node.module).partition(".")[0]


@cache
def packages(*folders: str) -> set[str]:
    """Return the packages that bring what the folders import; boto3's many stubs are one."""
    modules = {each for each in imported(*folders) if each not in sys.stdlib_module_names} - OURS
    here = packages_distributions()
    brought = {ELSEWHERE[each] if each in ELSEWHERE else here[each][0] for each in modules}
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in brought}
    return {re.sub(r"^(types-boto3)-.*", r"\1", name) for name in names}


@pytest.mark.parametrize("names", NAMES, ids=named)
def test_every_package_is_pinned_and_has_its_hashes(names: Path) -> None:
    text = locked(names).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    one = r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+"
    assert [entry for entry in entries if not re.fullmatch(one, entry)] == []
    assert direct(names) <= licences.pinned(text).keys()


def test_what_is_tested_is_what_is_deployed() -> None:
    shipped = licences.pinned(licences.SHIPPED.read_text())
    tested = licences.pinned((ROOT / "requirements/dev.txt").read_text())
    assert shipped.items() <= tested.items()


def test_every_file_is_checked_when_it_is_installed_and_no_code_of_it_runs() -> None:
    installs = re.findall(r"pip .*? install((?:.*\\\n)*.*)", MAKEFILE)
    assert len(installs) == 1
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in installs[0]
    assert "SAM := PIP_CONSTRAINT=layers/dependencies/requirements.txt" in MAKEFILE


def test_the_clients_of_node_are_exact() -> None:
    package = json.loads((ROOT / "requirements/package.json").read_text())
    assert all(
        re.fullmatch(r"(npm:[@a-z/-]+@)?\d+\.\d+\.\d+", each)
        for each in package["dependencies"].values()
    )


def test_the_layer_has_what_its_code_imports_and_no_more() -> None:
    used = packages("layers/easel", "functions") - LAMBDAS - {"types-boto3"}
    # openai's transport, which it brings along, so that both are of one version.
    assert used - {"httpx2"} == direct(LAYER)
    assert "httpx2" in licences.pinned(licences.SHIPPED.read_text())


def test_whatever_is_imported_is_declared() -> None:
    declared = direct(LAYER) | direct(ROOT / "requirements/dev.in")
    assert packages(*OURS - {"easel"}, "layers") - declared == {"botocore", *ELSEWHERE.values()}


@pytest.mark.parametrize("names", NAMES, ids=named)
def test_whatever_is_declared_is_imported_or_run(names: Path) -> None:
    unused = direct(names) - packages(*OURS - {"easel"}, "layers")
    assert unused <= RUN.keys()
    for package in unused:
        where, words = RUN[package]
        assert words in (ROOT / where).read_text()


def test_the_licences_of_what_is_deployed_are_told() -> None:
    assert (ROOT / "LICENSES.md").read_text() == licences.table()
