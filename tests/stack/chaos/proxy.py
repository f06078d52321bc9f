"""A proxy before AWS, and one before upstream, that strikes at the named points.

The functions' own signatures and bytes pass unchanged. A strike is for one tenant, whose name every
call for its job carries: keys, items, messages, and the prompt that goes upstream. The process that
calls is found by its end of the line, as Linux's /proc shows it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.stack.chaos.http import Request, fetch, read
from tests.stack.chaos.points import point
from tests.stack.chaos.strikes import HELD_SECONDS, Armed, When, answer

TENANT = re.compile(rb"chaos-[0-9a-f]{8}")
"""What the tenants of trials are called."""
WHO = {b"Worker": "worker", b"Sweep": "sweep"}
"""Which functions are no doors."""
_FUNCTION = re.compile(rb"ministack-lambda-easel-(\w+)Function-")
"""Where the emulator's processes have their code."""
_LOOKS = 50
_PAUSE_SECONDS = 0.02
"""The kernel lists its lines a page at a time, and may pass one over while others come and go. Who
calls waits for us meanwhile, so its line is found in the end."""


class Severed(Exception):
    """The line is to be cut."""


class Line(NamedTuple):
    """A connection, by the caller's port and ours: the caller's alone may serve several lines."""

    caller: int
    ours: int


class Process(NamedTuple):
    """A function's process."""

    pid: int
    who: str


class Proxy:
    """Runs in a thread."""

    def __init__(self) -> None:
        self._armed: dict[bytes, list[Armed]] = {}
        self._loop = asyncio.new_event_loop()
        self._known: dict[Line, Process] = {}
        threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True).start()

    def listen(self, target: Callable[[], int]) -> int:
        """Take a free port, and pass on what comes there to the port ``target`` of that moment."""
        serve = partial(self._serve, target)
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(serve, "127.0.0.1", limit=1 << 20, backlog=1024), self._loop
        )
        port: int = started.result().sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Stop listening; whatever still waits is forgotten."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def arm(self, tenant: str, armed: list[Armed]) -> None:
        """Let these strikes wait for the tenant's job."""
        self._armed[tenant.encode()] = armed

    async def _serve(
        self,
        target: Callable[[], int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        peer = Line(*(writer.get_extra_info(end)[1] for end in ("peername", "sockname")))
        self._known.pop(peer, None)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                while True:
                    request = await read(reader, writer)
                    found, whole = await self._answered(request, target(), peer)
                    writer.write(found)
                    await writer.drain()
                    if not whole:
                        break
            except Severed:
                writer.transport.abort()
        writer.close()

    async def _answered(self, request: Request, target: int, peer: Line) -> tuple[bytes, bool]:
        tenants = {*TENANT.findall(request.body), *TENANT.findall(request.path.encode())}
        struck = await self._struck(request, tenants, "before", peer)
        if struck is not None:
            return struck, True
        found, whole = await fetch(request, target)
        if point(request) == "query":  # whom a sweep looks for is only in the answer
            tenants = {*TENANT.findall(found)}
        struck = await self._struck(request, tenants, "after", peer)
        return (found, whole) if struck is None else (struck, True)

    async def _struck(
        self, request: Request, tenants: Collection[bytes], when: When, peer: Line
    ) -> bytes | None:
        """Strike if it is time; return the answer to give instead, if any."""
        waiting = [one for tenant in tenants for one in self._armed.get(tenant, ())]
        name = point(request) if waiting else None
        if name not in {one.strike.point for one in waiting}:
            return None
        process = await self._process(peer)
        for armed in waiting:
            if process and armed.fires(process.who, name, when):
                return await self._carried_out(armed.strike.does, request, process)
        return None

    async def _carried_out(self, does: str, request: Request, process: Process) -> bytes:
        if does == "kill":
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if does == "hold":
            await asyncio.sleep(HELD_SECONDS)
        if does in ("kill", "hold", "cut"):
            raise Severed
        return answer(does, request)

    async def _process(self, peer: Line) -> Process | None:
        for _ in range(_LOOKS):
            if process := self._known.get(peer) or caller(peer):
                self._known[peer] = process
                return process
            await asyncio.sleep(_PAUSE_SECONDS)
        return None


def caller(line: Line) -> Process | None:
    """Return the function's process whose line it is."""
    if (inode := callers_inode(line)) is None:
        return None
    held = f"socket:[{inode}]"
    for folder in Path("/proc").iterdir():
        found = folder.name.isdecimal() and _FUNCTION.search(_read(folder / "cmdline"))
        if found and any(_link(one) == held for one in _listed(folder / "fd")):
            return Process(int(folder.name), WHO.get(found[1], "door"))
    return None


def callers_inode(line: Line) -> int | None:
    """Return the inode of the caller's socket, if this machine lists it now."""
    row = re.search(
        rf"^ *\d+: 0100007F:{line.caller:04X} 0100007F:{line.ours:04X} .*$",
        Path("/proc/net/tcp").read_text(),
        re.MULTILINE,
    )
    return int(row[0].split()[9]) if row else None


def _read(path: Path) -> bytes:
    """Return the file, or nothing where its process has just ended; so do the next two."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def _listed(folder: Path) -> list[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return []


def _link(path: Path) -> str:
    with suppress(OSError):
        return str(path.readlink())
    return ""
