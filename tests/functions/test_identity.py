"""Whose job it is: pictures that nobody received, and equal callers that all come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import boto3
import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import jobs as door
from easel.doors.https import Call
from easel.identity import CALLED_SECONDS, MOST_SEEN, Identity
from easel.jobs import Job
from tests.functions.conftest import Context, Deployed, fail
from tests.functions.test_jobs import meanwhile
from tests.functions.test_worker import balanced, opened
from tests.unit.examples import DEMO

NEW, RETRIED = Identity(retries=0), Identity(retries=1)


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build()


def later(easel: Easel, seconds: float) -> Callable[[Job, Identity], Job]:
    """Return what opens the request of a job again, so many seconds from now."""
    lifecycle = replace(easel.lifecycle, clock=lambda: easel.clock() + seconds)
    return lambda job, identity: lifecycle.open(DEMO, job.request, {}, identity).job


def made(easel: Easel, job: Job) -> Job:
    done = easel.lifecycle.worker.run("demo", job.id, easel.clock() + 900)
    assert done
    return done


def test_pictures_that_nobody_received_are_handed_over_once(
    deployed: Deployed, easel: Easel
) -> None:
    job = made(easel, opened(easel))
    again = later(easel, CALLED_SECONDS + 1)
    assert again(job, NEW).id == job.id
    another = again(job, NEW)
    assert another.id != job.id
    assert balanced(deployed)["held"] == another.hold


def test_one_of_two_who_ask_at_once_is_handed_the_pictures(
    deployed: Deployed, easel: Easel
) -> None:
    job = made(easel, opened(easel))
    again = later(easel, CALLED_SECONDS + 1)
    met: list[str] = []
    meanwhile(easel, "UpdateItem", lambda: met.append(again(job, NEW).id))
    met.append(again(job, NEW).id)
    assert met[0] == job.id
    assert met[1] != job.id


def test_who_is_answered_has_received_it(deployed: Deployed, easel: Easel) -> None:
    deployed.set(WORK_QUEUE_URL="")
    answer = deployed.handler("generate")(deployed.event("generate", "https"), Context())
    [job] = [row for sk, row in deployed.rows("JOBS_TABLE").items() if sk.startswith("job#")]
    assert answer["statusCode"] == 200
    assert job["delivered"] is True


def test_who_looks_at_a_finished_job_has_received_it(deployed: Deployed, easel: Easel) -> None:
    job, show = opened(easel), deployed.handler("jobs")
    event = deployed.event("jobs", "https", pathParameters={"id": job.id})
    show(event, Context())
    assert not easel.lifecycle.find("demo", job.id).delivered
    made(easel, job)
    assert json.loads(show(event, Context())["body"])["data"]
    assert easel.lifecycle.find("demo", job.id).delivered


def test_who_takes_the_jobs_id_will_come_for_it(deployed: Deployed, easel: Easel) -> None:
    event = deployed.event("generate", "https")
    event["headers"]["prefer"] = "respond-async"
    event["requestContext"]["requestTimeEpoch"] = int(easel.clock() * 1000)
    accepted = deployed.handler("generate")(event, Context())
    assert accepted["statusCode"] == 202
    job = made(easel, easel.lifecycle.find("demo", json.loads(accepted["body"])["id"]))
    assert later(easel, CALLED_SECONDS + 1)(job, NEW).id != job.id


def test_a_picture_is_the_callers_even_if_that_cannot_be_noted(
    deployed: Deployed, easel: Easel
) -> None:
    job, call = made(easel, opened(easel)), deployed.event("jobs", "https")
    fail(easel.lifecycle.ledger.client, "UpdateItem", "ThrottlingException")
    call["pathParameters"] = {"id": job.id}
    reply = door.show(easel, Call(APIGatewayProxyEvent(call)))
    assert reply.body["data"]  # type: ignore[index]  # it is no text
    assert not easel.lifecycle.find("demo", job.id).delivered


def test_equal_callers_that_all_come_back_get_a_job_each(deployed: Deployed, easel: Easel) -> None:
    jobs = [opened(easel) for _ in range(4)]
    made(easel, jobs[2])
    for count in 1, 2:
        assert sorted(twice_at_once(easel, jobs[0], Identity(retries=count))) == [
            one.id for one in jobs
        ]


def test_who_is_sent_away_comes_back_to_the_same_job(deployed: Deployed, easel: Easel) -> None:
    awaited, left = opened(easel), opened(easel)
    again = later(easel, 30)
    for count in 1, 2:
        easel.lifecycle.leave(left)
        assert again(left, Identity(retries=count)).id == left.id
    assert again(awaited, RETRIED).id == awaited.id


def test_leaving_a_job_that_a_key_names_notes_nothing(deployed: Deployed, easel: Easel) -> None:
    keyed = Identity(idempotency_key="k")
    job = easel.lifecycle.open(DEMO, opened(easel).request, {}, keyed).job
    before = deployed.rows("JOBS_TABLE")
    easel.lifecycle.leave(job)
    assert deployed.rows("JOBS_TABLE") == before


def twice_at_once(easel: Easel, job: Job, identity: Identity) -> list[str]:
    """Come back twice, each while another has read what there is, and not yet written."""
    again = later(easel, 30)
    met: list[str] = []
    for _ in range(2):
        meanwhile(easel, "UpdateItem", lambda: met.append(again(job, identity).id))
        met.append(again(job, identity).id)
    return met


def test_a_request_remembers_so_many_jobs_and_no_more(deployed: Deployed, easel: Easel) -> None:
    jobs = [opened(easel) for _ in range(MOST_SEEN + 3)]
    [pointer] = [row for sk, row in deployed.rows("JOBS_TABLE").items() if sk.startswith("same#")]
    assert [one for one, *_ in json.loads(pointer["seen"])] == [one.id for one in jobs[3:]]
    assert later(easel, 1)(jobs[0], RETRIED).id == jobs[3].id


# ---- After a long wait ----


@pytest.mark.parametrize("retries", [1, 0, None])
def test_who_is_sent_away_late_comes_back_to_the_same_job(
    deployed: Deployed, easel: Easel, retries: int | None
) -> None:
    """A job of 1000 s: its caller is told at 999 s to ask again in a second, and does at 1012."""
    job = opened(easel)

    def at(seconds: float) -> Callable[[], float]:
        return lambda: easel.clock() + seconds

    replace(easel.lifecycle, clock=at(999)).leave(job)
    worker = replace(easel.lifecycle.worker, clock=at(1000))
    assert worker.run("demo", job.id, easel.clock() + 1900)
    assert later(easel, 1012)(job, Identity(retries=retries)).id == job.id
    assert len(deployed.standin.calls()) == 1
    balanced(deployed)


# ---- One's own write, whose answer is lost ----


def answered_late(easel: Easel) -> None:
    """Let each update be written, and its answer be lost once: botocore sends it again."""
    events = easel.lifecycle.ledger.client.meta.events
    events.register_first(
        "needs-retry.dynamodb.UpdateItem", lambda attempts, **_: 0 if attempts == 1 else None
    )


def test_pictures_are_handed_over_though_the_note_of_it_was_answered_late(
    deployed: Deployed, easel: Easel
) -> None:
    job = made(easel, opened(easel))
    answered_late(easel)
    again = later(easel, CALLED_SECONDS + 1)
    assert again(job, NEW).id == job.id
    assert again(job, NEW).id != job.id


def test_retries_get_a_job_each_though_the_notes_of_it_were_answered_late(
    deployed: Deployed, easel: Easel
) -> None:
    one = opened(easel)
    two = later(easel, 0)(one, NEW)
    answered_late(easel)
    met = [later(easel, 1)(one, RETRIED) for _ in range(2)]
    assert [each.id for each in met] == [one.id, two.id]


# ---- What was written before ----


@pytest.mark.parametrize("identity", [NEW, RETRIED, Identity()])
def test_a_pointer_of_three_fields_is_read_and_moved(
    deployed: Deployed, easel: Easel, identity: Identity
) -> None:
    """As it was written before joins were counted."""
    job = opened(easel)
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"same#{job.request.fingerprint()}"}},
        UpdateExpression="SET seen = :old",
        ExpressionAttributeValues={":old": {"S": json.dumps([[job.id, 0, False]])}},
    )
    easel.lifecycle.leave(job)
    met = later(easel, 40)(job, identity)
    assert (met.id == job.id) == (identity != NEW)
    row = deployed.rows("JOBS_TABLE")[f"same#{job.request.fingerprint()}"]
    joined = identity == Identity()
    assert [len(one) for one in json.loads(row["seen"])] == (
        [4] if joined else [3] * len({met.id, job.id})
    )


def test_who_joins_takes_no_payers_place(deployed: Deployed, easel: Easel) -> None:
    """Two equal calls; a blind one joins the first, a third is opened; then all payers retry."""
    one = opened(easel)
    two = later(easel, 0)(one, NEW)
    again = later(easel, 40)
    assert again(one, Identity()).id == one.id
    three = again(one, NEW)
    assert again(one, Identity()).id == two.id
    met = [again(one, RETRIED).id for _ in range(3)]
    assert met == [one.id, two.id, three.id]
