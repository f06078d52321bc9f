"""The catalogue over HTTPS."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from easel.catalogue import Catalogue
from easel.doors.https import Call
from easel.doors.models import serve
from easel.errors import NotFound
from easel.settings import Settings
from tests.unit.doors.events import call, event

NOVEMBER = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def get(route: str, name: str | None = None, now: float = NOVEMBER) -> dict[str, Any]:
    made = call("models", resource=route, pathParameters=name and {"id": name})
    reply = serve(made, Catalogue.load(), Settings(), now)
    assert reply.status == 200
    body: dict[str, Any] = json.loads(reply.rendered("r")["body"])
    return body


def test_health() -> None:
    assert get("/healthz") == {"status": "ok"}


def test_the_list_is_openais() -> None:
    listed = get("/models")
    assert listed["object"] == "list"
    names = [each["id"] for each in listed["data"]]
    assert len(set(names)) == len(names)
    assert {"gpt-image-2", "gpt-image-2.5-flare", "dall-e-3"} <= set(names)
    assert all(each["object"] == "model" for each in listed["data"])


def test_one_model() -> None:
    model = get("/models/{id}", "gpt-image-2.5-flare")
    assert model["id"] == "gpt-image-2.5-flare"
    assert isinstance(model["created"], int)
    assert (model["owned_by"], model["resolves_to"]) == ("openai", None)
    assert model["prices"]["image_out"] == "30"
    assert model in get("/models")["data"]


def test_a_retired_name_says_what_it_stands_for() -> None:
    model = get("/models/{id}", "dall-e-3")
    assert model["shutdown_date"] == "2026-05-12"
    assert model["resolves_to"] == "gpt-image-2.5-flare"


def test_what_a_name_stands_for_changes_with_the_day() -> None:
    name = "gpt-image-1.5"
    assert get("/models/{id}", name)["resolves_to"] is None
    assert get("/models/{id}", name, now=DECEMBER)["resolves_to"].startswith("gpt-image-2.6-")


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        get("/models/{id}", "gpt-image-9")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_preflight_is_answered_for_listed_origins_alone() -> None:
    made = Call(APIGatewayProxyEvent(event("models", "preflight")))
    listed = Settings(allowed_origins=("https://app.example.com",))
    reply = serve(made, Catalogue.load(), listed, NOVEMBER)
    assert (reply.status, reply.body) == (204, "")
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type"
    with pytest.raises(NotFound):
        serve(made, Catalogue.load(), Settings(), NOVEMBER)
