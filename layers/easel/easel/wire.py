"""The wire in: the fields of a call's body.

Names are OpenAI's (``openai.types.image_generate_params`` and ``image_edit_params``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from easel.catalogue import Catalogue
from easel.errors import InvalidRequest
from easel.inputs import Reference
from easel.tenants import ResponseFormat

MOST_VALUES = 150_000
"""Values of a body: more would not fit a request's item, and cost the memory of a function."""
_MOST_REFERENCES = 64
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:\[[A-Za-z0-9_.-]{0,64}\]){0,4}")
"""A parameter's name, perhaps a form's of what is in it. Upstream could take others for another
parameter, and ``n[]`` for ``n``."""


class Wire(BaseModel):
    """The body of a call. What is not named here is the catalogue's business."""

    model_config = ConfigDict(extra="allow", strict=True)

    prompt: Any = None
    model: str | None = None
    response_format: ResponseFormat | None = None
    style: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool | None = None
    partial_images: int | None = None
    quote: bool | None = None
    images: Annotated[list[Reference], FailFast(), Field(max_length=_MOST_REFERENCES)] | None = None
    mask: Reference | None = None
    markup: Reference | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Return the body of these fields. Raises InvalidRequest."""
        for name, value in fields.items():
            base = name.partition("[")[0]
            taken = base == "image" or (base != name and base in cls.known())
            if value is not None and (taken or not _NAME.fullmatch(name)):
                raise _unfit(name)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            param = str(first["loc"][0]) if first["loc"] else None
            raise InvalidRequest(f"Invalid {param!r}: {first['msg']}.", param=param) from None

    @classmethod
    def known(cls) -> Set[str]:
        """Return the names that mean something here, or to the catalogue."""
        return cls.model_fields.keys() | Catalogue.load().parameters.keys()

    def references(self) -> dict[str, list[Reference]]:
        """Return the input images that are referred to, by parameter."""
        named = {"images": self.images, "mask": self.mask, "markup": self.markup}
        return {
            param: given if isinstance(given, list) else [given]
            for param, given in named.items()
            if given
        }


def read_object(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object that the bytes are; None where they are none, or a hostile one."""
    if data.count(b",") > MOST_VALUES:  # no text that is taken has so many, and base64 has none
        return None
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def parts_in(text: Any) -> Any:
    """Return the parts a form's prompt consists of, if it is a JSON object of them."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return text
    if text.count(",") > MOST_VALUES:
        return text
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parts if isinstance(parts, dict) and parts.keys() & {"subject", "from"} else text


def _unfit(name: str) -> InvalidRequest:
    return InvalidRequest(
        "Input images are files named 'image', or 'images' in JSON. Other names are of letters, "
        "digits, '_', '.' and '-'.",
        code="unknown_parameter",
        param=name[:80],
    )
