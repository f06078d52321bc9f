"""Servers that run beside this process, and their ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def bind(port: int) -> socket.socket:
    """Take a port of this machine, a free one for 0; leave the process if it is another's."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"Port {port} cannot be used ({error.strerror}): choose another with PORT=…")
    return taken


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with bind(0) as taken:
        return int(taken.getsockname()[1])


@contextmanager
def running(
    command: list[str], environ: Mapping[str, str], log: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, from when it takes connections until the block is left, with all its children.

    It has a session of its own, so a Ctrl-C reaches it through us alone.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not _listens(port):
            if server.poll() is not None:
                sys.exit(f"{' '.join(command)} stopped:\n{log.read_text()}")
            time.sleep(0.05)
        yield server
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End a server and its children: ask them, and after two seconds do not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(2)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
