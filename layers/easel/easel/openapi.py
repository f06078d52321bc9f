"""The OpenAPI 3.1 document: what Easel's HTTPS contract is, for whoever reads it by machine.

Bodies come from the models that check them (``schemas``), replies from their types (``replies``);
paths, statuses and headers are said here. Only ``GET /openapi.json`` imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from easel import replies, schemas
from easel.catalogue import Catalogue
from easel.pages import Page
from easel.requests import Delivery, Operation
from easel.schemas import JOB_ID, REF, Schema
from easel.settings import Settings
from easel.usage import Span

VERSION = "0.1.0"

_ABOUT = """\
OpenAI's image API, with what Easel adds. Every request is a job; a call is a job you wait for: a \
picture that takes longer is a 303 whose `Location` waits on. Every reply has an `x-request-id` \
and is not to be stored; every error has OpenAI's shape, and `x-should-retry` where your own rule \
for its status would be wrong."""

_ANYWHERE = (429, 500, 502, 504)
_MAKING = (400, 401, 403, 404, 409, 410, 413, 429, 500, 502, 503, 504)


@lru_cache(maxsize=1)
def document(catalogue: Catalogue, settings: Settings, today: date, root: str) -> Schema:
    """Return the document. ``root`` is the path's head that belongs to the stage or the domain."""
    names = [one.id for one in catalogue.listed(today)]
    sent = schemas.bodies(catalogue, settings, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Easel", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": root or "/"}],
        "security": [{"key": []}],
        "paths": _paths(sent),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": sent | replies.schemas(),
            "responses": {
                "Refusal": _error("Another refusal of OpenAI, with its own status and code."),
                **{f"Error{status}": _error(*said) for status, said in replies.ERRORS.items()},
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS,
        },
    }


# ---- Headers and parameters ----


def _header(about: str, example: Any, kind: str = "string") -> Schema:
    return {"description": about, "schema": {"type": kind}, "example": example}


_HEADERS = {
    "x-request-id": _header("What to tell the operator.", "6a1b0c7e-3f52-4d0c-9a55-2f1f6c3d9b10"),
    "cache-control": _header("Always `no-store`.", "no-store"),
    "age": _header("How long ago an answer from the cache was made, in seconds.", 42, "integer"),
    "location": _header("Where the result is, or will be.", f"/v1/jobs/{JOB_ID}/result?hop=1"),
    "preference-applied": _header("That the preference was followed.", "respond-async"),
    "x-should-retry": _header("Whether to ask again: `true` or `false`.", "false"),
    "retry-after": _header("How long to wait before that, in seconds.", 5, "integer"),
    "retry-after-ms": _header("The same in milliseconds.", 4812, "integer"),
    **{
        f"x-ratelimit-{one}-{what}": _header(
            f"{about} {what} a minute, where that is limited.", said
        )
        for what in ("requests", "images")
        for one, about, said in (
            ("limit", "How many", "20"),
            ("remaining", "How many are left of your", "19"),
            ("reset", "When you have all of your", "3.000s"),
        )
    },
    "deprecation": _header("Since when the model's end is near (RFC 9745).", "@1793491200"),
    "sunset": _header("When the model ends (RFC 8594).", "Tue, 01 Dec 2026 00:00:00 GMT"),
}
_ALWAYS = ("x-request-id", "cache-control")
_ENDING = ("deprecation", "sunset")
_LIMITS = tuple(name for name in _HEADERS if name.startswith("x-ratelimit-"))


def _parameter(name: str, place: str, about: str, schema: Schema | None = None) -> Schema:
    return {
        "name": name,
        "in": place,
        "description": about,
        "required": place == "path",
        "schema": schema or {"type": "string"},
    }


def _delivery(name: str, about: str) -> Schema:
    made = Delivery.model_json_schema(schema_generator=schemas.Untitled)
    return _parameter(name, "query", about, schemas.given(made["properties"][name]))


