from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from easel.formats import sniff
from tests.functions.conftest import Context, Deployed


def call(deployed: Deployed, context: Context, body: Any, **headers: str) -> dict[str, Any]:
    event = deployed.event("generate", "https", body=json.dumps(body))
    event["requestContext"]["requestTimeEpoch"] = int(deployed.now * 1000)
    event["headers"] |= headers
    return deployed.handler("generate")(event, context)


def follow(deployed: Deployed, context: Context, location: str) -> dict[str, Any]:
    url = urlsplit(location)
    _, _, job, *rest = url.path.strip("/").split("/")
    event = deployed.event("jobs", "https")
    event["resource"] = "/".join(["/jobs/{id}", *rest])
    event["pathParameters"] = {"id": job}
    event["path"] = url.path.removeprefix("/v1")
    event["queryStringParameters"] = dict(parse_qsl(url.query)) or None
    event["requestContext"] |= {"path": url.path, "requestTimeEpoch": int(deployed.now * 1000)}
    return deployed.handler("jobs")(event, context)


def work(deployed: Deployed, context: Context) -> None:
    for event in deployed.messages():
        assert deployed.handler("worker")(event, context) == {"batchItemFailures": []}


@pytest.fixture
def impatient(deployed: Deployed) -> Deployed:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    return deployed


def test_a_picture_comes_by_way_of_the_queue(impatient: Deployed, context: Context) -> None:
    first = call(impatient, context, {"prompt": "a slow cat", "size": "1024x1024"})
    assert first["statusCode"] == 303
    assert json.loads(first["body"])["status"] == "queued"
    location = first["headers"]["location"]
    assert location.startswith("/v1/jobs/job_")
    assert location.endswith("/result?hop=1")

    again = follow(impatient, context, location)
    assert again["statusCode"] == 303
    assert again["headers"]["location"].endswith("?hop=2")

    work(impatient, context)
    done = follow(impatient, context, again["headers"]["location"])
    assert done["statusCode"] == 200
    reply = json.loads(done["body"])
    datum = reply["data"][0]
    header = sniff(base64.b64decode(datum["b64_json"]))
    assert (header.width, header.height) == (datum["width"], datum["height"]) == (1024, 1024)
    assert datum["url"].startswith("https://")
    assert reply["model"] == "gpt-image-2.5-flare"
    assert reply["prompt"] == "a slow cat"
    assert reply["quality"] == "medium"
    assert reply["cost_usd"] > 0
    assert reply["cached"] is False
    assert len(impatient.standin.calls()) == 1


def test_after_eight_hops_the_callers_retry_goes_on(impatient: Deployed, context: Context) -> None:
    location = call(impatient, context, {"prompt": "a very slow cat"})["headers"]["location"]
    for hop in range(2, 9):
        location = follow(impatient, context, location)["headers"]["location"]
        assert location.endswith(f"hop={hop}")
    end = follow(impatient, context, location)
    assert end["statusCode"] == 503
    assert end["headers"]["x-should-retry"] == "true"
    assert end["headers"]["retry-after"] == "1"

    retried = call(
        impatient, context, {"prompt": "a very slow cat"}, **{"x-stainless-retry-count": "1"}
    )
    assert retried["headers"]["location"].split("/")[3] == location.split("/")[3]


def test_two_equal_calls_are_two_pictures(impatient: Deployed, context: Context) -> None:
    ids = {json.loads(call(impatient, context, {"prompt": "a cat"})["body"])["id"] for _ in "ab"}
    assert len(ids) == 2


def test_an_idempotency_key_is_bound_to_its_request(impatient: Deployed, context: Context) -> None:
    key = {"Idempotency-Key": "k1"}
    first = json.loads(call(impatient, context, {"prompt": "a cat"}, **key)["body"])
    assert json.loads(call(impatient, context, {"prompt": "a cat"}, **key)["body"]) == first
    other = call(impatient, context, {"prompt": "a dog"}, **key)
    assert other["statusCode"] == 409
    assert json.loads(other["body"])["error"]["code"] == "idempotency_key_reused"
    assert other["headers"]["x-should-retry"] == "false"


def test_respond_async_answers_with_the_job(impatient: Deployed, context: Context) -> None:
    accepted = call(impatient, context, {"prompt": "a cat"}, Prefer="respond-async")
    assert accepted["statusCode"] == 202
    assert accepted["headers"]["preference-applied"] == "respond-async"
    job = json.loads(accepted["body"])
    assert job["object"] == "image.job"
    work(impatient, context)
    shown = follow(impatient, context, f"/v1/jobs/{job['id']}")
    assert shown["statusCode"] == 200
    assert json.loads(shown["body"])["status"] == "succeeded"


