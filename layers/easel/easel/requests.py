"""What callers send (``wire``), checked against the catalogue and the tenant, becomes a Request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from easel.catalogue import Catalogue, Model
from easel.errors import Forbidden, InvalidRequest
from easel.formats import Kind
from easel.inputs import MAX_IMAGES, Image, Inputs, Locate, checked
from easel.prompt import Parts, Prompt
from easel.settings import Settings
from easel.tenants import ResponseFormat, Tenant
from easel.wire import Wire, parts_in

Operation = Literal["generate", "edit", "variation"]

MAX_PROMPT = 32_000
"""Characters (``image_generate_params``)."""

MAX_REQUEST = 300_000
"""Bytes of a request: with its answer it must fit DynamoDB's 400 KB item."""

_BOOLEANS = {"true": True, "false": False}

VARIATION_PROMPT = (
    "Create a variation of this image: keep its subject, style and mood, "
    "and vary composition, pose and details."
)
"""Upstream's variations endpoint accepts no requests any more; its advice is an edit."""


class Request(BaseModel):
    """What arrived, validated: all that changes the picture or its price."""

    model_config = ConfigDict(frozen=True)

    operation: Operation
    model: str
    prompt: str
    prompt_sha256: str | None = None
    """The digest of a prompt that is not kept, which is then empty; None while it is kept."""
    parts: Parts | None = None
    """What the prompt was composed of, for later changes."""
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

    @property
    def said(self) -> str | None:
        """The prompt; None where only its digest is kept."""
        return self.prompt if self.prompt_sha256 is None else None

    def wordless(self) -> Request:
        """Return the request with its prompt's digest in the prompt's place.

        Of its parameters those remain whose values the catalogue lists.
        """
        digest = self.prompt_sha256 or hashlib.sha256(self.prompt.encode()).hexdigest()
        catalogue, given = Catalogue.load(), self.parameters.items()
        listed = {name: one for name, one in given if not [*catalogue.texts({name: one})]}
        none = {"prompt": "", "parts": None, "parameters": listed}
        return self.model_copy(update={**none, "prompt_sha256": digest})

    @property
    def count(self) -> int:
        """How many images are asked for."""
        return self.parameters.get("n") or 1

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
        seen = {"operation", "model", "prompt", "parameters", "resample"}
        fields = self.model_dump(mode="json", include=seen)
        fields["inputs"] = [
            image and image.identity for image in (*self.images, self.mask, self.markup)
        ]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


