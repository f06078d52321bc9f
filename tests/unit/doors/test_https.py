"""An HTTPS call as the doors see it, and their answers as API Gateway takes them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from easel.cache import CacheControl
from easel.doors.https import Call, Reply, answer
from easel.errors import InvalidRequest, Overloaded
from easel.identity import Identity
from easel.requests import Delivery
from tests.unit.doors.events import call, event

ARRIVED = 1_795_350_896
"""``requestTimeEpoch`` of the event, in seconds."""


def headers(**values: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in values.items()}


# --- the deadline ---


DEADLINES: dict[str, tuple[dict[str, str], float, float]] = {
    # headers, how long after its arrival the function starts, and the deadline after the arrival
    "our own patience": ({}, 0, 25),
    "API Gateway's, after a cold start": ({}, 5, 26),
    "the SDK's": (headers(x_stainless_read_timeout="20"), 0, 17),
    "the SDK's, after a cold start": (headers(x_stainless_read_timeout="20"), 5, 17),
    "an SDK that waits long": (headers(x_stainless_read_timeout="600"), 0, 25),
    "the caller's preference": (headers(prefer="wait=10"), 5, 15),
    "a preference beyond the rest": (headers(prefer="wait=100"), 0, 25),
    "no wish to wait": (headers(prefer="wait=0"), 2, 2),
    "numbers that are none": (headers(prefer="wait=x", x_stainless_read_timeout="y"), 0, 25),
    "numbers that mean nothing": (headers(prefer="wait=-1", x_stainless_read_timeout="nan"), 0, 25),
}


@pytest.mark.parametrize(("sent", "start", "expected"), DEADLINES.values(), ids=list(DEADLINES))
def test_the_deadline_is_the_least_of_four(
    sent: dict[str, str], start: float, expected: float
) -> None:
    made = call(headers={"x-stainless-read-timeout": "", **sent})
    assert made.deadline(ARRIVED + start, wait=25, integration=29) == ARRIVED + expected


def test_the_deadline_rises_with_what_aws_permits() -> None:
    assert call().deadline(ARRIVED, wait=200, integration=180) == ARRIVED + 177


# --- who, and whether again ---


def test_the_tenant_is_whom_the_authorizer_found() -> None:
    assert call().tenant.name == "demo"


RETRIES = {
    "": None,
    "0": 0,
    "1": 1,
    "12": 12,
    "x": None,
    "-1": None,
    "²": None,
    "٣": None,
    "9" * 5: None,
}


@pytest.mark.parametrize(("count", "expected"), RETRIES.items())
def test_a_retry_is_what_the_sdk_counts(count: str, expected: int | None) -> None:
    assert call(headers=headers(x_stainless_retry_count=count)).identity.retries == expected


def test_a_key_is_the_callers_own() -> None:
    assert call(headers=headers(idempotency_key="k")).identity == Identity(
        idempotency_key="k", retries=0
    )
    assert call(headers=headers(idempotency_key="")).identity.idempotency_key is None
    assert call().identity == Identity(retries=0)


def test_a_call_says_what_it_wants_of_the_cache() -> None:
    asked = call(headers=headers(cache_control="max-age=60, no-store")).identity
    assert asked == Identity(retries=0, cache=CacheControl(60, no_store=True))


@pytest.mark.parametrize("name", ["Idempotency-Key", "IDEMPOTENCY-KEY", "idempotency-key"])
def test_the_case_of_a_header_does_not_matter(name: str) -> None:
    assert call(headers={name: "k"}).identity.idempotency_key == "k"


# --- Prefer ---


PREFER: dict[str, tuple[str | None, str | None]] = {
    # what it says of respond-async, and of wait
    "": (None, None),
    "respond-async": ("", None),
    "wait=10": (None, "10"),
    'wait="10"': (None, "10"),
    "respond-async, wait=10": ("", "10"),
    "Respond-Async,Wait=10": ("", "10"),
    "return=minimal": (None, None),
    "respond-asynchronously": (None, None),
    "wait=1, wait=2": (None, "1"),
}


@pytest.mark.parametrize(("prefer", "expected"), PREFER.items())
def test_preferences(prefer: str, expected: tuple[str | None, str | None]) -> None:
    made = call(headers=headers(prefer=prefer))
    assert (made.preference("respond-async"), made.preference("wait")) == expected


@pytest.mark.parametrize("prefer", ["respond-async; x=1, wait=10", "respond-async ,wait = 10"])
def test_preferences_as_the_rfc_permits_them(prefer: str) -> None:
    made = call(headers=headers(prefer=prefer))
    assert (made.preference("respond-async"), made.preference("wait")) == ("", "10")


# --- where ---


ROOTS = {
    "the stage": ("/v1/images/generations", "/images/generations", None, "/v1"),
    "another stage": ("/prod/images/generations", "/images/generations", None, "/prod"),
    "a domain": ("/images/generations", "/images/generations", None, ""),
    "a domain's base path": ("/ai/v1/images/generations", "/images/generations", None, "/ai/v1"),
    "a slash at the end": (
        "/v1/images/generations/",
        "/images/generations",
        None,
        "/v1",
    ),
    "a parameter": ("/v1/jobs/job_1", "/jobs/{id}", {"id": "job_1"}, "/v1"),
    "a parameter within": (
        "/ai/v1/jobs/job_1/result",
        "/jobs/{id}/result",
        {"id": "job_1"},
        "/ai/v1",
    ),
}


@pytest.mark.parametrize(("path", "route", "given", "root"), ROOTS.values(), ids=list(ROOTS))
def test_the_root_is_the_stages_or_the_domains(
    path: str, route: str, given: dict[str, str] | None, root: str
) -> None:
    made = call(resource=route, pathParameters=given, context={"path": path})
    assert made.root == root


# --- what ---


def test_a_text_body_is_utf8() -> None:
    assert call(body='{"prompt": "é"}', isBase64Encoded=False).body == '{"prompt": "é"}'.encode()


def test_a_binary_body_is_decoded() -> None:
    data = bytes(range(256))
    assert call(body=base64.b64encode(data).decode(), isBase64Encoded=True).body == data


@pytest.mark.parametrize("body", ["!", "a", "é", "\ud800", "YWJj YQ="])
def test_a_binary_body_that_is_none_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest, match="base64"):
        _ = call(body=body, isBase64Encoded=True).body


@pytest.mark.parametrize("encoded", [True, False])
def test_no_body_is_an_empty_one(encoded: bool) -> None:
    assert call(body=None, isBase64Encoded=encoded).body == b""


def test_the_query_says_how_the_answer_is_wanted() -> None:
    asked = {"hop": "1", "response_format": "url", "stream": "true", "model": "dall-e-3"}
    assert call(queryStringParameters=asked).delivery() == Delivery(
        response_format="url", stream=True, model="dall-e-3"
    )
    assert call(queryStringParameters=None).delivery() == Delivery()


@pytest.mark.parametrize(("name", "value"), [("response_format", "png"), ("stream", "perhaps")])
def test_what_the_query_cannot_mean_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(queryStringParameters={name: value}).delivery()
    assert caught.value.param == name


# --- answers ---


def served(result: Any, *origins: str, **changes: Any) -> dict[str, Any]:
    def serve(_: Call) -> Reply:
        if isinstance(result, Reply):
            return result
        raise result

    return answer(event(**changes), serve, origins)


def test_an_answer_is_a_proxy_response() -> None:
    assert served(Reply(303, {"id": "é"}, {"location": "/v1/jobs/x"})) == {
        "statusCode": 303,
        "headers": {
            "content-type": "application/json",
            "cache-control": "no-store",
            "x-request-id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "location": "/v1/jobs/x",
        },
        "body": json.dumps({"id": "é"}),
    }


def test_text_passes_as_it_is_under_its_own_type() -> None:
    reply = served(Reply(200, "data: {}\n\n", {"content-type": "text/event-stream"}))
    assert reply["body"] == "data: {}\n\n"
    assert reply["headers"]["content-type"] == "text/event-stream"


def test_an_error_leaves_in_openais_shape() -> None:
    reply = served(Overloaded("Busy.", retry_after=3))
    assert reply["statusCode"] == 503
    assert json.loads(reply["body"])["error"]["message"] == "Busy."
    assert reply["headers"]["retry-after"] == "3"
    assert reply["headers"]["x-should-retry"] == "true"
    assert reply["headers"]["x-request-id"]


def test_an_unexpected_error_leaks_nothing(log: io.StringIO) -> None:
    reply = served(RuntimeError("prompt: my secret"))
    assert reply["statusCode"] == 500
    error = json.loads(reply["body"])["error"]
    assert error["code"] == error["type"] == "server_error"
    assert reply["headers"]["x-request-id"] in error["message"]
    logged = log.getvalue()
    assert "RuntimeError" in logged
    assert "test_https.py" in logged
    assert "secret" not in reply["body"] + logged


def test_an_answer_is_logged_without_what_is_in_it(log: io.StringIO) -> None:
    served(Reply(200, {"prompt": "my secret"}), body='{"prompt": "my secret"}')
    [line] = log.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["route"], entry["status"]) == ("/images/generations", 200)
    assert entry["request"] == "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    assert "secret" not in line
    assert "easel-local" not in line


@pytest.mark.parametrize("result", [Reply(200, {}), InvalidRequest("No."), RuntimeError()])
def test_a_listed_page_may_read_whatever_is_answered(result: Any) -> None:
    page = {"Origin": "https://app.example.com"}
    reply = served(result, "https://app.example.com", headers=page)
    assert reply["headers"]["access-control-allow-origin"] == "https://app.example.com"
    assert reply["headers"]["vary"] == "origin"
    others = served(result, "https://shop.example.com", headers=page)["headers"]
    assert "access-control-allow-origin" not in others
    for unlisted in (served(result, headers=page), served(result)):
        assert not {name for name in unlisted["headers"] if name.startswith(("access-", "vary"))}
