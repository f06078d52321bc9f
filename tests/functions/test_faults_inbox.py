"""Odd objects in the inbox: each is answered, comes again, or is dropped for good."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.doors import inbox
from easel.images import MAX_BYTES
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture
from tests.functions.test_faults_ledger import CONFLICT, fail

DONE: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture
def tenanted(deployed: Deployed) -> Deployed:
    deployed.tenant()
    return deployed


def notice(event: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the event with its object's fields changed; None removes one."""
    body = json.loads(event["Records"][0]["body"])
    told = body["Records"][0]["s3"]["object"] | changes
    body["Records"][0]["s3"]["object"] = {k: v for k, v in told.items() if v is not None}
    return {"Records": [{**event["Records"][0], "body": json.dumps(body)}]}


def outbox(deployed: Deployed) -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket="easel", Prefix="outbox/")
    return [one["Key"] for one in found.get("Contents", [])]


def document(deployed: Deployed) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    return parsed


def test_without_a_work_queue_the_inbox_runs_its_job(tenanted: Deployed, context: Context) -> None:
    tenanted.set(WORK_QUEUE_URL="")
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    for _ in "once", "again":
        assert tenanted.handler("edit")(event, context) == DONE
    assert document(tenanted)["status"] == "succeeded"
    assert len(tenanted.standin.calls()) == 1


@pytest.mark.parametrize("prompt", ["=?utf-8?b?a?=", "=?foo?q?x?=", "=?utf-8?q?=FF?="])
def test_metadata_that_cannot_be_read_is_answered(
    tenanted: Deployed, context: Context, prompt: str
) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt=prompt)
    assert tenanted.handler("edit")(event, context) == DONE
    error = document(tenanted)["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "prompt")
    assert tenanted.rows("JOBS_TABLE") == {}


@pytest.mark.parametrize("key", ["inbox/cat.png", "inbox/", "inbox/demo/", "cat.png"])
def test_a_key_without_a_tenant_or_a_name_is_dropped(
    tenanted: Deployed, context: Context, key: str
) -> None:
    event = notice(drop(tenanted, key, picture(), prompt="x"), key=key)
    assert tenanted.handler("edit")(event, context) == DONE
    assert (outbox(tenanted), tenanted.rows("JOBS_TABLE")) == ([], {})


@pytest.mark.parametrize("letter", ["k", "é"], ids=["ascii", "two bytes"])
def test_a_key_that_leaves_no_room_for_its_answer_is_dropped(
    tenanted: Deployed, context: Context, letter: str
) -> None:
    key = "inbox/demo/" + letter * (1010 // len(letter.encode()))
    event = notice(drop(tenanted, key, picture(), prompt="x"), key=key)
    assert tenanted.handler("edit")(event, context) == DONE
    assert (outbox(tenanted), tenanted.rows("JOBS_TABLE")) == ([], {})


def test_an_object_that_is_too_large_is_answered(tenanted: Deployed) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build()

    def grow(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ContentLength"] = MAX_BYTES + 1

    easel.bucket.client.meta.events.register("after-call.s3.GetObject", grow)
    assert inbox.answer(easel, event, time.time() + 60) == DONE
    assert document(tenanted)["error"]["code"] == "request_too_large"
    assert tenanted.rows("JOBS_TABLE") == {}


def test_a_busy_ledger_lets_the_message_come_again(tenanted: Deployed) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build(sleep=lambda _: None)
    cancelled = "TransactionCanceledException"
    fail(easel.lifecycle.ledger.client, "TransactWriteItems", cancelled, times=8, **CONFLICT)
    again = inbox.answer(easel, event, time.time() + 60)
    assert len(again["batchItemFailures"]) == 1
    assert (outbox(tenanted), tenanted.rows("JOBS_TABLE")) == ([], {})
    assert inbox.answer(easel, event, time.time() + 60) == DONE
    assert len(tenanted.messages()) == 1


def test_the_inbox_neither_quotes_nor_streams(tenanted: Deployed, context: Context) -> None:
    asked = {"prompt": "x", "quote": "yes", "stream": "1", "author": "me"}
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), **asked)
    assert tenanted.handler("edit")(event, context) == DONE
    [message] = tenanted.messages()
    tenanted.handler("worker")(message, context)
    assert document(tenanted)["status"] == "succeeded"


def test_an_event_without_a_sequencer_or_a_version_is_taken(
    tenanted: Deployed, context: Context
) -> None:
    event = notice(
        drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x"),
        sequencer=None,
        versionId=None,
    )
    assert tenanted.handler("edit")(event, context) == DONE
    assert len(tenanted.messages()) == 1


def test_an_unknown_tenant_is_told_so(tenanted: Deployed, context: Context) -> None:
    event = notice(
        drop(tenanted, "inbox/nobody/a cat.png", picture(), prompt="x"),
        key="inbox/nobody/a+cat.png",
    )
    assert tenanted.handler("edit")(event, context) == DONE
    refusal = json.loads(tenanted.object("outbox/nobody/a cat.png.json"))
    assert refusal["error"]["code"] == "not_found"
