from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import queue
from easel.doors.references import tenancy
from easel.identity import Identity
from easel.inputs import Inputs
from easel.jobs import Answer, Job, LeaseLost
from easel.tenants import Tenant
from tests.functions.conftest import Clock, Context, Deployed
from tests.unit.examples import DEMO


def opened(easel: Easel, prompt: str = "a cat", tenant: Tenant = DEMO, **fields: Any) -> Job:
    asked = easel.reader.read(
        "generate",
        tenancy(easel, tenant),
        {"prompt": prompt, **fields},
        Inputs(),
        today=easel.lifecycle.today(),
    )
    return easel.lifecycle.open(tenant, asked.request, asked.uploads, Identity()).job


def abandoned(easel: Easel, job: Job, seconds_ago: int = 61) -> Job:
    """Let a worker take the job, begin its call, and die."""
    leased = easel.lifecycle.ledger.lease("demo", job.id, "dead", int(time.time()) - seconds_ago)
    assert leased
    return easel.lifecycle.ledger.update(leased.begin(leased.hold), "dead")


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build()


def balanced(deployed: Deployed) -> dict[str, int]:
    """Check the books, and return the month."""
    ledger, jobs = deployed.rows("LEDGER_TABLE"), deployed.rows("JOBS_TABLE")
    charges = sum(int(row["amount"]) for sk, row in ledger.items() if sk.startswith("charge#"))
    held = sum(
        int(job["hold"])
        for sk, job in jobs.items()
        if sk.startswith("job#") and job["status"] in ("queued", "running")
    )
    [month] = [row for sk, row in ledger.items() if sk.startswith("month#")]
    assert month.get("spent", 0) == charges
    assert month["committed"] == charges + held
    return {"charges": charges, "held": held}


def run(deployed: Deployed) -> None:
    """Let a worker, which never really sleeps, take what is in the queue."""
    clock = Clock()
    lifecycle = bootstrap.build(clock=clock, sleep=clock.sleep).lifecycle
    for message in deployed.messages():
        assert queue.work(message, lifecycle, time.time() + 900) == {"batchItemFailures": []}


def test_a_hold_becomes_a_charge(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel, size="1024x1024")
    assert balanced(deployed) == {"charges": 0, "held": job.hold}
    run(deployed)
    done = easel.lifecycle.find("demo", job.id)
    assert done.status == "succeeded"
    assert 0 < done.charge <= job.hold
    assert balanced(deployed) == {"charges": done.charge, "held": 0}
    [count] = [row for sk, row in deployed.rows("LEDGER_TABLE").items() if sk.startswith("count#")]
    assert (count["jobs"], count["images"], count["spent"]) == (1, 1, done.charge)
    assert "open" not in deployed.rows("JOBS_TABLE")[f"job#{job.id}"]


REFUSALS = {
    "moderation": (
        {"status": 400, "code": "moderation_blocked", "type": "image_generation_user_error"},
        (400, "moderation_blocked", False),
    ),
    "model": ({"status": 404, "code": "model_not_found"}, (404, "model_not_found", False)),
    "verification": ({"status": 403, "code": "forbidden"}, (403, "forbidden", False)),
    "quota": ({"status": 429, "code": "insufficient_quota"}, (429, "insufficient_quota", False)),
    "billing limit": (
        {"status": 400, "code": "billing_hard_limit_reached"},
        (400, "billing_hard_limit_reached", False),
    ),
    "operator's key": ({"status": 401, "code": "invalid_api_key"}, (502, "upstream_error", False)),
    "overload": (
        {"status": 503, "code": "server_is_overloaded", "headers": {"retry-after-ms": "5"}},
        (503, "upstream_overloaded", True),
    ),
    "failure": (
        {"status": 500, "code": "server_error", "headers": {"retry-after-ms": "5"}},
        (502, "upstream_error", True),
    ),
    "a gateway's time-out": ({"status": 504}, (502, "upstream_outcome_unknown", False)),
    "a lost line": ({"drop": "during"}, (502, "upstream_outcome_unknown", False)),
    "half an answer": ({"drop": "after"}, (502, "upstream_outcome_unknown", False)),
}


