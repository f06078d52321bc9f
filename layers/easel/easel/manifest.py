"""Manifests: an edit or a variation asked for in the inbox, as JSON beside its pictures. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from easel.errors import InvalidRequest, RequestTooLarge
from easel.questions import LONGEST_KEY, PREFIX
from easel.requests import Operation
from easel.wire import MOST_VALUES, read_object

MAX_BYTES = 1 << 20

_OPERATIONS: dict[str, Operation] = {"edit": "edit", "variation": "variation"}
_PICTURES = ("images", "mask", "markup")
_ID = re.compile(r"job_[0-9a-f]{35}/[0-9]+|file-[0-9a-f]{35}")
_UNHEARD = ("quote", "stream", "response_format")
"""What a caller who reads files has no use for."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest asks for."""

    operation: Operation
    fields: dict[str, Any]
    """As the body of a JSON edit, each picture's key as its ``file_id``."""
    pictures: tuple[str, ...]
    """Keys of the pictures that it names."""


def read(data: bytes, key: str) -> Manifest:
    """Return what the manifest under this key asks for. Raises InvalidRequest, RequestTooLarge."""
    if len(data) > MAX_BYTES:
        raise RequestTooLarge(f"A manifest has at most {MAX_BYTES} bytes.")
    fields = read_object(data)
    if fields is None:
        raise InvalidRequest(f"The manifest is not a JSON object of at most {MOST_VALUES} values.")
    operation = _operation(fields.pop("operation", "edit"))
    pictures: list[str] = []

    def referred(given: Any, param: str) -> Any:
        if not isinstance(given, str):
            return given
        pictures.append(_key(given, key, param))
        return {"file_id": pictures[-1]}

    for param in (name for name in _PICTURES if name in fields):
        given = fields[param]
        several = param == "images" and isinstance(given, list)
        fields[param] = [referred(o, param) for o in given] if several else referred(given, param)
    fields = {name: value for name, value in fields.items() if name not in _UNHEARD}
    return Manifest(operation, fields, tuple(dict.fromkeys(pictures)))


def _operation(given: Any) -> Operation:
    operation = _OPERATIONS.get(given) if isinstance(given, str) else None
    if operation is None:
        raise InvalidRequest("Invalid 'operation': it is 'edit' or 'variation'.", param="operation")
    return operation


def _key(name: str, manifest: str, param: str) -> str:
    """Return the key of a picture by its name. Raises InvalidRequest."""
    if _ID.fullmatch(name):
        raise InvalidRequest(
            f'Invalid {param!r}: what Easel keeps is {{"file_id": "…"}}, a bare name is a path.',
            param=param,
        )
    key = manifest[: manifest.rindex("/") + 1] + name
    try:
        fits = len(key.encode()) <= LONGEST_KEY
    except UnicodeEncodeError:  # half a character
        fits = False
    if not fits or name.startswith(PREFIX) or {"", ".", ".."} & set(name.split("/")):
        raise InvalidRequest(
            f"Invalid {param!r}: name a picture by its path from the manifest's own folder, "
            "like 'cat.png' or 'cats/1.png'; no '..', no '/' before it, no key.",
            param=param,
        )
    return key
