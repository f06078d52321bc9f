"""CORS: which origins' pages may call, and what they may read of a reply. Pure.

An origin that is not listed gets none of these headers, and neither does anybody where none is.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from easel.errors import NotFound

METHODS = ("GET", "HEAD", "POST", "DELETE")
EXPOSED = (
    # what a script may read of a reply, beside its body and what browsers always show
    "x-request-id",
    "location",
    "age",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(
        f"x-ratelimit-{said}-{what}"
        for what in ("requests", "images")
        for said in ("limit", "remaining", "reset")
    ),
    "preference-applied",
    "deprecation",
    "sunset",
)
_NAMES = re.compile(r"[\w!#$%&'*+.^`|~, -]+", re.ASCII)
_KEPT_SECONDS = 7200
"""How long a browser may remember a preflight; Chromium does no longer."""


def readable(origin: str, origins: Collection[str]) -> dict[str, str]:
    """Return the headers by which a page of ``origin`` may read a reply."""
    if not origins:
        return {}
    if origin not in origins:
        return {"vary": "origin"}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": ", ".join(EXPOSED),
        "vary": "origin",
    }


def preflight(origin: str, asked: str, origins: Collection[str]) -> dict[str, str]:
    """Return the headers by which a page may call, with the header names it ``asked`` for.

    A listed origin is trusted with any: the SDKs' are many, and change. Raises NotFound.
    """
    if origin not in origins:
        raise NotFound("Pages of this origin may not call: it is not among AllowedOrigins.")
    return {
        "access-control-allow-methods": ", ".join(METHODS),
        "access-control-max-age": str(_KEPT_SECONDS),
        **({"access-control-allow-headers": asked} if _NAMES.fullmatch(asked) else {}),
    }
