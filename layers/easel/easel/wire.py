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
from easel.prompt import structured
from easel.tenants import ResponseFormat

MOST_VALUES = 150_000
"""Values of a body: more would not fit a request's item, and cost the memory of a function."""
_MOST_REFERENCES = 64
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:\[[A-Za-z0-9_.-]{0,64}\]){0,4}")
"""A parameter's name, perhaps a form's of what is in it. Upstream could take others for another
parameter, and ``n[]`` for ``n``."""

_ONE = 'give {"image_url": "data:image/png;base64,…"} or {"file_id": "…"}'
_SHAPES = {
    "images": f"{_ONE}, each in a list of at most {_MOST_REFERENCES}",
    "mask": _ONE,
    "markup": _ONE,
}


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
        known = cls.known()
        for name, value in fields.items():
            if value is not None:
                _check_name(name, known)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            param = str(first["loc"][0]) if first["loc"] else None
            said = _SHAPES.get(param or "", first["msg"])
            raise InvalidRequest(f"Invalid {param!r}: {said}.", param=param) from None

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
    """Return the parts a form's prompt consists of, if it is a JSON object of them and no more.

    Any other JSON is a text that its writer wants to be read as it is.
    """
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return text
    if text.count(",") > MOST_VALUES:
        return text
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parts if structured(parts) else text


def _check_name(name: str, known: Set[str]) -> None:
    """Raise InvalidRequest for a name that upstream could take for another parameter's."""
    base = name.partition("[")[0]
    if base == "image":
        said = "In JSON, input images are 'images'; only in a form are they files named 'image'."
    elif base != name and base in known:
        said = f"Name it {base!r}, without brackets."
    elif not _NAME.fullmatch(name):
        said = "A parameter's name is of letters, digits, '_', '.' and '-'."
    else:
        return
    raise InvalidRequest(said, code="unknown_parameter", param=name[:80])
