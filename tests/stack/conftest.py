"""The running local stack: one for the session, or the one that EASEL_STACK describes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.servers import free_port
from local.template import ROOT
from tests.stack.running import Running

STARTS_WITHIN = 300
PARAMETERS = ["WaitSeconds=3", "EventBusName=default", "KeyTtlSeconds=2"]


def start(state: Path, *parameters: str) -> "subprocess.Popen[bytes]":
    """Start a stack that writes to ``state``, without any key that pays."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    command = [sys.executable, "-m", "local.stack", "--state", str(state)]
    for parameter in parameters:
        command += ["--parameter", parameter]
    state.mkdir(parents=True, exist_ok=True)
    with (state / "run.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)


def described(state: Path, process: "subprocess.Popen[bytes] | None") -> dict[str, Any]:
    """Wait until the stack is ready; return what it says of itself.

    ``process`` is None where another process has started it.
    """
    until = time.monotonic() + STARTS_WITHIN
    while not (state / "stack.json").exists():
        if (process and process.poll() is not None) or time.monotonic() > until:
            if process:
                process.terminate()
            pytest.fail((state / "run.log").read_text())
        time.sleep(0.1)
    description: dict[str, Any] = json.loads((state / "stack.json").read_text())
    return description


def stop(process: "subprocess.Popen[bytes]") -> int:
    """Ask it to stop; return its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(120)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The description of a running stack, as ``stack.json`` has it."""
    if running := os.environ.get("EASEL_STACK"):
        yield json.loads(Path(running).read_text())
        return
    with shared(tmp_path_factory.getbasetemp()) as (state, ours):
        origins = ",".join(("https://app.example.com", f"http://127.0.0.1:{free_port()}"))
        process = start(state, *PARAMETERS, f"AllowedOrigins={origins}") if ours else None
        yield described(state, process)
    if process:
        stop(process)


@contextmanager
def shared(temporary: Path) -> Iterator[tuple[Path, bool]]:
    """Yield where the stack of all of xdist's workers writes, and whether it is ours to start.

    To whom it is, is let go on only when no other uses it any more.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    state = (temporary if alone else temporary.parent) / "stack"
    with (state.parent / "stack.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            state.mkdir()
            ours = True
        except FileExistsError:
            ours = False
        try:
            yield state, ours
        finally:
            fcntl.flock(users, fcntl.LOCK_EX if ours else fcntl.LOCK_UN)


@pytest.fixture(scope="session")
def running(stack: dict[str, Any]) -> Running:
    """The running stack, to be used."""
    return Running(stack)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "last: asks for what takes a minute; runs after the others")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the emulator's log, where the functions log too, with a failure."""
    report = yield
    description = getattr(item, "funcargs", {}).get("stack")
    if report.failed and description:
        log = Path(description["log"], "ministack.log").read_text(errors="replace")
        report.sections.append(("ministack.log", "\n".join(log.splitlines()[-60:])))
    return report
