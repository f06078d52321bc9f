"""Uploads: inputs that a caller posts straight into the bucket, and names by ``file_id``. Pure."""

from __future__ import annotations

import re
import secrets

_ID = re.compile(r"file-([0-9a-f]{11})[0-9a-f]{24}", re.ASCII)


def new_id(now: float) -> str:
    """Return a ``file_id`` that is time-ordered and unguessable."""
    return f"file-{int(now * 1000):011x}{secrets.token_hex(12)}"


def created_at(file_id: str) -> float | None:
    """Return when the id was made, in Unix seconds; None if it is none of ours."""
    found = _ID.fullmatch(file_id)
    return int(found[1], 16) / 1000 if found else None


def key(tenant: str, file_id: str) -> str:
    """Return where the upload lies in the bucket."""
    return f"inputs/{tenant}/{file_id}"