@pytest.mark.parametrize(("rule", "expected"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_upstream_says_reaches_the_caller(
    deployed: Deployed, easel: Easel, rule: dict[str, Any], expected: tuple[int, str, bool]
) -> None:
    deployed.standin.rule(containing="a cat", message="because", **rule)
    job = opened(easel)
    run(deployed)
    error = easel.lifecycle.find("demo", job.id).error
    assert error
    assert (error["status"], error["code"], error["retry"]) == expected
    billed = any(call["billed"] for call in deployed.standin.calls())
    unknown = error["code"] == "upstream_outcome_unknown"
    assert balanced(deployed) == {"charges": job.hold if unknown else 0, "held": 0}
    assert unknown or not billed
    tries = {"overload": 4, "failure": 4, "operator's key": 2}
    assert len(deployed.standin.calls()) == next(
        (count for name, count in tries.items() if REFUSALS[name] == (rule, expected)), 1
    )


def test_a_429_is_ridden_out(deployed: Deployed, easel: Easel) -> None:
    limit = {"status": 429, "code": "rate_limit_exceeded", "times": 6}
    deployed.standin.rule(containing="a cat", headers={"retry-after-ms": "1"}, **limit)
    job = opened(easel)
    run(deployed)
    done = easel.lifecycle.find("demo", job.id)
    assert done.status == "succeeded"
    assert done.refusals == 6


def test_a_long_wait_gives_the_worker_back(deployed: Deployed, easel: Easel) -> None:
    message = "please slow down and try again after 51.84 seconds"
    deployed.standin.rule(
        containing="a cat", status=429, code="rate_limit_exceeded", message=message, times=1
    )
    job = opened(easel)
    run(deployed)
    waiting = easel.lifecycle.find("demo", job.id)
    assert (waiting.status, waiting.lease, waiting.attempts) == ("queued", None, ())
    assert waiting.due_at >= time.time() + 50
    assert balanced(deployed) == {"charges": 0, "held": job.hold}
    assert deployed.messages() == []


def test_a_worker_that_died_while_calling_is_charged_at_its_hold(
    deployed: Deployed, easel: Easel
) -> None:
    job = opened(easel)
    abandoned(easel, job)
    run(deployed)
    failed = easel.lifecycle.find("demo", job.id)
    assert failed.error
    assert failed.error["code"] == "upstream_outcome_unknown"
    assert balanced(deployed) == {"charges": job.hold, "held": 0}
    assert deployed.standin.calls() == []


def test_a_second_paid_attempt_is_made_where_the_operator_permits_it(
    deployed: Deployed, easel: Easel
) -> None:
    deployed.set(MAX_PAID_ATTEMPTS="2")
    job = opened(easel, size="1024x1024")
    abandoned(easel, job)
    run(deployed)
    done = easel.lifecycle.find("demo", job.id)
    assert done.status == "succeeded"
    assert [attempt.state for attempt in done.attempts] == ["unknown", "answered"]
    assert done.hold == 2 * job.hold
    assert balanced(deployed)["charges"] == done.charge > job.hold
    assert len(deployed.standin.calls()) == 1


def test_images_that_are_complete_in_the_bucket_are_not_bought_again(
    deployed: Deployed, easel: Easel
) -> None:
    first = opened(easel, size="1024x1024")
    run(deployed)
    answer = easel.lifecycle.find("demo", first.id).answer
    assert answer

    job = abandoned(easel, opened(easel, size="1024x1024"))
    left = Answer(**{**answer.model_dump(), "revised_prompts": ("kept",)})
    boto3.client("s3").put_object(
        Bucket="easel", Key=f"{job.prefix}answer.json", Body=left.model_dump_json()
    )
    run(deployed)
    done = easel.lifecycle.find("demo", job.id)
    assert done.status == "succeeded"
    assert done.answer == left
    assert len(deployed.standin.calls()) == 1
    assert balanced(deployed)["held"] == 0


def test_a_job_belongs_to_one_worker(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    abandoned(easel, job, seconds_ago=30)
    assert easel.lifecycle.worker.run("demo", job.id, time.time() + 900) is None
    assert deployed.standin.calls() == []


def test_a_worker_that_lost_its_lease_changes_nothing(deployed: Deployed, easel: Easel) -> None:
    slow = abandoned(easel, opened(easel))
    run(deployed)
    before = balanced(deployed)
    with pytest.raises(LeaseLost):
        easel.lifecycle.ledger.close(
            slow.end(slow.attempts[0].settle(1)).close("succeeded", time.time()), slow.lease
        )
    assert balanced(deployed) == before


def test_the_sweep_sends_what_was_lost_and_ends_what_is_too_old(
    deployed: Deployed, easel: Easel
) -> None:
    job = opened(easel)
    deployed.messages()
    assert deployed.handler("sweep")({}, Context()) == {"due": 0}
    overdue(deployed, job, created_at=int(time.time()) - 120)
    assert deployed.handler("sweep")({}, Context()) == {"due": 1}
    assert len(deployed.messages()) == 1
    overdue(deployed, job, created_at=int(time.time()) - 3700)
    assert deployed.handler("sweep")({}, Context()) == {"due": 1}
    failed = easel.lifecycle.find("demo", job.id)
    assert failed.error
    assert failed.error["code"] == "upstream_overloaded"
    assert balanced(deployed) == {"charges": 0, "held": 0}
    assert deployed.handler("sweep")({}, Context()) == {"due": 0}


def test_a_message_that_the_sweep_sent_is_given_time(deployed: Deployed, easel: Easel) -> None:
    """Behind a long queue each minute's sweep would else send one more."""
    job = opened(easel)
    deployed.messages()

    def swept(after: float) -> int:
        replace(easel.lifecycle, clock=lambda: time.time() + after).sweep()
        return len(deployed.messages())

    assert [swept(after) for after in (59, 61, 121, 359, 362, 400)] == [0, 1, 0, 0, 1, 0]
    assert easel.lifecycle.worker.run("demo", job.id, time.time() + 900)


def test_a_message_that_could_not_be_sent_is_sent_by_the_next_sweep(
    deployed: Deployed, easel: Easel
) -> None:
    opened(easel)
    deployed.messages()
    lifecycle = replace(easel.lifecycle, clock=lambda: time.time() + 61)
    silent = replace(easel.lifecycle.queue, url=f"{easel.lifecycle.queue.url}-gone")
    replace(lifecycle, queue=silent).sweep()
    lifecycle.sweep()
    assert len(deployed.messages()) == 1


def test_a_job_that_waits_for_a_worker_is_ended_in_time(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    for after in range(60, 3700, 60):
        at: Callable[[], float] = lambda after=after: job.created_at + after  # noqa: E731
        worker = replace(easel.lifecycle.worker, clock=at)
        replace(easel.lifecycle, worker=worker, clock=at).sweep()
    done = easel.lifecycle.find("demo", job.id)
    assert (done.status, done.finished_at) == ("failed", job.created_at + 3660)


def overdue(deployed: Deployed, job: Job, created_at: int) -> None:
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{job.id}"}},
        UpdateExpression="SET created_at = :at, due_at = :at",
        ExpressionAttributeValues={":at": {"N": str(created_at)}},
    )


def test_a_rotated_key_is_read_afresh(deployed: Deployed, easel: Easel) -> None:
    handler = deployed.handler("worker")
    secret = {"api_key": "sk-old", "base_url": deployed.standin.base_url}
    store = boto3.client("secretsmanager")
    store.put_secret_value(
        SecretId=deployed.environ["UPSTREAM_SECRET"], SecretString=json.dumps(secret)
    )
    first = opened(easel)
    [message] = deployed.messages()
    handler(message, Context())
    assert easel.lifecycle.find("demo", first.id).status == "failed"
    store.put_secret_value(
        SecretId=deployed.environ["UPSTREAM_SECRET"],
        SecretString=json.dumps({**secret, "api_key": "sk-standin"}),
    )
    second = opened(easel)
    [message] = deployed.messages()
    handler(message, Context())
    assert easel.lifecycle.find("demo", second.id).status == "succeeded"


def test_a_refused_second_attempt_is_held_once(deployed: Deployed, easel: Easel) -> None:
    deployed.set(MAX_PAID_ATTEMPTS="2")
    limit = {"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after-ms": "1"}}
    deployed.standin.rule(containing="a cat", times=4, **limit)
    job = opened(easel, size="1024x1024")
    abandoned(easel, job)
    run(deployed)
    done = easel.lifecycle.find("demo", job.id)
    assert done.refusals == 4
    assert done.hold == 2 * job.hold
    assert balanced(deployed)["held"] == 0
