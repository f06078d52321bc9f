"""Time, leases, a busy ledger and the sweep: what is bought, and what is charged for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import queue
from easel.errors import EaselError
from tests.functions.conftest import Context, Deployed
from tests.functions.test_faults_money import ended
from tests.functions.test_worker import abandoned, balanced, opened, overdue

CONFLICT = {"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build(sleep=lambda _: None)


def fail(
    client: Any,
    operation: str,
    error: str | Exception,
    *,
    times: int = 999,
    when: Callable[[dict[str, Any]], bool] = lambda _: True,
    **more: Any,
) -> list[dict[str, Any]]:
    """Let DynamoDB's first answers be this error, by botocore's hook; return the calls it sees."""
    seen: list[dict[str, Any]] = []

    def answer(params: dict[str, Any], **_: Any) -> Any:
        body = json.loads(params["body"])
        if not when(body):
            return None
        seen.append(body)
        if len(seen) > times:
            return None
        if isinstance(error, Exception):
            raise error
        return SimpleNamespace(status_code=400), {"Error": {"Code": error}, **more}

    client.meta.events.register(f"before-call.dynamodb.{operation}", answer)
    return seen


@pytest.mark.parametrize(
    "error",
    ["ThrottlingException", "TransactionConflictException", ReadTimeoutError(endpoint_url="x")],
    ids=str,
)
def test_a_renewal_that_fails_once_does_not_end_renewing(
    deployed: Deployed, easel: Easel, error: str | Exception
) -> None:
    deployed.standin.rule(delay_seconds=0.6)
    job = opened(easel)
    worker = replace(easel.lifecycle.worker, renew_seconds=0.1)
    renewals = fail(
        worker.ledger.client,
        "UpdateItem",
        error,
        times=1,
        when=lambda call: call["UpdateExpression"] == "SET due_at = :until",
    )
    worker.run("demo", job.id, time.time() + 900)
    assert len(renewals) >= 3
    assert ended(deployed, easel, job).status == "succeeded"


def test_a_refusal_met_by_a_busy_ledger_is_free(deployed: Deployed, easel: Easel) -> None:
    deployed.standin.rule(status=400, code="moderation_blocked")
    job = opened(easel)
    worker = easel.lifecycle.worker
    fail(
        worker.ledger.client,
        "TransactWriteItems",
        "TransactionCanceledException",
        times=8,
        when=lambda call: len(call["TransactItems"]) > 1,
        **CONFLICT,
    )
    with pytest.raises(EaselError, match="busy"):
        worker.run("demo", job.id, time.time() + 900)
    overdue(deployed, job, created_at=int(time.time()) - 60)
    worker.run("demo", job.id, time.time() + 900)
    failed = ended(deployed, easel, job)
    assert failed.error
    assert (failed.error["code"], failed.charge) == ("moderation_blocked", 0)


def test_with_too_little_time_left_nothing_is_bought(deployed: Deployed, easel: Easel) -> None:
    queued, inline = opened(easel, "queued"), opened(easel, "inline")
    easel.lifecycle.worker.run("demo", queued.id, time.time() + 200)
    easel.inline.worker.run("demo", inline.id, time.time() + 20)
    for job in (queued, inline):
        waiting = easel.lifecycle.find("demo", job.id)
        assert (waiting.status, waiting.lease, waiting.attempts) == ("queued", None, ())
    assert deployed.standin.calls() == []
    assert balanced(deployed) == {"charges": 0, "held": queued.hold + inline.hold}


def test_a_job_that_ends_after_the_deadline_is_delivered(deployed: Deployed) -> None:
    deployed.tenant()
    ahead = [0.0]
    easel = bootstrap.build(clock=lambda: time.time() + ahead[0], sleep=lambda _: None)
    easel.bucket.client.meta.events.register(
        "before-call.s3.PutObject", lambda **_: ahead.append(ahead.pop() + 1000)
    )
    job = opened(easel)
    assert easel.inline.wait(job, easel.clock() + 100).status == "succeeded"


def test_a_due_job_that_is_gone_does_not_stop_the_sweep(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    deployed.messages()
    overdue(deployed, job, created_at=int(time.time()) - 120)

    def lag(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Items"].insert(0, {**parsed["Items"][0], "sk": {"S": "job#gone"}})

    easel.lifecycle.ledger.client.meta.events.register("after-call.dynamodb.Query", lag)
    assert easel.lifecycle.sweep() == 2
    assert len(deployed.messages()) == 1


def test_a_job_that_cannot_be_closed_does_not_stop_the_sweep(
    deployed: Deployed, easel: Easel
) -> None:
    broken, good = abandoned(easel, opened(easel, "broken")), opened(easel, "good")
    boto3.client("s3").put_object(Bucket="easel", Key=f"{broken.prefix}answer.json", Body=b"{")
    overdue(deployed, broken, created_at=int(time.time()) - 3800)
    overdue(deployed, good, created_at=int(time.time()) - 3700)
    assert easel.lifecycle.sweep() == 2
    assert easel.lifecycle.find("demo", good.id).status == "failed"


def test_a_job_is_counted_once_however_often_its_message_comes(
    deployed: Deployed, easel: Easel, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(easel)
    [message] = deployed.messages()
    capsys.readouterr()
    for _ in range(3):
        queue.work(message, easel.lifecycle, time.time() + 900)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    ends = [line["JobsSucceeded"] for line in lines if "JobsSucceeded" in line]
    assert ends == [[1.0]]


def test_a_direct_invocation_without_time_buys_nothing(deployed: Deployed, easel: Easel) -> None:
    event = deployed.event("generate", "direct", idempotency_key="k")
    late = Context(ends_at=time.time() + 11)
    with pytest.raises(Exception, match="invoke again") as raised:
        deployed.handler("generate")(event, late)
    assert type(raised.value).__name__ == "upstream_overloaded"
    assert deployed.standin.calls() == []
    assert deployed.handler("generate")(event, Context())["data"]
    assert len(deployed.standin.calls()) == 1
