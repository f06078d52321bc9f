"""What Easel says, typed: the shapes of the objects that ``responses`` and ``doors.models`` build.

Nothing is built from these; they describe it to callers (``openapi``), and tests hold them to what
is really said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal, NotRequired, TypedDict, cast

from pydantic import ConfigDict, TypeAdapter, with_config

from easel.jobs import Status
from easel.requests import Operation
from easel.schemas import REF, Schema, Untitled
from easel.usage import UsageReport

_closed = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))
_open = with_config(ConfigDict(extra="allow", use_attribute_docstrings=True))


@_open
class Tokens(TypedDict):
    """Tokens by kind."""

    image_tokens: NotRequired[int]
    text_tokens: NotRequired[int]


@_open
class Usage(TypedDict):
    """OpenAI's account of the tokens, passed on as it came."""

    input_tokens: NotRequired[int]
    input_tokens_details: NotRequired[Tokens]
    output_tokens: NotRequired[int]
    output_tokens_details: NotRequired[Tokens]
    total_tokens: NotRequired[int]


class Datum(TypedDict):
    """What is told of an image, however it comes."""

    revised_prompt: NotRequired[str]
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    bytes: int


@_closed
class Image(Datum):
    """One image; `response_format` decides between URL and base64, or both."""

    url: NotRequired[str]
    """Presigned: fetch it without your key."""
    expires_at: NotRequired[int]
    """When the URL stops working, in Unix seconds."""
    b64_json: NotRequired[str]


@_closed
class ImagesResponse(TypedDict):
    """OpenAI's ImagesResponse, with what Easel adds."""

    id: str
    """The job's."""
    created: int
    """Unix seconds."""
    model: str
    """The one that made the images, whatever name was asked for."""
    prompt: NotRequired[str]
    """As it was sent upstream; missing where prompts are not kept."""
    background: NotRequired[str]
    output_format: NotRequired[str]
    quality: NotRequired[str]
    size: NotRequired[str]
    usage: NotRequired[Usage]
    svg_usage: NotRequired[Usage]
    """Tokens of writing an SVG, beside those of its reference image."""
    cost_usd: float
    """Dollars, at most 6 decimals; a repeat says again what its job cost."""
    cached: bool
    """Whether it comes from the cache, and costs you nothing."""
    data: list[Image]


@_closed
class CompletedEvent(Datum):
    """The data of OpenAI's event of one finished image; the last has the usage and cost of all."""

    type: Literal["image_generation.completed", "image_edit.completed"]
    b64_json: str
    created_at: int
    """Unix seconds."""
    id: str
    model: str
    cost_usd: float
    cached: bool
    size: str | None
    quality: str | None
    background: str | None
    output_format: str | None
    usage: Usage | None


@_closed
class Quote(TypedDict):
    """What a request would do; it has done nothing."""

    object: Literal["image.quote"]
    operation: Operation
    model: str
    prompt: str
    would: Literal["buy", "repeat"]
    job: str | None
    """The job it would repeat, for nothing."""
    cost_usd: float
    """Dollars, at most."""
    cached: bool


@_closed
class ModerationDetails(TypedDict):
    """Why moderation has blocked, in OpenAI's words."""

    moderation_stage: Literal["input", "output"]
    categories: list[str]


@_closed
class ErrorDetail(TypedDict):
    """What went wrong. Refusals of OpenAI keep its own status, code and message."""

    message: str
    type: str
    param: str | None
    code: str | None
    moderation_details: NotRequired[ModerationDetails]


@_closed
class Error(TypedDict):
    """OpenAI's shape of an error."""

    error: ErrorDetail


@_closed
class Job(TypedDict):
    """One unit of paid work, as it stands. Times are Unix seconds."""

    id: str
    object: Literal["image.job"]
    operation: Operation
    status: Status
    created_at: int
    started_at: int | None
    finished_at: int | None
    model: str
    prompt: str | None
    cost_usd: float
    error: ErrorDetail | None
    data: list[Image]
    """With fresh URLs; empty once the images are past their retention."""


@_closed
class JobList(TypedDict):
    """A page of the jobs, newest first."""

    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    """`after` for the next page."""
    has_more: bool
    data: list[Job]


@_closed
class Model(TypedDict):
    """OpenAI's model, with what Easel adds."""

    id: str
    object: Literal["model"]
    created: int
    """Unix seconds."""
    owned_by: str
    shutdown_date: date | None
    resolves_to: str | None
    """The model that the name stands for today, if another."""
    prices: dict[str, str]
    """USD per million tokens, as decimal strings."""
    usd_per_image: dict[str, float]
    """Dollars of one image of 1024x1024 at most, by quality; what goes in comes on top."""


@_closed
class ModelList(TypedDict):
    """Every name there is."""

    object: Literal["list"]
    data: list[Model]


@_closed
class Input(TypedDict):
    """The leave to upload one file."""

    object: Literal["image.input"]
    file_id: str
    """What an edit names it by, once it is uploaded."""
    url: str
    """Where to post it, as `multipart/form-data`, without your key."""
    fields: dict[str, str]
    """The form's fields; the file's own, `file`, comes after them."""
    expires_at: int
    """When the URL stops working, in Unix seconds."""


@_closed
class Health(TypedDict):
    """That Easel answers."""

    status: Literal["ok"]


@_open
class Document(TypedDict):
    """OpenAPI 3.1."""

    openapi: str
    info: dict[str, str]
    paths: dict[str, Any]


ERRORS: Mapping[int, Sequence[str]] = {
    400: (
        "The request cannot succeed as it is; `param` names what to change.",
        "invalid_value",
        "missing_required_parameter",
        "unknown_parameter",
        "invalid_image_file",
        "moderation_blocked",
    ),
    401: ("No key, or one that is unknown, revoked, or of a suspended tenant.", "invalid_api_key"),
    403: ("Your tenant may not use this model; the message says which.", "model_not_allowed"),
    404: ("There is no such route, model or job.", "not_found", "model_not_found", "job_not_found"),
    409: (
        "The key belongs to another request, or the job was cancelled, or it cannot be.",
        "idempotency_key_reused",
        "job_cancelled",
        "job_not_cancellable",
    ),
    410: ("The images, or the input, are past their retention.", "job_expired", "input_expired"),
    413: ("More than 6 MB, files counted in base64.", "request_too_large"),
    429: (
        "Too many calls just now, or no money left: in the tenant's budget, or upstream.",
        "rate_limit_exceeded",
        "budget_exceeded",
        "insufficient_quota",
    ),
    500: ("Something went wrong in Easel; tell the operator the `x-request-id`.", "server_error"),
    502: (
        "Upstream failed. Of an unknown outcome, the call may have been billed.",
        "upstream_error",
        "upstream_outcome_unknown",
        "server_error",
    ),
    503: ("Too busy: ask again.", "upstream_overloaded", "moderation_unavailable", "server_error"),
    504: ("It took too long; a retry that says it is one meets the same job.", "server_error"),
}
"""What a status means, then the codes it comes with."""

_REPLIES = (
    ImagesResponse,
    CompletedEvent,
    Quote,
    Job,
    JobList,
    Error,
    Model,
    ModelList,
    Input,
    UsageReport,
    Health,
    Document,
)


def schemas() -> Schema:
    """Return the JSON Schemas of all replies, by name."""
    wanted = [(reply.__name__, "serialization", TypeAdapter(reply)) for reply in _REPLIES]
    _, made = TypeAdapter.json_schemas(
        cast("Any", wanted), ref_template=REF, schema_generator=Untitled
    )
    return cast("Schema", made["$defs"])
