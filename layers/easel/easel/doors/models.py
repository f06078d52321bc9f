"""The catalogue over HTTPS: OpenAI's model objects, with what Easel adds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from easel.catalogue import Catalogue, Listing
from easel.doors.https import Call, Reply
from easel.errors import NotFound


def serve(call: Call, catalogue: Catalogue, now: float) -> Reply:
    """Answer ``/models``, ``/models/{id}`` and ``/healthz``."""
    if call.event.resource == "/healthz":
        return Reply(200, {"status": "ok"})
    listed = {one.id: one for one in catalogue.listed(datetime.fromtimestamp(now, UTC).date())}
    if call.event.resource == "/models":
        return Reply(200, {"object": "list", "data": [_object(one) for one in listed.values()]})
    name = call.event.path_parameters["id"]
    if name not in listed:
        raise NotFound(
            f"The model {name!r} does not exist. GET /v1/models lists those that do.",
            code="model_not_found",
            param="model",
        )
    return Reply(200, _object(listed[name]))


def _object(one: Listing) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "model",
        "created": one.created,
        "owned_by": "openai",
        "shutdown_date": one.shutdown_date and one.shutdown_date.isoformat(),
        "resolves_to": one.resolves_to,
        "prices": one.prices,
    }
