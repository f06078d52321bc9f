"""What the layout promises: arrows point down, one door per foreign library, small handlers."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

from local.template import ROOT

LAYER = ROOT / "layers/easel"
PACKAGE = LAYER / "easel"
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LAYERS: tuple[tuple[str, ...], ...] = (
    # from the ground up; a module may import what is below it, and its own layer
    ("deferred", "errors", "settings", "keys", "pace"),
    ("formats",),
    ("images",),
    ("parameters", "sizes", "prices"),
    ("models",),
    ("catalogue",),
    ("tenants", "rendered", "questions"),
    ("limits",),
    ("forms", "prompt", "inputs", "uploads"),
    ("wire",),
    ("requests",),
    ("jobs", "schemas", "manifest"),
    ("cache",),
    ("identity",),
    ("responses", "pages"),
    ("usage",),
    ("replies",),
    ("openapi",),
    ("telemetry",),
    ("outbox", "sources", "notifications", "moderation", "answers", "repeats"),
    ("leases", "latencies"),
    ("lifecycle", "worker"),
    ("upstream",),
    ("aws",),
    ("doors",),
    ("bootstrap",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

FOREIGN = {
    # who alone may import it, in the package
    "boto3": "aws",
    "botocore": "aws",
    "types_boto3": "aws",
    "openai": "upstream",
    "httpx2": "upstream",
    "PIL": "images",
    "multipart": "forms",
}

MODULES = {
    ".".join(path.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, *, typing: bool = False) -> Iterator[str]:
    """Yield every module that the file imports, those under TYPE_CHECKING only if asked."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += [*node.orelse, *(node.body if typing else ())]
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from _imported(str(node.module), [each.name for each in node.names])


def _imported(module: str, names: list[str]) -> Iterator[str]:
    """Yield the submodules that are imported from a package, else the module."""
    inner = [f"{module}.{name}" for name in names if f"{module}.{name}" in MODULES]
    yield from inner or [module]


def part(module: str) -> str:
    """Return what a module of the package counts as: itself, or its subpackage."""
    return module.removeprefix("easel").removeprefix(".").partition(".")[0]


ARROWS = {
    name: {each for each in imports(path) if each.partition(".")[0] == "easel"}
    for name, path in MODULES.items()
}


def test_every_module_has_its_layer() -> None:
    assert {part(name) for name in MODULES} - {""} == RANK.keys()


@pytest.mark.parametrize("module", [name for name in MODULES if part(name)])
def test_arrows_point_down(module: str) -> None:
    above = {each for each in ARROWS[module] if RANK[part(each)] > RANK[part(module)]}
    assert not above


def test_there_is_no_cycle() -> None:
    order = list(TopologicalSorter(ARROWS).static_order())
    assert order.index("easel.errors") < order.index("easel.bootstrap")


@pytest.mark.parametrize("module", MODULES)
def test_a_foreign_library_has_one_door(module: str) -> None:
    libraries = {
        each.partition(".")[0].partition("_s3")[0] for each in imports(MODULES[module], typing=True)
    }
    foreign = {
        name: door
        for name, door in FOREIGN.items()
        if any(library == name or library.startswith(f"{name}_") for library in libraries)
    }
    if part(module) == "images":
        foreign.pop("PIL", None)
    assert set(foreign.values()) <= {part(module)}


@pytest.mark.parametrize("path", [*MODULES.values(), *HANDLERS], ids=named)
def test_the_environment_is_read_by_settings_alone(path: Path) -> None:
    if path.stem != "settings":
        assert not re.search(r"\b(environ|getenv)\b", path.read_text())


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_printed(module: str) -> None:
    calls = (
        node
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call)
    )
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "print"]


@pytest.mark.parametrize("path", [*MODULES.values(), *HANDLERS], ids=named)
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", HANDLERS, ids=named)
def test_a_handler_fits_a_screen_and_tells_its_story(path: Path) -> None:
    text = path.read_text()
    assert 8 <= len(text.splitlines()) <= 25
    tree = ast.parse(text)
    story = ast.get_docstring(tree) or ""
    named = set(re.findall(r"``([a-z_.]+)``", story))
    assert {f"easel.{name}" for name in named} <= MODULES.keys()
    assert [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] == ["handler"]


PROBE = """
import gc, socket, sys
def refuse(*_): raise AssertionError("a handler called out when it was loaded")
socket.socket.connect = refuse
import importlib
for name in sys.argv[1:]:
    importlib.import_module(f"functions.{name}.app").handler
print(*sys.modules, sep="\\n")
if gc.isenabled(): print("garbage is collected")
if gc.get_freeze_count() > 50_000: print("not of what is loaded")
"""
ENVIRON = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "WORK_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/work",
    "POWERTOOLS_METRICS_NAMESPACE": "Easel",
}


