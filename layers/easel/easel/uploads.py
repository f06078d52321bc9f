"""Uploads: inputs that a caller posts straight into the bucket, and names by ``file_id``. Pure."""

from __future__ import annotations

import re
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from easel.errors import InvalidRequest
from easel.images import MAX_BYTES

_ID = re.compile(r"file-([0-9a-f]{11})[0-9a-f]{24}", re.ASCII)

_WRONG = {
    "bytes": f"'bytes' is the file's exact size, a number from 1 to {MAX_BYTES - 1}.",
    "content_type": "'content_type' is 'image/png', 'image/jpeg' or 'image/webp'.",
}


class Upload(BaseModel):
    """The body of ``POST /v1/inputs``: what a file is that will be posted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    bytes: int = Field(gt=0, lt=MAX_BYTES)
    """The file's exact size; OpenAI takes less than 50 MB."""
    content_type: Literal["image/png", "image/jpeg", "image/webp"]


def read(body: str | bytes) -> Upload:
    """Return what a caller wants to upload. Raises InvalidRequest."""
    try:
        return Upload.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if not first["loc"]:
        raise InvalidRequest("The body is not a JSON object with 'bytes' and 'content_type'.")
    param = str(first["loc"][0])
    if first["type"] == "missing":
        raise InvalidRequest(
            f"Missing required parameter: {param!r}. {_WRONG[param]}",
            code="missing_required_parameter",
            param=param,
        )
    raise InvalidRequest(f"Invalid {param!r}: {_WRONG[param]}", param=param)


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
