"""The leave to upload, and the headers by which a browser's page may ask for it."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from easel import uploads
from tests.functions.conftest import Context, Deployed

APP = "https://app.example.com"


@pytest.fixture
def ready(deployed: Deployed) -> Deployed:
    deployed.tenant()
    return deployed


def asked(deployed: Deployed, body: Any, **headers: str) -> dict[str, Any]:
    event = deployed.event("inputs", "https", body=json.dumps(body))
    event["headers"] |= headers
    return deployed.handler("inputs")(event, Context())


def test_the_leave_is_for_the_bucket_and_the_tenant(ready: Deployed) -> None:
    answer = asked(ready, {"bytes": 9, "content_type": "image/png"})
    assert answer["statusCode"] == 200
    said = json.loads(answer["body"])
    assert said["url"].startswith("https://easel.s3.")
    assert said["fields"]["key"] == uploads.key("demo", said["file_id"])
    assert uploads.created_at(said["file_id"]) == pytest.approx(ready.now, abs=60)
    assert said["expires_at"] == pytest.approx(ready.now + 3600, abs=60)
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="easel")


def test_a_refusal_is_openais(ready: Deployed) -> None:
    answer = asked(ready, {"bytes": 50 * 2**20, "content_type": "image/png"})
    assert answer["statusCode"] == 400
    assert answer["headers"]["x-should-retry"] == "false"
    error = json.loads(answer["body"])["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "bytes")


CALLS = {"inputs": "https", "jobs": "https", "models": "https", "generate": "https"}


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("origins", ["", f"https://shop.example.com,{APP}"])
def test_a_listed_page_may_read_every_functions_answers(
    ready: Deployed, function: str, origins: str
) -> None:
    ready.set(ALLOWED_ORIGINS=origins, WORK_QUEUE_URL="")
    event = ready.event(function, CALLS[function])
    event["headers"]["Origin"] = APP
    headers = ready.handler(function)(event, Context())["headers"]
    told = {name for name in headers if name.startswith("access-control-") or name == "vary"}
    if origins:
        assert headers["access-control-allow-origin"] == APP
        assert "vary" in told
    else:
        assert told == set()


def test_a_preflight_is_answered(ready: Deployed) -> None:
    ready.set(ALLOWED_ORIGINS=APP)
    event = ready.event("models", "preflight")
    answer = ready.handler("models")(event, Context())
    assert (answer["statusCode"], answer["body"]) == (204, "")
    headers = answer["headers"]
    assert headers["access-control-allow-origin"] == APP
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in headers["access-control-allow-methods"].split(", ")


def test_another_pages_preflight_is_refused(ready: Deployed) -> None:
    ready.set(ALLOWED_ORIGINS="https://shop.example.com")
    answer = ready.handler("models")(ready.event("models", "preflight"), Context())
    assert answer["statusCode"] == 404
    assert not {name for name in answer["headers"] if name.startswith("access-control-")}
