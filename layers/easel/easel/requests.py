"""The wire in: what callers send, checked against the catalogue, becomes a Request.

Names are OpenAI's (``openai.types.image_generate_params`` and ``image_edit_params``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from easel.catalogue import Catalogue, Model
from easel.errors import InvalidRequest
from easel.images import Header, Kind, digest, verify, verify_mask
from easel.settings import Settings

Operation = Literal["generate", "edit", "variation"]
ResponseFormat = Literal["url", "b64_json"]

MAX_IMAGES = 16
"""Input images of one edit (``image_edit_params``)."""

MAX_PROMPT = 32_000
"""Characters (``image_generate_params``)."""

_BOOLEANS = {"true": True, "false": False}

VARIATION_PROMPT = (
    "Create a variation of this image: keep its subject, style and mood, "
    "and vary composition, pose and details."
)
"""Upstream's variations endpoint accepts no requests any more; its advice is an edit."""


class Image(BaseModel):
    """Image bytes at rest in S3, given or made. Width and height in pixels."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: Kind
    width: int
    height: int
    bytes: int
    sha256: str


def described(data: bytes, header: Header, key: str) -> Image:
    """Return what is known of the bytes that are stored under the key."""
    return Image(
        key=key,
        kind=header.kind,
        width=header.width,
        height=header.height,
        bytes=len(data),
        sha256=digest(data),
    )


class Request(BaseModel):
    """What arrived, validated: all that changes the picture or its price."""

    model_config = ConfigDict(frozen=True)

    operation: Operation
    model: str
    prompt: str
    parameters: dict[str, Any]
    """Checked against the catalogue, and sent upstream as they are."""
    resample: tuple[int, int] | None = None
    """Width and height asked for, where the model renders another size."""
    images: tuple[Image, ...] = ()
    mask: Image | None = None
    markup: Image | None = None
    user: str | None = None
    """Digest of the end user's id; never the id itself."""

    @property
    def inputs(self) -> tuple[Image, ...]:
        """All that is sent along: images, mask and markup."""
        return (*self.images, *(one for one in (self.mask, self.markup) if one))

    def ceiling(self, catalogue: Catalogue) -> int:
        """Return what the call can cost at most, in micro-dollars."""
        return catalogue.model(self.model).ceiling(
            self.operation, self.parameters, self.prompt, len(self.inputs)
        )

    def kind_of(self, key: str) -> Kind:
        """Return the kind of the input that is stored under the key."""
        return next(one.kind for one in self.inputs if one.key == key)

    def fingerprint(self) -> str:
        """Return what two calls share when they ask for the same picture."""
        fields = self.model_dump(mode="json", exclude={"user", "images", "mask", "markup"})
        fields["inputs"] = [
            image and image.sha256 for image in (*self.images, self.mask, self.markup)
        ]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """A call understood: its request, the bytes to store first, and how the caller wants it."""

    request: Request
    uploads: Mapping[str, bytes]
    response_format: ResponseFormat | None


class Reference(BaseModel):
    """An input image of a JSON edit: a data URL, or the id of one of the tenant's images."""

    model_config = ConfigDict(extra="forbid")

    image_url: str | None = None
    file_id: str | None = None


class Wire(BaseModel):
    """The body of a call. What is not named here is the catalogue's business."""

    model_config = ConfigDict(extra="allow", strict=True)

    prompt: str | None = Field(default=None, max_length=MAX_PROMPT)
    model: str | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: Literal[False] | None = None
    images: list[Reference] | None = None
    mask: Reference | None = None
    markup: Reference | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The bytes of a call's input images."""

    images: tuple[bytes, ...] = ()
    mask: bytes | None = None
    markup: bytes | None = None


