"""Odd calls at the HTTPS door: none is a 500, none pays unasked, none loses its picture."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.errors import InvalidRequest, NotFound
from easel.tenants import DIRECT, valid_name
from tests.functions.conftest import Clock, Context, Deployed, fail
from tests.functions.test_https import call, follow, work
from tests.functions.test_worker import overdue


def refused(deployed: Deployed, answer: dict[str, Any]) -> dict[str, Any]:
    """Return the error of a call that must have held, kept, sent and bought nothing."""
    assert answer["statusCode"] == 400, answer
    assert answer["headers"]["x-should-retry"] == "false"
    untouched(deployed)
    error: dict[str, Any] = json.loads(answer["body"])["error"]
    return error


def untouched(deployed: Deployed) -> None:
    assert deployed.rows("JOBS_TABLE") == deployed.rows("LEDGER_TABLE") == {}
    assert deployed.messages() == []
    assert boto3.client("s3").list_objects_v2(Bucket="easel")["KeyCount"] == 0
    assert deployed.standin.calls() == []


def made(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["statusCode"] == 200, answer["body"][:500]
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def failed(deployed: Deployed, context: Context, **headers: str) -> dict[str, Any]:
    """Return the result of a call that upstream was too busy for."""
    busy = {"status": 503, "code": "server_is_overloaded"}
    deployed.standin.rule(containing="a busy cat", headers={"retry-after": "7"}, **busy)
    location = call(deployed, context, {"prompt": "a busy cat"}, **headers)["headers"]["location"]
    clock = Clock()
    easel = bootstrap.build(clock=clock, sleep=clock.sleep)
    easel.lifecycle.worker.run("demo", location.split("/")[3], deployed.now + 900)
    return follow(deployed, context, location)


# --- texts and sizes ---


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x\ud800"},
        {"prompt": {"subject": "x\ud800"}},
        {"prompt": "x", "later": {"a": ["\ud800"]}},
        {"prompt": "x", "later": {"\ud800": 1}},
    ],
    ids=["prompt", "part", "value", "key"],
)
def test_half_a_character_is_refused(
    hurried: Deployed, context: Context, body: dict[str, Any]
) -> None:
    assert refused(hurried, call(hurried, context, body))["code"] == "invalid_value"


def test_half_a_character_names_no_parameter(hurried: Deployed, context: Context) -> None:
    error = refused(hurried, call(hurried, context, {"prompt": "x", "\ud800": 1}))
    assert error["code"] == "unknown_parameter"


def test_half_a_character_in_a_users_name_is_nobodys_business(
    hurried: Deployed, context: Context
) -> None:
    assert call(hurried, context, {"prompt": "x", "user": "\ud800"})["statusCode"] == 303


@pytest.mark.parametrize(
    "later", ["A" * 300_000, [1] * 150_000, [1e15] * 20_000], ids=["text", "list", "floats"]
)
def test_what_does_not_fit_the_ledger_is_refused(
    hurried: Deployed, context: Context, later: Any
) -> None:
    assert refused(hurried, call(hurried, context, {"prompt": "x", "later": later}))


def test_what_is_let_in_fits_the_ledger(hurried: Deployed, context: Context) -> None:
    body = {"prompt": "x", "later": [1] * 149_000}
    assert call(hurried, context, body)["statusCode"] == 303


def test_deep_nesting_is_called_by_its_name(hurried: Deployed, context: Context) -> None:
    later: list[Any] = []
    for _ in range(400):
        later = [later]
    error = refused(hurried, call(hurried, context, {"prompt": "x", "later": later}))
    assert "nested" in error["message"]


def test_many_emoji_in_parts_make_a_picture(inline: Deployed, context: Context) -> None:
    subject = "\N{FOX FACE}" * 18_000
    assert made(call(inline, context, {"prompt": {"subject": subject}}))["prompt"] == subject


def test_a_long_name_that_upstream_echoes_is_no_500(inline: Deployed, context: Context) -> None:
    refusal = call(inline, context, {"prompt": "x", "A" * 290_000: 1})
    assert refusal["statusCode"] == 400
    assert json.loads(refusal["body"])["error"]["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    "body",
    [
        {"images": [{"file_id": "job_1/0"}]},
        {"mask": {"image_url": "data:image/png;base64,AAAA"}},
    ],
    ids=["images", "mask"],
)
def test_a_generation_takes_no_images(
    hurried: Deployed, context: Context, body: dict[str, Any]
) -> None:
    error = refused(hurried, call(hurried, context, {"prompt": "x", **body}))
    assert error["param"] == next(iter(body))


def test_numbers_and_names_without_end_are_no_500(hurried: Deployed, context: Context) -> None:
    nines = "9" * 5000
    counted = call(hurried, context, {"prompt": "x"}, **{"x-stainless-retry-count": nines})
    assert counted["statusCode"] == 303
    assert follow(hurried, context, counted["headers"]["location"] + nines)["statusCode"] == 503
    assert follow(hurried, context, "/v1/jobs/" + "j" * 2000)["statusCode"] == 404
    for prompt in ({"from": "j" * 2000}, {"from": "j" * 2000, "add": ["x"]}):
        assert call(hurried, context, {"prompt": prompt})["statusCode"] == 404


def test_an_id_without_end_is_not_looked_up(hurried: Deployed) -> None:
    """DynamoDB refuses a key beyond 1,024 bytes, which moto does not."""
    easel = bootstrap.build()
    lookups = fail(easel.lifecycle.ledger.client, "GetItem", "ValidationException")
    with pytest.raises(NotFound):
        easel.lifecycle.find("demo", "j" * 2000)
    assert lookups == []


def test_the_tenant_of_direct_invocations_cannot_be_created() -> None:
    with pytest.raises(InvalidRequest, match="taken"):
        valid_name(DIRECT)


# --- repeats, failures and time ---


def test_a_retry_meets_its_open_job_however_old(hurried: Deployed, context: Context) -> None:
    easel = bootstrap.build()
    job = json.loads(call(hurried, context, {"prompt": "x"})["body"])["id"]
    opened = easel.lifecycle.find("demo", job)
    overdue(hurried, opened, created_at=int(hurried.now) - 1000)
    again = call(hurried, context, {"prompt": "x"}, **{"x-stainless-retry-count": "3"})
    assert json.loads(again["body"])["id"] == job


def test_a_message_that_is_not_sent_is_sent_by_the_sweep(
    hurried: Deployed, context: Context
) -> None:
    sqs = boto3.client("sqs")
    sqs.delete_queue(QueueUrl=hurried.environ["WORK_QUEUE_URL"])
    answer = call(hurried, context, {"prompt": "x"})
    assert answer["statusCode"] == 303
    sqs.create_queue(QueueName="work")
    later = bootstrap.build(clock=lambda: hurried.now + 70)
    assert later.lifecycle.sweep() == 1
    work(hurried, context)
    assert made(follow(hurried, context, answer["headers"]["location"]))["data"]


def test_a_failed_job_says_when_to_come_back(hurried: Deployed, context: Context) -> None:
    answer = failed(hurried, context)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "7")
    assert answer["headers"]["x-should-retry"] == "true"


def test_a_failed_job_with_a_key_is_not_retried(hurried: Deployed, context: Context) -> None:
    key = {"Idempotency-Key": "k"}
    for answer in (
        failed(hurried, context, **key),
        call(hurried, context, {"prompt": "a busy cat"}, **key),
    ):
        assert answer["statusCode"] == 503
        assert answer["headers"]["x-should-retry"] == "false"


def test_an_answer_past_its_retention_is_gone(hurried: Deployed, context: Context) -> None:
    location = call(hurried, context, {"prompt": "x"})["headers"]["location"]
    work(hurried, context)
    boto3.client("dynamodb").update_item(
        TableName=hurried.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{location.split('/')[3]}"}},
        UpdateExpression="SET finished_at = :at",
        ExpressionAttributeValues={":at": {"N": str(int(hurried.now) - 31 * 86_400)}},
    )
    for query in "", "&response_format=url", "&stream=true":
        gone = follow(hurried, context, location + query)
        assert gone["statusCode"] == 410
        assert json.loads(gone["body"])["error"]["code"] == "job_expired"