def loaded(*functions: str) -> set[str]:
    """Return the modules that these handlers have loaded when they are ready."""
    paths = os.pathsep.join([str(LAYER), str(ROOT)])
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *functions],
        env={**ENVIRON, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr
    return set(probe.stdout.splitlines())


POWERTOOLS = {f"aws_lambda_powertools{part}" for part in ("", ".utilities.data_classes")}
AWS = "botocore.client"
HEAVY = {
    # what takes a cold start 10 ms or more
    *("openai", "httpx2", "PIL", "pydantic", "boto3", "s3transfer"),
    *("aws_lambda_powertools.utilities.parameters", AWS, *POWERTOOLS),
}
LOADED = {
    # all of it that a function has loaded when it is ready
    "authorizer": {AWS},
    "models": {"pydantic", *POWERTOOLS},
    "inputs": {"pydantic", AWS, *POWERTOOLS},
    "jobs": {"pydantic", AWS, *POWERTOOLS},
    "generate": {"pydantic", AWS, *POWERTOOLS},
    "edit": {"pydantic", AWS, *POWERTOOLS},
    "variation": {"pydantic", AWS, *POWERTOOLS},
    "worker": {"pydantic", AWS, *POWERTOOLS},
    "sweep": {"pydantic", AWS, "aws_lambda_powertools"},
}


@pytest.mark.parametrize("function", sorted(path.parent.name for path in HANDLERS))
def test_a_handler_loads_only_what_its_door_needs(function: str) -> None:
    modules = loaded(function)
    assert HEAVY & modules == LOADED[function]
    assert not {"easel.upstream", "easel.openapi", "easel.aws.secrets"} & modules
    if function == "models":
        assert not {"easel.aws", "easel.bootstrap"} & modules
    if "easel.bootstrap" in modules:
        assert modules >= {"garbage is collected", "not of what is loaded"}


# --- the tests themselves ---


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_no_test_patches_our_own_code(path: Path) -> None:
    if path == Path(__file__):
        return
    text = path.read_text()
    assert "mock.patch" not in text
    assert "unittest.mock" not in text
    assert not re.search(r"\.setattr\(\s*[\"']?easel", text)


SHOWN_BY = {
    # what is tested through what it serves
    "parameters": "catalogue",
    "sizes": "catalogue",
    "models": "catalogue",
    "formats": "images",
    "inputs": "requests",
    "rendered": "upstream",
    "schemas": "openapi",
    "replies": "openapi",
    "aws.items": "aws.ledger",
    "aws.jobs": "aws.ledger",
    "aws.transactions": "aws.ledger",
}
SHOWN_BY_HANDLERS = {
    # what is tested in tests/functions, with AWS and upstream about it
    "answers",
    "bootstrap",
    "leases",
    "lifecycle",
    "notifications",
    "repeats",
    "worker",
    "doors.calls",
    "doors.jobs",
    "doors.pictures",
    "doors.queue",
    "doors.usage",
}


@pytest.mark.parametrize(
    "name",
    sorted(
        name.removeprefix("easel.")
        for name, path in MODULES.items()
        if path.stem != "__init__" and name.removeprefix("easel.") not in SHOWN_BY_HANDLERS
    ),
)
def test_every_module_has_its_tests(name: str) -> None:
    *folders, stem = SHOWN_BY.get(name, name).split(".")
    assert ROOT.joinpath("tests/unit", *folders, f"test_{stem}.py").exists()


# --- every file ---


HOMES = ("work", "root", "home", "Users")
# In halves, so that this file is not one that names them.
HOSTS = tuple(f"{a}{b}" for a, b in (("py", "pi."), ("python", "hosted"), ("npm", "js.")))
PLACE = re.compile(rf"(?<![\w.}}])/(?:{'|'.join(HOMES)})/\w|\b(?:{'|'.join(HOSTS)})\b")
TEXTS = {"", ".md", ".py", ".toml", ".yaml", ".json", ".txt", ".sh", ".in", ".cfg"}


def texts() -> Iterator[Path]:
    """Yield the project's own text files: what is hidden is made, or a tool's."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name[0] != "." and name not in ("__pycache__", "node_modules")
        ]
        yield from (Path(folder, name) for name in names if Path(name).suffix in TEXTS)


def test_no_file_names_a_place_of_somebodys() -> None:
    found = {
        named(path): match[0]
        for path in chain(texts(), (ROOT / ".ci").rglob("*"))
        if path != Path(__file__) and path.is_file()
        if (match := PLACE.search(path.read_text(errors="replace")))
    }
    assert not found