class Delivery(BaseModel):
    """How a caller wants its answer: the caller's business, not the job's.

    ``model`` is the name the caller used, for what is to be said of its end. ``cached``: the answer
    comes from the cache, and costs this caller nothing.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    response_format: ResponseFormat | None = None
    stream: bool = False
    model: str | None = None
    cached: bool = False

    def default_of(self, tenant: Tenant) -> Delivery:
        """Return the delivery with what the tenant wants where the caller says nothing."""
        wanted = self.response_format or tenant.response_format
        return self.model_copy(update={"response_format": wanted})

    def query(self) -> dict[str, str]:
        """Return what ``Location`` carries of it."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return {name: str(value).lower() for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Asked:
    """A call understood: its request, the bytes to store first, and how the caller wants it."""

    request: Request
    uploads: Mapping[str, bytes]
    delivery: Delivery
    quote: bool = False
    """Whether the caller only wants to know the price."""


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Who calls, and what it may refer to: its images by ``file_id``, its jobs' prompts by id."""

    tenant: Tenant
    locate: Locate
    read: Callable[[Image], bytes]
    earlier: Callable[[str], Prompt]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads calls: what the catalogue and the settings say of today."""

    catalogue: Catalogue
    settings: Settings

    def read(
        self,
        operation: Operation,
        tenancy: Tenancy,
        fields: Mapping[str, Any],
        inputs: Inputs,
        *,
        today: date,
    ) -> Asked:
        """Return the call understood.

        Raises InvalidRequest, NotFound or Forbidden before anything is held.
        """
        wire = Wire.read(fields)
        tenant = tenancy.tenant
        named = wire.model or tenant.default_model or self.settings.default_model
        model = self._model(named, tenant, today)
        prompt = _prompt(wire, operation, tenancy)
        if operation == "generate":
            inputs.refuse(wire.references())
        else:
            most = 1 if operation == "variation" else MAX_IMAGES
            inputs = inputs.joined(wire.references(), tenancy.locate, most=most)
        if operation == "edit" and inputs.mask is None and self.catalogue.alpha_is_mask(named):
            inputs = inputs.masked_by_alpha(tenancy.read)
        quality = tenant.default_quality or self.settings.default_quality
        parameters, resample = _parameters(model, operation, wire, inputs, quality)
        stored = checked(inputs, tenant.name)
        request = Request(
            operation=operation,
            model=model.id,
            prompt=prompt.text,
            parts=prompt.parts,
            parameters=parameters,
            resample=resample,
            images=stored.images,
            mask=stored.mask,
            markup=stored.markup,
            user=_pseudonym(tenant.name, wire.safety_identifier or wire.user),
        )
        _check_size(request)
        delivery = Delivery(
            response_format=wire.response_format, stream=bool(wire.stream), model=wire.model
        )
        return Asked(request, stored.uploads, delivery, bool(wire.quote))

    def of_texts(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return a form's texts as fields, converted by what the catalogue says of each."""
        fields = self.catalogue.from_text(texts)
        for name in ("stream", "quote"):
            if name in fields:
                fields[name] = _BOOLEANS.get(fields[name], fields[name])
        if "prompt" in fields:
            fields["prompt"] = parts_in(fields["prompt"])
        return fields

    def known(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that are parameters, and not something of the caller's own."""
        known = Wire.known()
        return {name: value for name, value in fields.items() if name in known}

    def _model(self, name: str, tenant: Tenant, today: date) -> Model:
        model = self.catalogue.resolve(name, today)
        allowed = self.catalogue.ids(tenant.models, today)
        if tenant.models and model.id not in allowed:
            raise Forbidden(
                f"The tenant {tenant.name!r} may not use {model.id!r}. "
                f"It may use: {', '.join(sorted(allowed)) or 'none'}.",
                param="model",
            )
        return model


def _parameters(
    model: Model, operation: Operation, wire: Wire, inputs: Inputs, quality: str
) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """Return what goes upstream, and the size to resample to where that is another.

    ``quality`` is that of a call that names none.
    """
    given = dict(wire.model_extra or {})
    if given.get("quality") is None:
        given["quality"] = quality
    ours = {
        "mask": inputs.mask,
        "markup": inputs.markup,
        # Accepted, and for now not bought: the answer is one event per finished image.
        "partial_images": wire.partial_images,
    }
    given = model.check(operation, {**given, **ours})
    size, resample = model.fit(given.get("size", model.default_size))
    kept = {name: value for name, value in given.items() if name not in ours}
    return {**kept, "size": size}, resample


def _check_size(request: Request) -> None:
    try:
        size = len(request.model_dump_json().encode())
        json.dumps(request.parameters, allow_nan=False)
    except ValueError:
        raise InvalidRequest(
            "The request cannot be kept as JSON: it holds half a character (a lone surrogate), "
            "a number beyond all numbers, or is nested too deeply."
        ) from None
    if size > MAX_REQUEST:
        raise InvalidRequest(
            f"Prompt and parameters have {size} bytes; at most {MAX_REQUEST} are taken."
        )


def _prompt(wire: Wire, operation: Operation, tenancy: Tenancy) -> Prompt:
    prompt = Prompt.read(wire.prompt, tenancy.earlier)
    if prompt is None and operation == "variation":
        prompt = Prompt(text=VARIATION_PROMPT)
    if prompt is None:
        raise InvalidRequest(
            "Missing required parameter: 'prompt'. Say in words what the picture should show.",
            code="missing_required_parameter",
            param="prompt",
        )
    prompt = prompt.styled(wire.style)
    if len(prompt.text) > MAX_PROMPT:
        raise InvalidRequest(
            f"'prompt' has {len(prompt.text)} characters; at most {MAX_PROMPT} are taken.",
            param="prompt",
        )
    return prompt


def _pseudonym(tenant: str, user: str | None) -> str | None:
    text = f"{tenant}\0{user}".encode(errors="surrogatepass")
    return hashlib.sha256(text).hexdigest() if user else None
