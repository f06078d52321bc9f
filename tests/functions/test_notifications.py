"""However a job ends, the event bus is told, at least once; where there is none, nothing is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.identity import Identity
from easel.jobs import Job
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture
from tests.functions.test_https import work
from tests.functions.test_worker import abandoned, opened, overdue
from tests.unit.examples import DEMO


@pytest.fixture
def told(deployed: Deployed) -> Callable[[], list[dict[str, Any]]]:
    """Connect a queue to the default bus; return what takes the details of the events in it."""
    deployed.tenant()
    deployed.set(EVENT_BUS="default")
    sqs, bus = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bus.put_rule(Name="told", EventPattern='{"source": ["easel"]}')
    bus.put_targets(Rule="told", Targets=[{"Id": "told", "Arn": arn["QueueArn"]}])

    def take() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(one["Body"])["detail"] for one in found]

    return take


@pytest.fixture
def easel(told: Any) -> Easel:
    return bootstrap.build(sleep=lambda _: None)


def succeed(deployed: Deployed, easel: Easel) -> Job:
    job = opened(easel)
    work(deployed, Context())
    return job


def fail(deployed: Deployed, easel: Easel) -> Job:
    deployed.standin.rule(status=400, code="moderation_blocked")
    return succeed(deployed, easel)


def lose(deployed: Deployed, easel: Easel) -> Job:
    job = abandoned(easel, opened(easel))
    work(deployed, Context())
    return job


def cancel(deployed: Deployed, easel: Easel) -> Job:
    job = opened(easel)
    deployed.messages()
    easel.lifecycle.cancel("demo", job.id)
    work(deployed, Context())
    return job


def expire(deployed: Deployed, easel: Easel) -> Job:
    job = opened(easel)
    deployed.messages()
    overdue(deployed, job, created_at=int(time.time()) - 3700)
    assert deployed.handler("sweep")({}, Context()) == {"due": 1}
    return job


def run_inline(deployed: Deployed, easel: Easel) -> Job:
    event = deployed.event("generate", "direct", tenant="demo")
    made = deployed.handler("generate")(event, Context())
    return easel.lifecycle.find("demo", made["id"])


def run_the_inbox(deployed: Deployed, easel: Easel) -> Job:
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="x")
    deployed.handler("edit")(event, Context())
    work(deployed, Context())
    [job] = easel.lifecycle.ledger.jobs("demo", None, 9)
    assert job.reply_to == "outbox/demo/a cat.png"
    return job


ENDS: dict[str, tuple[Callable[[Deployed, Easel], Job], str, str | None]] = {
    "succeeded": (succeed, "succeeded", None),
    "failed": (fail, "failed", "moderation_blocked"),
    "lost": (lose, "failed", "upstream_outcome_unknown"),
    "cancelled": (cancel, "cancelled", None),
    "too old": (expire, "failed", "upstream_overloaded"),
    "inline": (run_inline, "succeeded", None),
    "inbox": (run_the_inbox, "succeeded", None),
}


@pytest.mark.parametrize(("end", "status", "error"), ENDS.values(), ids=list(ENDS))
def test_however_a_job_ends_it_is_told_once(
    deployed: Deployed, told: Any, easel: Easel, end: Any, status: str, error: str | None
) -> None:
    job = end(deployed, easel)
    [detail] = told()
    assert (detail["job"], detail["status"], detail["error"]) == (job.id, status, error)
    for key in detail["images"]:
        assert deployed.object(key)
    assert bool(detail["images"]) is (status == "succeeded")
    kept = deployed.rows("JOBS_TABLE")[f"job#{job.id}"]
    assert not {"open", "untold"} & kept.keys()
    overdue(deployed, job, created_at=int(time.time()) - 60)
    assert deployed.handler("sweep")({}, Context()) == {"due": 0}
    assert told() == []


def sentenced(easel: Easel, status: int, answer: dict[str, Any]) -> list[int]:
    """Let every event come to this; return what counts them."""
    seen: list[int] = []

    def answered(**_: Any) -> Any:
        seen.append(status)
        return type("Response", (), {"status_code": status})(), answer

    events = easel.lifecycle.worker.notifier.events
    assert events
    events.connect().meta.events.register("before-call.eventbridge.PutEvents", answered)
    return seen


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"FailedEntryCount": 1, "Entries": []}),
        (400, {"Error": {"Code": "ResourceNotFoundException"}}),
    ],
)
def test_what_could_not_be_told_is_told_later_and_the_job_is_as_it_is(
    deployed: Deployed, told: Any, easel: Easel, status: int, answer: dict[str, Any]
) -> None:
    tries = sentenced(easel, status, answer)
    job = opened(easel)
    done = easel.lifecycle.worker.run("demo", job.id, time.time() + 900)
    assert done
    assert (done.status, len(tries), told()) == ("succeeded", 1, [])
    deployed.messages()
    assert easel.lifecycle.sweep() == 0
    later = bootstrap.build(clock=lambda: time.time() + 61)
    assert later.lifecycle.sweep() == 1
    work(deployed, Context())
    [detail] = told()
    assert (detail["job"], later.lifecycle.sweep()) == (job.id, 0)
    assert len(deployed.standin.calls()) == 1


def test_an_answer_that_was_taken_away_is_not_put_again_for_the_events_sake(
    deployed: Deployed, told: Any, easel: Easel
) -> None:
    drop_event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="x")
    deployed.handler("edit")(drop_event, Context())
    [job] = easel.lifecycle.ledger.jobs("demo", None, 9)
    sentenced(easel, 200, {"FailedEntryCount": 1, "Entries": []})
    easel.lifecycle.worker.run("demo", job.id, time.time() + 900)
    answers = ["outbox/demo/a cat.png.json", "outbox/demo/a cat.png.png"]
    assert [easel.bucket.has(key) for key in answers] == [True, True]
    for key in answers:
        boto3.client("s3").delete_object(Bucket=deployed.environ["BUCKET"], Key=key)
    assert bootstrap.build().lifecycle.worker.run("demo", job.id, time.time() + 900) is not None
    assert len(told()) == 1
    assert [easel.bucket.has(key) for key in answers] == [False, False]


def test_tries_thin_out(deployed: Deployed, told: Any, easel: Easel) -> None:
    job = opened(easel)
    now, pauses = [time.time()], []
    broken = bootstrap.build(clock=lambda: now[0], sleep=lambda _: None)
    sentenced(broken, 200, {"FailedEntryCount": 1, "Entries": []})
    for _ in range(5):
        broken.lifecycle.worker.run("demo", job.id, now[0] + 900)
        due = easel.lifecycle.find("demo", job.id).due_at
        pauses.append(round(due - now[0], -1))
        now[0] = due
    assert pauses == [60, 60, 120, 240, 480]


def test_a_worker_that_died_after_close_is_made_up_for(
    deployed: Deployed, told: Any, easel: Easel
) -> None:
    job = opened(easel)
    worker = easel.lifecycle.worker
    leased = worker.ledger.lease("demo", job.id, "dead", int(time.time()))
    assert leased
    closed = worker.ledger.close(leased.close("cancelled", time.time() - 61), "dead")
    assert closed.owing
    deployed.messages()
    assert deployed.handler("sweep")({}, Context()) == {"due": 1}
    work(deployed, Context())
    assert [detail["job"] for detail in told()] == [job.id]


def test_the_sweep_makes_up_for_an_inline_jobs_event(
    deployed: Deployed, told: Any, easel: Easel
) -> None:
    tries = sentenced(easel, 200, {"FailedEntryCount": 1, "Entries": []})
    request = opened(easel).request
    deployed.messages()
    job = easel.inline.open(DEMO, request, {}, Identity(idempotency_key="k")).job
    assert easel.inline.wait(job, time.time() + 900).status == "succeeded"
    assert (len(tries), told()) == (1, [])
    assert bootstrap.build(clock=lambda: time.time() + 70).lifecycle.sweep() == 2
    work(deployed, Context())
    assert job.id in [detail["job"] for detail in told()]


def test_once_there_is_no_bus_any_more_nothing_is_owed(
    deployed: Deployed, told: Any, easel: Easel
) -> None:
    job = opened(easel)
    deployed.set(EVENT_BUS="")
    work(deployed, Context())
    assert told() == []
    assert "open" not in deployed.rows("JOBS_TABLE")[f"job#{job.id}"]


def test_without_a_bus_not_one_call_more_is_made(deployed: Deployed, told: Any) -> None:
    def calls(bus: str) -> list[str]:
        deployed.set(EVENT_BUS=bus)
        easel, seen = bootstrap.build(sleep=lambda _: None), []
        job = opened(easel)
        easel.lifecycle.ledger.client.meta.events.register(
            "before-call.dynamodb", lambda model, **_: seen.append(model.name)
        )
        easel.lifecycle.worker.run("demo", job.id, time.time() + 900)
        return seen

    without, with_one = calls(""), calls("default")
    assert with_one == [*without, "UpdateItem"]
    assert without[-1] == "TransactWriteItems"
    assert len(told()) == 1