def _queried(model: type[BaseModel], name: str) -> Schema:
    made = model.model_json_schema(schema_generator=schemas.Untitled)["properties"][name]
    about = made.pop("description")
    return _parameter(name, "query", about, schemas.given(made) if "anyOf" in made else made)


_PARAMETERS = {
    "IdempotencyKey": _parameter(
        "Idempotency-Key", "header", "The same key is the same job; a new one is a new purchase."
    ),
    "Prefer": _parameter(
        "Prefer", "header", "`wait=5`: at most 5 seconds; `respond-async`: not at all (RFC 7240)."
    ),
    "CacheControl": _parameter(
        "Cache-Control",
        "header",
        "`max-age=60`: the same request's answer will do if it was made in the last 60 seconds, "
        "or is being made, and costs nothing; `no-cache`: it will not; `no-store`: nor is this one "
        "to be given to others (RFC 9111). With an `Idempotency-Key` there is no cache.",
    ),
    "JobId": _parameter("id", "path", "A job's."),
    "Limit": _queried(Page, "limit"),
    "After": _queried(Page, "after"),
    "From": _queried(Span, "from"),
    "To": _queried(Span, "to"),
    "GroupBy": _queried(Span, "group_by"),
    "ModelId": _parameter("id", "path", "A model's, or another name of it."),
    "Hop": _parameter(
        "hop", "query", "How often the wait has gone on.", {"type": "integer", "minimum": 0}
    ),
    "ResponseFormat": _delivery("response_format", "How images come back."),
    "Stream": _delivery("stream", "Whether to answer by `text/event-stream`."),
    "Model": _delivery("model", "The name the model was asked for by."),
    "Cached": _delivery("cached", "Whether the call was answered by the cache."),
}


# ---- Replies ----


def _reply(about: str, *said: str, headers: Sequence[str] = ()) -> Schema:
    """Return a response of one of these schemas, or without a body."""
    named = [{"$ref": REF.format(model=one)} for one in said]
    schema = named[0] if len(named) == 1 else {"oneOf": named}
    return {
        "description": about,
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"} for name in (*_ALWAYS, *headers)
        },
        **({"content": {"application/json": {"schema": schema}}} if said else {}),
    }


def _error(about: str, *codes: str) -> Schema:
    listed = f" Codes: {', '.join(f'`{code}`' for code in codes)}." if codes else ""
    limits = ("retry-after-ms", *_LIMITS) if "rate_limit_exceeded" in codes else ()
    return _reply(about + listed, "Error", headers=("x-should-retry", "retry-after", *limits))


def _errors(*statuses: int) -> Schema:
    return {str(one): {"$ref": f"#/components/responses/Error{one}"} for one in sorted(statuses)}


def _refusals(statuses: Sequence[int]) -> Schema:
    return {**_errors(*statuses), "default": {"$ref": "#/components/responses/Refusal"}}


def _images(*besides: str) -> Schema:
    """Return the response of a job that is done, or of a call that says something ``besides``."""
    limits = _LIMITS if besides else ()
    reply = _reply("The images.", "ImagesResponse", *besides, headers=("age", *_ENDING, *limits))
    event = {"schema": {"$ref": REF.format(model="CompletedEvent")}}
    reply["content"]["text/event-stream"] = event
    return reply


_ELSEWHERE = _reply(
    "Not here: `Location` waits on for the job, which is the body; or it is where an answer too "
    "large for Lambda lies, and there is no body. Fetch the latter without your key.",
    "Job",
    headers=("location", *_LIMITS),
)
_ACCEPTED = _reply(
    "The job, as `Prefer: respond-async` wishes.",
    "Job",
    headers=("location", "preference-applied", *_LIMITS),
)


# ---- Paths ----


