"""The wire in: JSON and multipart bodies become parameters and inputs."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

from multipart import MultipartParser, parse_options_header
from PIL import Image, ImageOps

from local.standin.refusals import IMAGE_ERROR, Refusal, duplicate, invalid_type, invalid_value

FILE_FIELDS = ("image", "image[]", "images", "mask", "markup")
INPUT_KINDS = ("jpeg", "png", "webp")
MAX_INPUT_BYTES = 50 * 1024 * 1024
_DATA_URL = re.compile(r"data:([\w/+.-]+);base64,(.*)", re.DOTALL)
_IN_MEMORY = 1 << 31


@dataclass(frozen=True)
class Input:
    """A file as it was sent."""

    field: str
    filename: str | None
    content_type: str
    data: bytes

    @cached_property
    def kind_and_size(self) -> tuple[str, int, int] | None:
        """What the bytes are, by their header; None for what is no picture."""
        try:
            with Image.open(BytesIO(self.data)) as picture:
                return (picture.format or "").lower(), *picture.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None

    def record(self) -> dict[str, Any]:
        """Return what a call keeps of the input."""
        kind, width, height = self.kind_and_size or (None, None, None)
        return {
            "field": self.field,
            "filename": self.filename,
            "content_type": self.content_type,
            "kind": kind,
            "width": width,
            "height": height,
        }

    def decode(self, name: str, position: int) -> Image.Image:
        """Return the upright picture. Raises Refusal as OpenAI does."""
        if self.content_type not in [f"image/{kind}" for kind in INPUT_KINDS]:
            raise Refusal(
                f"Invalid file '{name}': unsupported mimetype ('{self.content_type}'). Supported"
                " file formats are 'image/jpeg', 'image/png', and 'image/webp'.",
                code="unsupported_file_mimetype",
                param=name,
            )
        kind = self.kind_and_size[0] if self.kind_and_size else None
        if f"image/{kind}" != self.content_type or len(self.data) >= MAX_INPUT_BYTES:
            raise _invalid_image(position)
        try:
            with Image.open(BytesIO(self.data)) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise _invalid_image(position) from error


@dataclass
class Form:
    """A request's parameters and files; ``textual`` when every value arrived as text."""

    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    textual: bool = False


def read(content_type: str, body: bytes) -> Form:
    """Parse a body. Raises Refusal for what is neither JSON nor multipart, or malformed."""
    media_type, options = parse_options_header(content_type)
    if media_type == "application/json":
        return _from_json(body)
    if media_type == "multipart/form-data":
        return _from_multipart(body, options.get("boundary", ""))
    message = f"Unsupported content type: '{content_type}'. Expected 'application/json'."
    raise Refusal(message, code="unsupported_content_type")


def _from_json(body: bytes) -> Form:
    try:
        parameters = json.loads(body)
    except ValueError as error:
        raise Refusal("We could not parse the JSON body of your request.", code=None) from error
    if not isinstance(parameters, dict):
        raise invalid_type("body", "an object", parameters)
    # A null is as good as nothing.
    form = Form({name: value for name, value in parameters.items() if value is not None})
    images = form.parameters.pop("images", [])
    if not isinstance(images, list):
        raise invalid_type("images", "an array of objects", images)
    form.inputs = [referenced("images", f"images[{i}]", item) for i, item in enumerate(images)]
    for name in ("mask", "markup"):
        if name in form.parameters:
            form.inputs.append(referenced(name, name, form.parameters.pop(name)))
    return form


def referenced(name: str, param: str, item: object) -> Input:
    """Return the file that a JSON object refers to by a data URL. Raises Refusal."""
    if not isinstance(item, dict) or set(item) not in ({"image_url"}, {"file_id"}):
        raise invalid_type(param, "an object with image_url or file_id", item)
    if "file_id" in item:
        raise invalid_value(f"{param}.file_id", f"No such file: {item['file_id']!r:.60}.")
    found = _DATA_URL.fullmatch(str(item["image_url"]))
    if not found:
        raise invalid_value(f"{param}.image_url", "Expected a base64 data URL.")
    try:
        data = base64.b64decode(found[2], validate=True)
    except binascii.Error as error:
        raise invalid_value(f"{param}.image_url", "Invalid base64 data.") from error
    return Input(name, None, found[1], data)


def _from_multipart(body: bytes, boundary: str) -> Form:
    form = Form(textual=True)
    limits = {"spool_limit": _IN_MEMORY, "memory_limit": _IN_MEMORY}
    try:
        for part in MultipartParser(BytesIO(body), boundary, **limits):
            if part.filename is not None:
                sent = Input(part.name, part.filename, part.content_type, part.raw)
                form.inputs.append(sent)
            elif part.name in FILE_FIELDS:
                raise invalid_type(part.name, "a file", part.value)
            else:
                _set(form.parameters, part.name, part.value)
    except ValueError as error:  # the parser's own errors among them
        raise Refusal(f"Could not parse multipart form: {error}", code=None) from error
    return form


def _set(parameters: dict[str, Any], name: str, value: str) -> None:
    """Put ``svg[reasoning][effort]=low`` where JSON would have it."""
    *path, last = name.replace("]", "").split("[")
    for step in path:
        parameters = parameters.setdefault(step, {})
        if not isinstance(parameters, dict):
            raise duplicate(name)
    if last in parameters:
        raise duplicate(name)
    parameters[last] = value


def _invalid_image(position: int) -> Refusal:
    message = f"Invalid image file or mode for image {position}, please check your image file."
    return Refusal(message, code="invalid_image_file", type=IMAGE_ERROR)
