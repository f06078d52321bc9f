"""Odd objects in the inbox: each is answered, comes again, or is dropped for good."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.doors import inbox, queue
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


def jobs(deployed: Deployed) -> list[str]:
    return [sk for sk in deployed.rows("JOBS_TABLE") if sk.startswith("job#")]


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
    assert jobs(tenanted) == []


def test_an_object_that_is_too_large_is_answered(tenanted: Deployed) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build()

    def grow(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ContentRange"] = f"bytes 0-99/{MAX_BYTES}"

    easel.bucket.client.meta.events.register("after-call.s3.GetObject", grow)
    assert inbox.answer(easel, event, time.time() + 60) == DONE
    assert document(tenanted)["error"]["code"] == "invalid_image_file"
    assert jobs(tenanted) == []


def test_a_busy_ledger_lets_the_message_come_again(tenanted: Deployed) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build(sleep=lambda _: None)
    cancelled = "TransactionCanceledException"
    fail(easel.lifecycle.ledger.client, "TransactWriteItems", cancelled, times=8, **CONFLICT)
    again = inbox.answer(easel, event, time.time() + 60)
    assert len(again["batchItemFailures"]) == 1
    assert (outbox(tenanted), jobs(tenanted)) == ([], [])
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


def told_again(event: dict[str, Any], times: int) -> dict[str, Any]:
    """Return the event as it comes when it has failed before."""
    record = event["Records"][0]
    attributes = {**record["attributes"], "ApproximateReceiveCount": str(times)}
    return {"Records": [{**record, "attributes": attributes}]}


def test_who_fails_again_and_again_is_told_so(tenanted: Deployed) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build(sleep=lambda _: None)
    for times in 1, 2, 3:
        assert outbox(tenanted) == []
        cancelled = "TransactionCanceledException"
        fail(easel.lifecycle.ledger.client, "TransactWriteItems", cancelled, times=8, **CONFLICT)
        again = inbox.answer(easel, told_again(event, times), time.time() + 60)
        assert len(again["batchItemFailures"]) == 1
    assert document(tenanted)["error"]["code"] == "server_error"
    assert inbox.answer(easel, told_again(event, 4), time.time() + 60) == DONE
    [message] = tenanted.messages()
    queue.work(message, easel.lifecycle, time.time() + 900)
    assert document(tenanted)["status"] == "succeeded"


def test_without_a_work_queue_a_question_ends_with_its_functions_time(
    tenanted: Deployed,
) -> None:
    tenanted.set(WORK_QUEUE_URL="")
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    assert tenanted.handler("edit")(event, Context(ends_at=time.time() + 30)) == DONE
    assert document(tenanted)["error"]["code"] == "upstream_overloaded"
    assert tenanted.standin.calls() == []


def test_without_a_work_queue_an_answer_that_died_unwritten_is_written(
    tenanted: Deployed, context: Context
) -> None:
    tenanted.set(WORK_QUEUE_URL="")
    event = drop(tenanted, "inbox/demo/a cat.png", picture(), prompt="x")
    easel = bootstrap.build()

    def die(params: dict[str, Any], **_: Any) -> None:
        if params["Key"].startswith("outbox/"):
            raise ConnectionError("the function was ended")

    client = easel.bucket.client
    client.meta.events.register("before-parameter-build.s3.CopyObject", die)
    assert inbox.answer(easel, event, time.time() + 60)["batchItemFailures"]
    assert outbox(tenanted) == []
    assert tenanted.handler("edit")(event, context) == DONE
    assert document(tenanted)["status"] == "succeeded"
    assert len(tenanted.standin.calls()) == 1


def test_a_death_between_opening_and_forgetting_is_repaired(
    tenanted: Deployed, context: Context
) -> None:
    manifest = json.dumps({"prompt": "x", "images": ["b.png"]}).encode()
    event = notice(drop(tenanted, "inbox/demo/m.json", manifest), key="inbox/demo/m.json")
    assert tenanted.handler("edit")(event, context) == DONE
    picture_event = notice(drop(tenanted, "inbox/demo/b.png", picture()), key="inbox/demo/b.png")
    easel = bootstrap.build(sleep=lambda _: None)
    fail(easel.inbox.client, "DeleteItem", "InternalServerError", times=1)
    assert inbox.answer(easel, picture_event, time.time() + 60)["batchItemFailures"]
    assert any(sk.startswith("inbox#manifest") for sk in tenanted.rows("JOBS_TABLE"))
    assert inbox.answer(easel, picture_event, time.time() + 60) == DONE
    assert not any(sk.startswith("inbox#manifest") for sk in tenanted.rows("JOBS_TABLE"))
    assert len(jobs(tenanted)) == 1


def test_a_bad_picture_that_only_the_worker_can_tell_is_answered(
    tenanted: Deployed, context: Context
) -> None:
    event = drop(tenanted, "inbox/demo/a cat.png", picture(300, 300)[:-40], prompt="x")
    assert tenanted.handler("edit")(event, context) == DONE
    [message] = tenanted.messages()
    tenanted.handler("worker")(message, context)
    assert document(tenanted)["error"]["code"] == "invalid_image_file"
    assert document(tenanted)["cost_usd"] == 0
    assert tenanted.standin.calls() == []


def test_an_older_version_that_ends_last_leaves_the_newer(
    tenanted: Deployed, context: Context
) -> None:
    for number, prompt in enumerate(("old", "new"), 1):
        event = notice(
            drop(tenanted, "inbox/demo/a cat.png", picture(), prompt=prompt),
            sequencer=f"{number:X}",
        )
        assert tenanted.handler("edit")(event, context) == DONE
    by_prompt = sorted(tenanted.messages(), key=lambda one: prompt_of(tenanted, one))
    for message in by_prompt:  # "new" before "old"
        tenanted.handler("worker")(message, context)
    assert len(tenanted.standin.calls()) == 2
    assert document(tenanted)["prompt"] == "new"


def prompt_of(deployed: Deployed, message: dict[str, Any]) -> str:
    name = json.loads(message["Records"][0]["body"])["job"]
    request = json.loads(deployed.rows("JOBS_TABLE")[f"job#{name}"]["request"])
    return str(request["prompt"])
