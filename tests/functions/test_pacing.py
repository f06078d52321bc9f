"""Many jobs, many workers, one upstream: its rate is kept, shared, and its refusals are heeded."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from itertools import pairwise
from logging import getLogger
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.doors import queue
from easel.errors import Overloaded, UpstreamBusy, UpstreamFailure, UpstreamRefused
from easel.identity import Identity
from easel.requests import Request
from easel.tenants import Tenant
from tests.functions.conftest import Clock, Deployed
from tests.functions.model.stage import Limit, Stage
from tests.unit.examples import NOW, request

TURN = 62 / 5
say = getLogger("pacing").info
"""Numbers, for ``pytest -s --log-cli-level INFO`` and for what fails."""


@pytest.fixture(autouse=True)
def _the_same_chance_every_time() -> None:
    random.seed(20261123)


def tenant_of(prompt: str) -> str:
    return prompt.partition(" ")[0]


def balanced(deployed: Deployed, *tenants: str) -> None:
    """Check that nothing is held any more, and that what was spent is what was charged."""
    for tenant in tenants:
        rows = deployed.rows("LEDGER_TABLE", tenant)
        charges = sum(int(row["amount"]) for sk, row in rows.items() if sk.startswith("charge#"))
        [month] = [row for sk, row in rows.items() if sk.startswith("month#")]
        assert month["committed"] == month.get("spent", 0) == charges


def test_forty_jobs_of_three_tenants_and_a_late_call_share_five_images_a_minute(
    deployed: Deployed,
) -> None:
    stage = Stage(deployed.environ, 5, Limit(5))
    for tenant, count in {"one": 20, "two": 13, "three": 7}.items():
        for number in range(count):
            stage.open(tenant, number)
    stage.at(130, lambda: stage.open("late"))
    stage.play()
    served = list(stage.ended())
    order = [tenant_of(prompt) for prompt, _ in served]
    waited = dict(served)["late 0"] - NOW - 130
    refused = len(stage.calls) - len(served)
    seconds = served[-1][1] - NOW
    say(f"{len(served)} jobs in {seconds:.0f} s; refused {refused}; late waited {waited:.0f} s")
    say(f"{stage.runs} runs of workers; {' '.join(name[0:2] for name in order)}")
    assert len(served) == len(set(served)) == 41
    assert refused <= 0.05 * 41
    assert waited <= 4 * TURN
    assert seconds <= 41 * TURN * 1.15
    for count in range(6, 22, 3):
        shares = [order[:count].count(name) for name in ("one", "two", "three")]
        assert max(shares) - min(shares) <= 3
    balanced(deployed, "one", "two", "three", "late")


def test_many_jobs_of_one_tenant_let_anothers_call_pass(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 5, Limit(5))
    for number in range(200 if os.environ.get("EASEL_MODEL") else 40):
        stage.open("many", number)
    stage.at(100, lambda: stage.open("single"))
    stage.play(until=lambda: any(prompt == "single 0" for prompt, _ in stage.ended()))
    waited = dict(stage.ended())["single 0"] - NOW - 100
    say(f"the single call waited {waited:.0f} s; {stage.runs} runs of workers")
    assert waited <= 2 * TURN + 4
    assert all(one.status == 200 for one in stage.calls)


def test_what_cannot_be_in_time_fails_and_holds_nothing(deployed: Deployed) -> None:
    environ = {**deployed.environ, "MAX_JOB_AGE_SECONDS": "120"}
    stage = Stage(environ, 5, Limit(5))
    jobs = [stage.open("one", number) for number in range(15)]
    stage.play()
    ends = [stage.lifecycle.find("one", job.id) for job in jobs]
    made = [job for job in ends if job.status == "succeeded"]
    failed = [job for job in ends if job.status == "failed"]
    assert len(made) + len(failed) == 15
    assert 10 <= len(made) <= 11
    assert {job.error["code"] for job in failed if job.error} == {"upstream_overloaded"}
    assert all(job.unbilled and (job.finished_at or 0) <= NOW + 125 for job in failed)
    balanced(deployed, "one")


# --- storms ---


def busy(until: float, **how: Any) -> Callable[[float, Request], UpstreamFailure | None]:
    """Return an upstream that refuses everything for so many seconds."""
    return lambda now, _: UpstreamBusy("Not now.", **how) if now < NOW + until else None


STORMS: dict[str, tuple[dict[str, Any], int]] = {
    # what upstream says for two minutes, and how many of its refusals 15 jobs may meet
    "429, retry-after 30": ({"status": 429, "retry_after": 30.0}, 10 + 4),
    "429, no word of when": ({"status": 429}, 10 + 14),
    "503, retry-after 30": ({"status": 503, "retry_after": 30.0}, 10 + 4),
}


@pytest.mark.parametrize(("how", "most"), STORMS.values(), ids=list(STORMS))
def test_a_storm_is_met_by_one_call_at_a_time(
    deployed: Deployed, how: dict[str, Any], most: int
) -> None:
    stage = Stage(deployed.environ, 0, busy(120, **how))
    jobs = [stage.open("one", number) for number in range(15)]
    stage.play()
    refused = [one for one in stage.calls if one.status != 200]
    say(f"{len(refused)} refusals; done after {stage.now - NOW:.0f} s")
    assert len(refused) <= most
    ends = [stage.lifecycle.find("one", job.id) for job in jobs]
    failed = [job for job in ends if job.status == "failed"]
    assert len(list(stage.ended())) == len(ends) - len(failed)
    assert len(failed) <= (how["status"] == 503), "who found upstream failing four times"
    for job in failed:
        assert (job.refusals, job.charge, job.unbilled) == (4, 0, True)
        assert job.error
        assert job.error["code"] == "upstream_overloaded"
    after = [at for _, at in stage.ended()]
    assert after[0] - NOW <= 120 + 62, "it is tried again in time"
    assert all(later - sooner >= 1 for sooner, later in pairwise(after[:6])), "one at a time"
    balanced(deployed, "one")


def test_without_a_rate_upstreams_own_limit_is_found_by_few_calls(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 0, Limit(5))
    for number in range(20):
        stage.open("one", number)
    stage.play()
    refused = [one for one in stage.calls if one.status != 200]
    say(f"{len(refused)} refusals for 20 images; done after {stage.now - NOW:.0f} s")
    assert len(list(stage.ended())) == 20
    assert len(refused) <= 5 + 2 * 4


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_what_is_never_to_be_retried_fails_at_once_and_stops_nobody(
    deployed: Deployed, code: str
) -> None:
    status = 400 if code.startswith("billing") else 429
    refusal = UpstreamRefused("No money.", status=status, code=code, type="x", retry=False)
    stage = Stage(deployed.environ, 0, lambda now, _: refusal if now < NOW + 5 else None)
    jobs = [stage.open("one", number) for number in range(5)]
    stage.at(6, lambda: stage.open("two"))
    stage.play(seconds=60)
    errors = [stage.lifecycle.find("one", job.id).error for job in jobs]
    assert [error and (error["status"], error["code"]) for error in errors] == [(status, code)] * 5
    assert len(stage.calls) == 6, "one call each"
    assert stage.calls[-1].status == 200
    assert stage.calls[-1].at <= NOW + 7
    balanced(deployed, "one", "two")


# --- messages ---


def test_the_message_of_a_job_that_waits_comes_again_when_it_is_due(deployed: Deployed) -> None:
    deployed.tenant()
    refuses = {"status": 429, "code": "slow_down", "message": "try again after 51.84 seconds"}
    deployed.standin.rule(**refuses)
    clock = Clock()
    lifecycle = bootstrap.build(clock=clock, sleep=clock.sleep).lifecycle
    job = lifecycle.open(Tenant(name="demo"), request(), {}, Identity(retries=0)).job
    sqs, url = boto3.client("sqs"), deployed.environ["WORK_QUEUE_URL"]
    [message] = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    event = deployed.event("worker", "queue")
    record = event["Records"][0]
    record |= {"body": message["Body"], "receiptHandle": message["ReceiptHandle"]}
    said = queue.work(event, lifecycle, clock() + 890)
    assert said == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    waiting = lifecycle.find("demo", job.id)
    assert (waiting.status, waiting.attempts) == ("queued", ())
    assert 30 <= waiting.due_at - clock() <= 53
    assert "Messages" not in sqs.receive_message(QueueUrl=url), "it is hidden"
    assert queue.work(event, lifecycle, clock() + 890) == {"batchItemFailures": []}
    assert lifecycle.find("demo", job.id) == waiting, "it is not due"
    clock.slept += 60
    deployed.standin.clear_rules()
    assert queue.work(event, lifecycle, clock() + 890) == {"batchItemFailures": []}
    assert lifecycle.find("demo", job.id).status == "succeeded"
    assert [call["status"] for call in deployed.standin.calls()] == [429, 200]


# --- in one invocation ---


def invoked(stage: Stage, seconds: float) -> dict[str, Any]:
    """Open a job and run it in the caller's own invocation; return what became of it."""
    found: dict[str, Any] = {}

    def act() -> None:
        identity = Identity(idempotency_key=f"{stage.now}")
        job = stage.inline.open(Tenant(name="one"), request(), {}, identity).job
        found.update(stage.inline.wait(job, stage.now + seconds).model_dump())

    stage.at(0, act)
    stage.play()
    return found


