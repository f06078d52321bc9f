"""HTTP/1.1 as the proxy needs it: one request read, one answer fetched, bytes unchanged."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import cached_property

_CLOSES = re.compile(rb"\r\nconnection: *close(?=\r\n)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LONGEST_HEAD = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes

    @cached_property
    def operation(self) -> str:
        """AWS's name of the call where it has one, else the method."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2] or self.method

    @property
    def service(self) -> str:
        """Return dynamodb, sqs, secretsmanager, events …, or s3 for what names no target."""
        target = self.headers.get("x-amz-target", "").partition(".")[0].lower()
        service, _, _ = target.partition("_")
        return {"amazonsqs": "sqs"}.get(service, service) or "s3"

    def rendered(self) -> bytes:
        """Return the request's bytes, for a connection of its own."""
        kept = {
            name: value
            for name, value in self.headers.items()
            if name not in ("connection", "expect", "transfer-encoding", "content-length")
        }
        kept |= {"content-length": str(len(self.body)), "connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + self.body


async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """Return the next request. Raises IncompleteReadError where there is no more."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if "expect" in headers:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding") == "chunked":
        return Request(method, path, headers, await _chunks(reader))
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


async def fetch(request: Request, port: int) -> tuple[bytes, bool]:
    """Return what a server of this machine answers, and whether that is all it meant to say.

    The answer is fit to keep its reader's line open.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST_HEAD)
    try:
        writer.write(request.rendered())
        head, gap, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    length = _LENGTH.search(head)
    whole = bool(gap) and (not length or request.method == "HEAD" or len(body) >= int(length[1]))
    return _CLOSES.sub(b"", head) + gap + body, whole
