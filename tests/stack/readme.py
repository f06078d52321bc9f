"""README.md taken apart: its fenced blocks, its tables, and the means to run and compare them."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

from local.template import ROOT

README = (ROOT / "README.md").read_text()
LOCAL = "http://127.0.0.1:8080/v1"
"""Where README's reader has Easel."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_COMMAND_LINE = {"output", "query", "cli-read-timeout", "cli-binary-format"}
"""Options of the aws command itself."""


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is where it begins, ``section`` the heading above it."""

    section: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.line}-{self.language}"


def blocks() -> list[Block]:
    """Return README's fenced blocks in order. An unclosed or indented one is an AssertionError."""
    found = [
        Block(
            section=_HEADING.findall(README, 0, fence.start())[-1],
            line=README.count("\n", 0, fence.start()) + 1,
            language=fence[1],
            text=fence[2],
        )
        for fence in _FENCE.finditer(README)
    ]
    assert 2 * len(found) == README.count("```")
    return found


def table(*header: str) -> list[list[str]]:
    """Return the cells of the rows under the header."""
    lines = [_cells(line) for line in README.splitlines()]
    rows: list[list[str]] = []
    for cells in lines[lines.index(list(header)) + 2 :]:
        if not cells:
            break
        rows.append(cells)
    return rows


def section(heading: str) -> str:
    """Return what stands under a heading, up to the next."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _cells(line: str) -> list[str]:
    line = line.strip()
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


class Shell:
    """The one shell of README's reader: what a block exports or defines, later blocks have."""

    def __init__(self, home: Path, environ: dict[str, str]) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "OPENAI_"))}
        nobody = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self._environ = {**kept, **nobody, **environ, "PATH": path}
        self._home = home
        self._state = home / "state.sh"
        self._state.touch()

    def bash(self, text: str, *, cwd: Path | None = None, stdin: str = "") -> str:
        """Run a block of bash; return what it printed. A failing command ends it, and the test."""
        keep = f"{{ declare -f; export -p; }} > {shlex.quote(str(self._state))}"
        return self._run(f"{text}\n{keep}", cwd or self._home, stdin)

    def file(self, interpreter: str, name: str, text: str) -> str:
        """Run a block of another language from a file in the reader's folder."""
        (self._home / name).write_text(text)
        return self._run(f"exec {shlex.quote(interpreter)} {name}", self._home, "")

    def _run(self, text: str, cwd: Path, stdin: str) -> str:
        script = f". {shlex.quote(str(self._state))}\nset -euo pipefail\n{text}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=cwd,
            env=self._environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def same_text(shown: str, printed: str) -> bool:
    """Tell whether that was printed; … stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def shape(value: Any) -> Any:
    """Return a JSON value with its scalars replaced by their types."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def lint(path: Path) -> "subprocess.CompletedProcess[str]":
    """Run cfn-lint, which knows AWS's resources."""
    command = [str(ROOT / ".local/venv/sam/bin/cfn-lint"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def printed_json(printed: str) -> Any:
    """Return the first JSON object in what was printed."""
    return json.JSONDecoder().raw_decode(printed[printed.index("{") :])[0]


def unknown_to_aws(text: str) -> list[str]:
    """Return what the block asks of the aws command that AWS's own API models do not know."""
    commands = re.findall(r"(?<![\w-])aws ([a-z]\S+) (\S+)([^\n)]*)", text.replace("\\\n", " "))
    return [unknown for command in commands for unknown in _unknown(*command)]


def _unknown(service: str, operation: str, rest: str) -> Iterator[str]:
    if service == "s3":  # the command's own; the others are the API's
        if operation != "cp":
            yield f"s3 {operation}"
        return
    service = {"s3api": "s3"}.get(service, service)
    session = botocore.session.get_session()
    if operation == "wait":
        waiters = session.get_waiter_model(service)
        waiter = {xform_name(each, "-"): each for each in waiters.waiter_names}[rest.split()[0]]
        operation = xform_name(waiters.get_waiter(waiter).operation, "-")
    model = session.get_service_model(service)
    operations = {xform_name(each, "-"): each for each in model.operation_names}
    if operation not in operations:
        yield f"{service} {operation}"
        return
    members = model.operation_model(operations[operation]).input_shape.members
    known = {xform_name(each, "-") for each in members} | _COMMAND_LINE
    yield from set(re.findall(r"\s--([a-z][a-z-]+)", rest)) - known
