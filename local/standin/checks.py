"""What OpenAI would refuse, refused; the rest becomes an ``ImageRequest``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.standin import models
from local.standin.forms import FILE_FIELDS, Form, Input
from local.standin.refusals import IMAGE_ERROR, Refusal, duplicate, invalid_value, missing

MAX_INPUTS, MAX_MASK_BYTES = 16, 4 * 1024 * 1024
AUTO_SIZE, AUTO_QUALITY = (1024, 1024), "medium"

CODES = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "string_too_short": "missing_required_parameter",
    "string_too_long": "string_above_max_length",
    "greater_than_equal": "integer_below_min_value",
    "less_than_equal": "integer_above_max_value",
    "literal_error": "invalid_value",
}
"""Pydantic's error types to OpenAI's codes; every other is ``invalid_type``."""


class Parameters(BaseModel):
    """What a generation may carry, whatever its model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(min_length=1, max_length=32_000)
    model: str = models.DEFAULT_MODEL
    n: int = Field(1, ge=1, le=10)
    size: str = "auto"
    quality: str = "auto"
    background: Literal["auto", "opaque", "transparent"] = "auto"
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] = "png"
    output_compression: int = Field(100, ge=0, le=100)
    moderation: Literal["low", "auto"] = "auto"
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    user: str = ""
    safety_identifier: str = ""
    complexity: Literal["low", "medium", "high"] | None = None
    frame_count: int = Field(9, ge=2, le=16)
    frame_duration_ms: int = Field(200, ge=10, le=655_350)
    svg: dict[str, Any] = {}


class EditParameters(Parameters):
    """What an edit may carry besides."""

    input_fidelity: Literal["low", "high"] | None = None