def _paths(forms: Schema) -> Schema:
    return {
        "/images/generations": {"post": _making("createImage", "Make images.", "generate", forms)},
        "/images/edits": {"post": _making("createImageEdit", "Edit images.", "edit", forms)},
        "/images/variations": {
            "post": _making("createImageVariation", "Vary an image.", "variation", forms)
        },
        "/inputs": {"post": _granting()},
        "/jobs": {
            "get": _looking("listJobs", "List the jobs.", "JobList", (400,), "Limit", "After")
        },
        "/jobs/{id}": {
            "get": _looking("getJob", "Show a job as it is.", "Job", (404,), "JobId"),
            "delete": _looking("cancelJob", "Cancel a queued job.", "Job", (404, 409), "JobId"),
        },
        "/jobs/{id}/result": {
            "get": _waiting("getJobResult", "Wait on for a job.", _images()),
            "head": _waiting(
                "headJobResult",
                "Wait on for a job.",
                _reply("It is done.", headers=("age", *_ENDING)),
            ),
            "post": _waiting("postJobResult", "The same, for clients that post again.", _images()),
        },
        "/usage": {
            "get": _looking(
                "getUsage", "Tell what was spent.", "UsageReport", (400,), "From", "To", "GroupBy"
            )
        },
        "/models": {"get": _looking("listModels", "List the models.", "ModelList", ())},
        "/models/{id}": {
            "get": _looking("retrieveModel", "Show a model.", "Model", (404,), "ModelId")
        },
        "/healthz": {"get": _public("getHealth", "Tell that all is well.", "Health")},
        "/openapi.json": {"get": _public("getDocument", "Show this document.", "Document")},
    }


def _operation(name: str, about: str, asked: Sequence[str], responses: Schema) -> Schema:
    parameters = [{"$ref": f"#/components/parameters/{one}"} for one in asked]
    return {
        "operationId": name,
        "summary": about,
        "parameters": parameters,
        "responses": responses,
    }


def _making(name: str, about: str, operation: Operation, forms: Schema) -> Schema:
    responses = {"200": _images("Quote"), "202": _ACCEPTED, "303": _ELSEWHERE, **_refusals(_MAKING)}
    made = _operation(name, about, ("IdempotencyKey", "CacheControl", "Prefer"), responses)
    return {**made, "requestBody": {"required": True, "content": _content(operation, forms)}}


def _waiting(name: str, about: str, done: Schema) -> Schema:
    asked = ("JobId", "Prefer", "Hop", "ResponseFormat", "Stream", "Model", "Cached")
    responses = {"200": done, "303": _ELSEWHERE, **_refusals(_MAKING)}
    return _operation(name, about, asked, responses)


def _granting() -> Schema:
    responses = {"200": _reply("Where to post it.", "Input"), **_errors(400, 401, *_ANYWHERE)}
    body = {"schema": {"$ref": REF.format(model="Upload")}, "example": schemas.UPLOAD}
    made = _operation("createInput", "Ask for the leave to upload an image.", (), responses)
    return {**made, "requestBody": {"required": True, "content": {"application/json": body}}}


def _looking(name: str, about: str, shown: str, refused: Sequence[int], *asked: str) -> Schema:
    responses = {"200": _reply("As it is now.", shown), **_errors(401, *refused, *_ANYWHERE)}
    return _operation(name, about, asked, responses)


def _public(name: str, about: str, shown: str) -> Schema:
    responses = {"200": _reply("As it is now.", shown), **_errors(*_ANYWHERE)}
    return {**_operation(name, about, (), responses), "security": []}


def _content(operation: Operation, forms: Schema) -> Schema:
    body, form = (f"{operation.title()}{kind}" for kind in ("Request", "Form"))
    examples = {name: {"value": value} for name, value in schemas.EXAMPLES[operation].items()}
    sent = {"schema": {"$ref": REF.format(model=body)}, "examples": examples}
    if form not in forms:
        return {"application/json": sent}
    files = {
        "schema": {"$ref": REF.format(model=form)},
        "encoding": schemas.encoding(forms[form]),
    }
    return {"application/json": sent, "multipart/form-data": files}
