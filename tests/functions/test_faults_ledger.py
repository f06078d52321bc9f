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
from botocore.exceptions import ClientError, ReadTimeoutError

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import queue
from easel.errors import EaselError
from easel.identity import Identity
from easel.jobs import Job
from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed, fail
from tests.functions.test_faults_money import ended
from tests.functions.test_worker import abandoned, balanced, opened, overdue

CONFLICT = {"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build(sleep=lambda _: None)


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


# ---- What was written although DynamoDB said that it failed ----


class Lossy:
    """A client whose first such transaction is written, and answered with an error for good.

    A token that has written writes no more, as DynamoDB promises for ten minutes.
    """

    def __init__(self, client: Any, when: Callable[[str], bool]) -> None:
        self._client, self._when = client, when
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, *, ClientRequestToken: str, **request: Any) -> Any:  # noqa: N803
        if ClientRequestToken in self.written:
            return {}
        got = self._client.transact_write_items(**request)
        if not self.written and self._when(json.dumps(request).replace("\\", "")):
            self.written.append(ClientRequestToken)
            error = {"Error": {"Code": "InternalServerError", "Message": "x"}}
            raise ClientError(error, "TransactWriteItems")
        return got


@pytest.mark.parametrize("budgets", [{}, {"month_budget": 100_000}])
def test_a_further_attempts_hold_is_taken_once(
    deployed: Deployed, easel: Easel, budgets: dict[str, int]
) -> None:
    deployed.standin.rule(containing="a cat", drop="during", times=1)
    job = opened(easel, tenant=Tenant(name="demo", **budgets))
    ledger = easel.lifecycle.ledger
    lossy = Lossy(ledger.client, lambda request: '"number":2' in request)
    worker = replace(
        easel.lifecycle.worker,
        ledger=replace(ledger, client=lossy),
        settings=replace(easel.settings, max_paid_attempts=2),
    )
    done = worker.run("demo", job.id, time.time() + 900)
    assert done
    assert lossy.written
    assert (done.status, done.hold) == ("succeeded", 2 * job.hold)
    assert len(deployed.standin.calls()) == 2
    balanced(deployed)


def test_a_close_is_ones_own(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    ledger = easel.lifecycle.ledger
    lossy = Lossy(ledger.client, lambda request: "charge#" in request)
    worker = replace(easel.lifecycle.worker, ledger=replace(ledger, client=lossy))
    done = worker.run("demo", job.id, time.time() + 900)
    assert done
    assert lossy.written
    assert done.status == "succeeded"
    assert len(deployed.standin.calls()) == 1
    balanced(deployed)


def test_a_conflict_before_what_failed_is_waited_for(deployed: Deployed, easel: Easel) -> None:
    """The same key twice at once: the other took the last of the budget, and writes its pointer."""
    job = opened(easel)
    easel.lifecycle.cancel("demo", job.id)
    tenant = Tenant(name="demo", month_budget=job.hold)
    key = Identity(idempotency_key="k")
    others: list[Job] = []
    codes = ("None", "TransactionConflict", "ConditionalCheckFailed", "None")
    busy = {
        "Error": {"Code": "TransactionCanceledException"},
        "CancellationReasons": [{"Code": code} for code in codes],
    }

    def answer(**_: Any) -> Any:
        if others:
            return None
        others.append(job)
        others[0] = easel.lifecycle.open(tenant, job.request, {}, key).job
        return SimpleNamespace(status_code=400), busy

    events = easel.lifecycle.ledger.client.meta.events
    events.register("before-call.dynamodb.TransactWriteItems", answer)
    assert easel.lifecycle.open(tenant, job.request, {}, key).job.id == others[0].id
