"""HTTPS: API Gateway's proxy events in, its proxy responses out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pybase64
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from pydantic import ValidationError

from easel import telemetry
from easel.cache import CacheControl
from easel.doors import cors
from easel.errors import EaselError, InvalidRequest
from easel.identity import Identity
from easel.requests import Delivery
from easel.tenants import Tenant

_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII)
_MARGIN_SECONDS = 3
"""An answer is built so long before somebody gives up on it: API Gateway, or the SDK."""


@dataclass(frozen=True)
class Call:
    """An HTTPS call: who, how, and with what."""

    event: APIGatewayProxyEvent

    @cached_property
    def tenant(self) -> Tenant:
        """Whose key it was, as the authorizer found."""
        return Tenant.model_validate_json(self.event.request_context.authorizer["tenant"])

    @property
    def body(self) -> bytes:
        """The body as it was sent. Raises InvalidRequest."""
        if not self.event.is_base64_encoded:
            return (self.event.body or "").encode(errors="surrogatepass")
        try:
            return pybase64.b64decode(self.event.body or "", validate=True)
        except ValueError:
            raise InvalidRequest("The body arrived damaged: it is no base64.") from None

    @property
    def identity(self) -> Identity:
        """What the call says of itself, to tell a repeat from a new purchase."""
        count = self.header("x-stainless-retry-count")
        return Identity(
            idempotency_key=self.header("idempotency-key") or None,
            retries=int(count) if _COUNT.fullmatch(count) else None,
            cache=CacheControl.read(self.header("cache-control")),
        )

    @property
    def root(self) -> str:
        """The path's head that belongs to the stage or the domain, not to the route."""
        route = self.event.resource
        for name, value in (self.event.path_parameters or {}).items():
            route = route.replace(f"{{{name}}}", value)
        return self.event.request_context.path.rstrip("/").removesuffix(route)

    def header(self, name: str) -> str:
        """Return the header, or an empty text."""
        return self.event.headers.get(name) or ""

    def preference(self, name: str) -> str | None:
        """Return the preference's value (RFC 7240), empty where it has none, None if absent."""
        for one in self.header("prefer").split(","):
            key, _, value = one.partition(";")[0].partition("=")
            if key.strip().lower() == name:
                return value.strip('" ')
        return None

    def unheard(self, now: float, integration: float) -> bool:
        """Whether whoever called has given up, or been told by API Gateway it took too long."""
        patience = _seconds(self.header("x-stainless-read-timeout"))
        longest = integration if patience is None else min(integration, patience)
        return now > self.event.request_context.request_time_epoch / 1000 + longest

    def deadline(self, now: float, wait: float, integration: float) -> float:
        """Return the Unix time by which the answer must be built.

        ``wait`` and ``integration`` are how long we, and API Gateway, are willing to wait, in
        seconds; the SDK tells its own patience in ``x-stainless-read-timeout``.
        """
        start = self.event.request_context.request_time_epoch / 1000
        ends = [now + wait, start + integration - _MARGIN_SECONDS]
        patience = _seconds(self.header("x-stainless-read-timeout"))
        if patience is not None:
            ends.append(start + patience - _MARGIN_SECONDS)
        preferred = _seconds(self.preference("wait"))
        if preferred is not None:
            ends.append(now + preferred)
        return min(ends)

    def delivery(self) -> Delivery:
        """Return how the query says the answer is wanted. Raises InvalidRequest."""
        try:
            return Delivery.model_validate(self.event.query_string_parameters)
        except ValidationError as error:
            param = str(error.errors()[0]["loc"][0])
            raise InvalidRequest(
                f"Invalid {param!r}. 'response_format' is 'url' or 'b64_json', "
                "'stream' and 'cached' are 'true' or 'false'.",
                param=param,
            ) from None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: ``body`` is JSON text, or what becomes it."""

    status: int
    body: str | Mapping[str, Any] = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def rendered(self, request_id: str) -> dict[str, Any]:
        """Return API Gateway's proxy response."""
        return {
            "statusCode": self.status,
            "headers": {
                "content-type": "application/json",
                "cache-control": "no-store",
                "x-request-id": request_id,
                **self.headers,
            },
            "body": self.body if isinstance(self.body, str) else json.dumps(self.body),
        }


def answer(
    event: Mapping[str, Any], serve: Callable[[Call], Reply], origins: Collection[str]
) -> dict[str, Any]:
    """Serve one call; every error leaves in OpenAI's shape.

    Pages of the ``origins`` may read the answer.
    """
    call = Call(APIGatewayProxyEvent(dict(event)))
    request_id = str((event.get("requestContext") or {}).get("requestId"))
    try:
        reply = serve(call)
    except EaselError as error:
        reply = _of_error(error)
    except Exception as error:
        telemetry.unexpected(error)
        reply = _of_error(
            EaselError(
                f"Something went wrong in Easel. Tell the operator {request_id}, and try again."
            )
        )
    telemetry.logger.info(
        "answered",
        extra={"request": request_id, "route": event.get("resource"), "status": reply.status},
    )
    readable = cors.readable(call.header("origin"), origins)
    return replace(reply, headers={**reply.headers, **readable}).rendered(request_id)


def _of_error(error: EaselError) -> Reply:
    return Reply(error.status, error.body(), error.headers())


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