def test_one_invocation_waits_for_its_turn_where_it_has_the_time(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 5, Limit(5))
    statuses = [invoked(stage, 890)["status"] for _ in range(6)]
    assert statuses == ["succeeded"] * 6
    assert all(one.status == 200 for one in stage.calls)


def test_one_invocation_that_has_not_says_when_to_come_again(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 5, Limit(5))
    large = request(prompt="large", parameters={"size": "1024x1024", "quality": "low", "n": 4})
    stage.lifecycle.open(Tenant(name="two"), large, {}, Identity(retries=0))
    stage.play()
    late = invoked(stage, 35)
    assert late["status"] == "failed"
    assert late["error"]["code"] == Overloaded.code
    assert late["error"]["retry"] is True
    assert 20 <= late["error"]["retry_after"] <= 62
    assert len(stage.calls) == 1, "nothing was bought"
    balanced(deployed, "one", "two")
    stage.now += late["error"]["retry_after"]
    assert invoked(stage, 35)["status"] == "succeeded"


# --- what is kept of it ---


def test_without_a_rate_and_a_refusal_nothing_is_written(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 0, lambda *_: None)
    stage.open("one")
    stage.play()
    assert deployed.rows("JOBS_TABLE", "*") == {}


def test_what_is_kept_goes_by_itself_and_says_nothing_of_prompts(deployed: Deployed) -> None:
    stage = Stage(deployed.environ, 5, Limit(5))
    for number in range(5):
        stage.open("one", number)
    stage.play()
    [(sk, row)] = deployed.rows("JOBS_TABLE", "*").items()
    assert sk == "pace#gpt-image-2.5-flare"
    assert row["expires_at"] > stage.now + 3600
    kept = json.loads(row["pace"])
    assert len(kept["calls"]) <= 5
    assert set(kept["lines"]) <= {"one"}
    assert "one 0" not in row["pace"]