Fetch = Callable[[str], bytes]
"""Reads one of the tenant's images by ``file_id``; raises NotFound."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads calls: what the catalogue and the settings say of today."""

    catalogue: Catalogue
    settings: Settings

    def read(
        self,
        operation: Operation,
        tenant: str,
        fields: Mapping[str, Any],
        inputs: Inputs,
        *,
        fetch: Fetch,
        today: date,
    ) -> Asked:
        """Return the call understood. Raises InvalidRequest or NotFound before anything is held."""
        wire = _validated(fields)
        if operation != "generate":
            inputs = _resolved(wire, inputs, operation, fetch)
        model = self.catalogue.resolve(wire.model or self.settings.default_model, today)
        prompt = _prompt(wire, operation)
        parameters, resample = self._parameters(model, operation, wire, inputs)
        stored, uploads = _stored(inputs, tenant)
        request = Request(
            operation=operation,
            model=model.id,
            prompt=prompt,
            parameters=parameters,
            resample=resample,
            images=stored.images,
            mask=stored.mask,
            markup=stored.markup,
            user=_pseudonym(tenant, wire.safety_identifier or wire.user),
        )
        return Asked(request, uploads, wire.response_format)

    def of_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return a form's texts as fields, converted by what the catalogue says of each."""
        return {
            name: _BOOLEANS.get(value, value) if name == "stream" else value
            for name, value in self.catalogue.from_text(texts).items()
        }

    def known(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are parameters, and not something of the caller's own."""
        known = Wire.model_fields.keys() | self.catalogue.parameters.keys()
        return {name: value for name, value in fields.items() if name in known}

    def _parameters(
        self, model: Model, operation: Operation, wire: Wire, inputs: Inputs
    ) -> tuple[dict[str, Any], tuple[int, int] | None]:
        """Return what goes upstream, and the size to resample to where that is another."""
        given = dict(wire.model_extra or {})
        if given.get("quality") is None:
            given["quality"] = self.settings.default_quality
        files = {"mask": inputs.mask, "markup": inputs.markup}
        given = model.check(operation, {**given, **files})
        size, resample = model.fit(given.get("size", "auto"))
        return {**_without(given, files), "size": size}, resample


def _validated(fields: Mapping[str, Any]) -> Wire:
    try:
        return Wire.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = str(first["loc"][0])
        raise InvalidRequest(f"Invalid {param!r}: {first['msg']}.", param=param) from None


def _prompt(wire: Wire, operation: Operation) -> str:
    if wire.prompt and wire.prompt.strip():
        return wire.prompt
    if operation == "variation":
        return VARIATION_PROMPT
    raise InvalidRequest(
        "Missing required parameter: 'prompt'. Say in words what the picture should show.",
        code="missing_required_parameter",
        param="prompt",
    )


def _resolved(wire: Wire, inputs: Inputs, operation: Operation, fetch: Fetch) -> Inputs:
    """Return the inputs with every reference of a JSON edit replaced by its bytes."""
    count = len(inputs.images) + len(wire.images or ())
    if count == 0:
        raise InvalidRequest(
            "Missing required parameter: 'image'. Send one as a multipart file, "
            "or 'images' with data URLs in JSON.",
            code="missing_required_parameter",
            param="image",
        )
    most = 1 if operation == "variation" else MAX_IMAGES
    if count > most:
        raise InvalidRequest(f"At most {most} image(s); {count} were sent.", param="image")
    return Inputs(
        images=inputs.images + tuple(_bytes(one, "images", fetch) for one in wire.images or ()),
        mask=_bytes(wire.mask, "mask", fetch) if wire.mask else inputs.mask,
        markup=_bytes(wire.markup, "markup", fetch) if wire.markup else inputs.markup,
    )


def _bytes(reference: Reference, param: str, fetch: Fetch) -> bytes:
    if reference.file_id is not None:
        return fetch(reference.file_id)
    head, _, body = (reference.image_url or "").partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise InvalidRequest(
            f"Invalid {param!r}: give a 'file_id', or an 'image_url' that is a base64 data URL. "
            "Remote URLs are not fetched.",
            param=param,
        )
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise InvalidRequest(
            f"Invalid {param!r}: the data URL is not base64.", param=param
        ) from None


@dataclass(frozen=True, slots=True)
class _Stored:
    images: tuple[Image, ...]
    mask: Image | None
    markup: Image | None


def _stored(inputs: Inputs, tenant: str) -> tuple[_Stored, dict[str, bytes]]:
    """Check every input, and give each the key of its content."""
    uploads: dict[str, bytes] = {}

    def place(data: bytes, header: Header) -> Image:
        image = described(data, header, f"inputs/{tenant}/{digest(data)}")
        uploads[image.key] = data
        return image

    headers = [verify(data, "image") for data in inputs.images]
    mask, markup = inputs.mask, inputs.markup
    stored = _Stored(
        images=tuple(map(place, inputs.images, headers)),
        mask=place(mask, verify_mask(mask, headers[0])) if mask is not None else None,
        markup=place(markup, verify(markup, "markup")) if markup is not None else None,
    )
    return stored, uploads


def _without(fields: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _pseudonym(tenant: str, user: str | None) -> str | None:
    return user and hashlib.sha256(f"{tenant}\0{user}".encode()).hexdigest()
