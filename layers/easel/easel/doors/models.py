"""What needs no permission: OpenAI's model objects with what Easel adds, the document, CORS."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from easel.catalogue import Catalogue, Listing, Model
from easel.doors import cors
from easel.doors.https import Call, Reply
from easel.errors import NotFound
from easel.responses import cost_usd
from easel.settings import Settings


def serve(call: Call, catalogue: Catalogue, settings: Settings, now: float) -> Reply:
    """Answer ``/models``, ``/models/{id}``, ``/openapi.json``, ``/healthz``, and any OPTIONS."""
    if call.event.http_method == "OPTIONS":
        return _preflight(call, settings)
    if call.event.resource == "/healthz":
        return Reply(200, {"status": "ok"})
    today = datetime.fromtimestamp(now, UTC).date()
    if call.event.resource == "/openapi.json":
        from easel import openapi  # here, so that no other route waits for it

        return Reply(200, openapi.document(catalogue, settings, today, call.root))
    listed = {one.id: one for one in catalogue.listed(today)}
    if call.event.resource == "/models":
        objects = [_object(catalogue, one) for one in listed.values()]
        return Reply(200, {"object": "list", "data": objects})
    name = call.event.path_parameters["id"]
    if name not in listed:
        raise NotFound(
            f"The model {name!r} does not exist. GET /v1/models lists those that do.",
            code="model_not_found",
            param="model",
        )
    return Reply(200, _object(catalogue, listed[name]))


def _preflight(call: Call, settings: Settings) -> Reply:
    asked = call.header("access-control-request-headers")
    return Reply(204, "", cors.preflight(call.header("origin"), asked, settings.allowed_origins))


def _object(catalogue: Catalogue, one: Listing) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "model",
        "created": one.created,
        "owned_by": "openai",
        "shutdown_date": one.shutdown_date and one.shutdown_date.isoformat(),
        "resolves_to": one.resolves_to,
        "prices": one.prices,
        "usd_per_image": _per_image(catalogue.model(one.resolves_to or one.id)),
    }


def _per_image(model: Model) -> dict[str, float]:
    """Return the dollars of one square image by quality; its inputs come on top."""
    qualities = [one for one in model.parameters["quality"].choices if one != "auto"]
    return {one: cost_usd(model.image_price(one, 1024, 1024)) for one in qualities}