@dataclass(frozen=True)
class ImageRequest:
    """A generation or edit that OpenAI would carry out, with nothing left to ``auto``."""

    operation: str
    asked: Parameters
    family: models.Family
    size: models.Size
    quality: str
    background: str
    base: Image.Image | None
    """The first input image."""
    mask: Image.Image | None
    """The mask's alpha, of the first image's size: 0 where it may be painted."""
    image_tokens: int

    @property
    def text_tokens(self) -> int:
        """About four characters to a token, and six for the frame around them."""
        return -(-len(self.asked.prompt) // 4) + 6


def check(operation: str, form: Form, today: date) -> ImageRequest:
    """Return the request. Raises Refusal for the first thing OpenAI would not take."""
    edit = operation == "edits"
    asked = _parse(EditParameters if edit else Parameters, form)
    for sent in form.inputs:
        if not edit or sent.field not in FILE_FIELDS:
            message = f"Unknown parameter: '{sent.field}'."
            raise Refusal(message, code="unknown_parameter", param=sent.field)
    family = models.find(asked.model, today)
    _refuse_combinations(asked, family, form.parameters)
    base, mask, image_tokens = _inputs(form, family) if edit else NO_INPUTS
    return ImageRequest(
        operation=operation,
        asked=asked,
        family=family,
        size=AUTO_SIZE if asked.size == "auto" else models.parse_size(family, asked.size),
        quality=AUTO_QUALITY if asked.quality == "auto" else asked.quality,
        background="opaque" if asked.background == "auto" else asked.background,
        base=base,
        mask=mask,
        image_tokens=image_tokens,
    )


def _parse(kind: type[Parameters], form: Form) -> Parameters:
    try:
        # In multipart, numbers and booleans arrive as text.
        return kind.model_validate(form.parameters, strict=not form.textual)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"]))
        code = CODES.get(first["type"], "invalid_type")
        raise Refusal(f"Invalid '{param}': {first['msg']}.", code=code, param=param) from error


def _refuse_combinations(asked: Parameters, family: models.Family, sent: dict[str, Any]) -> None:
    """Refuse what each parameter allows but the model or another parameter does not."""
    kind = asked.output_format
    special = kind in ("gif", "svg")
    transparent = asked.background == "transparent"
    fidelity = sent.get("input_fidelity")
    for broken, param, message in (
        (asked.quality not in (*family.qualities, "auto"), "quality", "not of this model"),
        (special and not family.preview_formats, "output_format", "not of this model"),
        (transparent and not family.transparent, "background", "not of this model"),
        (asked.complexity and not family.complexity, "complexity", "not of this model"),
        (fidelity and fidelity not in family.fidelities, "input_fidelity", "not of this model"),
        (transparent and kind not in ("png", "webp"), "background", "only png or webp"),
        (kind not in ("jpeg", "webp"), "output_compression", "only jpeg or webp"),
        (kind != "gif", "frame_count", "only gif"),
        (kind != "gif", "frame_duration_ms", "only gif"),
        (kind != "svg", "svg", "only svg"),
        (kind == "svg" and asked.n > 1, "n", "only 1 for svg"),
        (special and asked.stream, "stream", "not for gif or svg"),
        (asked.partial_images and not asked.stream, "partial_images", "only with stream"),
    ):
        if broken and param in sent:
            raise invalid_value(param, f"Invalid value for '{param}': {message}.")


Inputs = tuple[Image.Image | None, Image.Image | None, int]
NO_INPUTS: Inputs = (None, None, 0)


def _inputs(form: Form, family: models.Family) -> Inputs:
    """Return the first image, the mask's alpha and the input tokens."""
    fields: dict[str, list[Input]] = {}
    for sent in form.inputs:
        fields.setdefault(sent.field, []).append(sent)
    for name in ("image", "mask", "markup"):
        if len(fields.get(name, ())) > 1:
            raise duplicate(name)
    images = _images(fields)
    if "mask" in fields and "markup" in fields:
        raise invalid_value("markup", "Markup cannot be combined with a mask.")
    if "markup" in fields and not family.markup:
        raise invalid_value("markup", "This model does not support markup.")
    if "mask" in fields and form.parameters.get("output_format") == "gif":
        raise invalid_value("mask", "GIF output does not support masks.")
    alpha = {name: _alpha(fields[name][0], images[0]) for name in OVERLAYS if name in fields}
    if "markup" in alpha and not alpha["markup"].getextrema()[0] == 0:
        raise invalid_value("markup", "The markup must contain transparent pixels.")
    return images[0], alpha.get("mask"), sum(map(_reference_tokens, images))


OVERLAYS = ("mask", "markup")


def _images(fields: dict[str, list[Input]]) -> list[Image.Image]:
    single = fields.get("image", [])
    listed = fields.get("image[]", []) + fields.get("images", [])
    if single and listed:
        raise duplicate("image")
    if not single + listed:
        raise missing("image")
    if len(listed) > MAX_INPUTS:
        message = (
            f"Invalid 'image': array too long. Expected an array with maximum length {MAX_INPUTS},"
            f" but got an array with length {len(listed)} instead."
        )
        raise Refusal(message, code="array_above_max_length", param="image")
    return [sent.decode("image", 0) for sent in single] + [
        sent.decode(f"image[{index}]", index) for index, sent in enumerate(listed)
    ]


def _alpha(sent: Input, base: Image.Image) -> Image.Image:
    """Return the transparency of a mask or markup that fits the first image."""
    name = sent.field
    overlay = sent.decode(name, 0)
    for holds, rule in (
        (sent.content_type == "image/png", "must be a PNG"),
        (len(sent.data) < MAX_MASK_BYTES, "must be smaller than 4 MB"),
        (overlay.has_transparency_data, "is missing an alpha channel"),
        (overlay.size == base.size, "size does not match image size"),
    ):
        if not holds:
            message = f"Invalid {name} image format - {name} {rule}."
            raise Refusal(message, code="invalid_image_file", param=name, type=IMAGE_ERROR)
    return overlay.convert("RGBA").getchannel("A")


def _reference_tokens(image: Image.Image) -> int:
    width, height = image.size
    return min(models.MAX_REFERENCE_TOKENS, -(-width // 32) * -(-height // 32))
