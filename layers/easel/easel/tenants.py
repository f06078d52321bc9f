"""A tenant: who pays. Its key, and the periods its money is counted in."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from easel.errors import InvalidRequest

ResponseFormat = Literal["url", "b64_json"]

DIRECT = "direct"
"""Who pays for a direct invocation that names no tenant; AWS has authorised its caller."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Tenant(BaseModel):
    """Who pays."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    response_format: ResponseFormat | None = None
    """What its calls get that ask for neither; None: both. For programs that fetch a ``url`` with
    their own Authorization header, which S3 refuses."""


def valid_name(name: str) -> str:
    """Return the name if it can stand in keys, paths and ids. Raises InvalidRequest."""
    if not _NAME.fullmatch(name) or name == DIRECT:
        raise InvalidRequest(
            "A tenant's name is 1 to 63 lower-case letters, digits and hyphens, "
            f"and does not start with a hyphen; {DIRECT!r} is taken.",
            param="tenant",
        )
    return name


def new_key() -> str:
    """Return a tenant key of 256 random bits; its prefix lets secret scanners find it."""
    return f"ek-{secrets.token_urlsafe(32)}"


def digest(key: str) -> str:
    """Return what is stored of a key: its SHA-256 in hex (a random key needs no salt)."""
    return hashlib.sha256(key.encode()).hexdigest()


def month(at: float) -> str:
    """Return the UTC month of a Unix time, as ``2026-11``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def day(at: float) -> str:
    """Return the UTC day of a Unix time, as ``2026-11-22``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