def test_another_tenants_job_is_unknown(impatient: Deployed, context: Context) -> None:
    location = call(impatient, context, {"prompt": "a cat"})["headers"]["location"]
    job = location.split("/")[3]
    unknown = follow(impatient, context, f"/v1/jobs/{job[:-1]}x")
    event = impatient.event("jobs", "https", pathParameters={"id": job})
    event["requestContext"]["authorizer"]["tenant"] = '{"name": "other"}'
    others = impatient.handler("jobs")(event, context)
    assert unknown["statusCode"] == others["statusCode"] == 404
    assert json.loads(others["body"])["error"]["code"] == "job_not_found"


REFUSED = {
    "no prompt": ({"size": "1024x1024"}, "prompt"),
    "an empty prompt": ({"prompt": " "}, "prompt"),
    "a long prompt": ({"prompt": "x" * 32_001}, "prompt"),
    "n of 0": ({"prompt": "x", "n": 0}, "n"),
    "n of 11": ({"prompt": "x", "n": 11}, "n"),
    "n of two": ({"prompt": "x", "n": "two"}, "n"),
    "no size": ({"prompt": "x", "size": "vast"}, "size"),
    "beyond the model": ({"prompt": "x", "size": "9000x9000"}, "size"),
    "transparent jpeg": (
        {"prompt": "x", "background": "transparent", "output_format": "jpeg"},
        "background",
    ),
    "unknown model": ({"prompt": "x", "model": "dall-e-9"}, "model"),
    "a number for a prompt": ({"prompt": 7}, "prompt"),
}


@pytest.mark.parametrize(("body", "param"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_succeed_is_refused_before_anything_is_held(
    impatient: Deployed, context: Context, body: dict[str, Any], param: str
) -> None:
    refused = call(impatient, context, body)
    assert refused["statusCode"] in (400, 404)
    error = json.loads(refused["body"])["error"]
    assert error["param"] == param
    assert set(error) == {"message", "type", "param", "code"}
    assert refused["headers"]["x-should-retry"] == "false"
    assert impatient.messages() == []
    assert impatient.rows("JOBS_TABLE") == impatient.rows("LEDGER_TABLE") == {}
    assert impatient.standin.calls() == []


def test_nothing_is_bought_for_a_caller_who_is_gone(impatient: Deployed, context: Context) -> None:
    event = impatient.event("generate", "https")
    event["requestContext"]["requestTimeEpoch"] = int((impatient.now - 30) * 1000)
    late = impatient.handler("generate")(event, context)
    assert late["statusCode"] == 503
    assert late["headers"]["x-should-retry"] == "true"
    assert impatient.rows("JOBS_TABLE") == {}


def test_blind_repeats_meet_the_jobs_that_are_still_open(
    impatient: Deployed, context: Context
) -> None:
    impatient.set(INTEGRATION_TIMEOUT_MILLIS="4000")
    blind = {"x-stainless-retry-count": ""}
    first = json.loads(call(impatient, context, {"prompt": "a cat"}, **blind)["body"])
    side_by_side = json.loads(call(impatient, context, {"prompt": "a cat"}, **blind)["body"])
    assert side_by_side["id"] != first["id"]
    time.sleep(5)
    again = [
        json.loads(call(impatient, context, {"prompt": "a cat"}, **blind)["body"])["id"]
        for _ in range(2)
    ]
    assert again == [first["id"], side_by_side["id"]]


def test_a_tenant_says_what_those_get_who_do_not_ask(impatient: Deployed, context: Context) -> None:
    location = call(impatient, context, {"prompt": "a cat"})["headers"]["location"]
    work(impatient, context)
    event = impatient.event("jobs", "https")
    event["resource"] = "/jobs/{id}/result"
    event["pathParameters"] = {"id": location.split("/")[3]}
    event["requestContext"]["authorizer"]["tenant"] = (
        '{"name": "demo", "response_format": "b64_json"}'
    )
    jobs = impatient.handler("jobs")
    [datum] = json.loads(jobs(event, context)["body"])["data"]
    assert ("b64_json" in datum, "url" in datum) == (True, False)
    asked = jobs({**event, "queryStringParameters": {"response_format": "url"}}, context)
    [datum] = json.loads(asked["body"])["data"]
    assert ("b64_json" in datum, "url" in datum) == (False, True)
