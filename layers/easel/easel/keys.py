"""A tenant's keys: what is handed out, and what is kept of it."""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple


class Key(NamedTuple):
    """What is kept of a key: the SHA-256 of it, and when it was issued (Unix seconds)."""

    digest: str
    created_at: int

    @property
    def id(self) -> str:
        """What an operator calls it by; it opens nothing."""
        return self.digest[:12]


def new_key() -> str:
    """Return a tenant key of 256 random bits; its prefix lets secret scanners find it."""
    return f"ek-{secrets.token_urlsafe(32)}"


def digest(key: str) -> str:
    """Return what is stored of a key: its SHA-256 in hex (a random key needs no salt)."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
