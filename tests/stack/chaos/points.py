"""The named points of a job's life: which call of which process is which step.

| process | points, in their order |
|---|---|
| door | read inbox, put input, find, open, send, look |
| worker | lease, read input, begin, call, put image, put answer, close, reply, told |
| sweep | query, look, send |

``note`` is a change of the job between two calls; ``find`` looks for the job that a call repeats.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from tests.stack.chaos.http import Request

_WRITES = (
    ("UpdateItem", b"lease = :owner", "lease"),
    ("UpdateItem", b"REMOVE", "told"),
    ("TransactWriteItems", b"finished_at", "close"),
    ("TransactWriteItems", b'"same#', "open"),
    ("TransactWriteItems", b'"key#', "open"),
    ("TransactWriteItems", b"calling", "begin"),
    ("TransactWriteItems", b"", "note"),
    ("GetItem", b'"job#', "look"),
    ("GetItem", b"#", "find"),
    ("Query", b":open", "query"),
    ("SendMessage", b"", "send"),
)
_OBJECTS = (
    ("PUT", r"inputs/", "put input"),
    ("GET", r"inputs/", "read input"),
    ("GET", r"inbox/", "read inbox"),
    ("PUT", r"images/.*/answer\.json$", "put answer"),
    ("PUT", r"images/", "put image"),
    ("PUT", r"outbox/", "reply"),
    ("POST", r"images/(generations|edits)$", "call"),
)


def point(request: Request) -> str | None:
    """Return which step of a job's life the call is, if any."""
    if "x-amz-target" in request.headers:
        for operation, mark, name in _WRITES:
            if operation == request.operation and mark in request.body:
                return name
        return None
    # The first part is the bucket, or upstream's /v1.
    key = unquote(urlsplit(request.path).path).lstrip("/").partition("/")[2]
    for method, pattern, name in _OBJECTS:
        if method == request.method and re.match(pattern, key):
            return name
    return None
