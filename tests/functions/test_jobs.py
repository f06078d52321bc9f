"""Jobs there are: listed, shown and cancelled, whoever else has a hand in them meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import queue
from easel.doors.calls import links
from easel.identity import Identity
from easel.jobs import Job
from easel.responses import job_object
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture
from tests.functions.test_https import call, follow, work
from tests.functions.test_worker import balanced, opened, overdue
from tests.unit.examples import DEMO

BLIND, NEW, RETRIED = Identity(), Identity(retries=0), Identity(retries=1)


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0", INTEGRATION_TIMEOUT_MILLIS="0")
    return bootstrap.build(sleep=lambda _: None)


def asked(
    deployed: Deployed, method: str, job: str | None = None, tenant: str = "demo", **query: str
) -> tuple[int, dict[str, Any]]:
    """Ask for the jobs, or one; return status and body."""
    event = deployed.event("jobs", "https", httpMethod=method, queryStringParameters=query or None)
    event["pathParameters"] = job and {"id": job}
    event["resource"] = "/jobs/{id}" if job else "/jobs"
    event["requestContext"]["authorizer"]["tenant"] = json.dumps({"name": tenant})
    answer = deployed.handler("jobs")(event, Context())
    return answer["statusCode"], json.loads(answer["body"])


def refused(answer: tuple[int, dict[str, Any]]) -> tuple[int, str, str | None]:
    status, body = answer
    return status, body["error"]["code"], body["error"]["param"]


# ---- List and show ----


def test_a_tenant_sees_its_own_jobs_newest_first(deployed: Deployed, easel: Easel) -> None:
    assert asked(deployed, "GET") == (
        200,
        {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False},
    )
    ids = []
    for prompt in ("first", "second", "third"):
        ids.insert(0, opened(easel, prompt).id)
        time.sleep(0.002)  # ids are in the order of their milliseconds
    status, page = asked(deployed, "GET", limit="2")
    assert (status, [one["id"] for one in page["data"]]) == (200, ids[:2])
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
    _, rest = asked(deployed, "GET", limit="2", after=page["last_id"])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[2:], False)
    assert asked(deployed, "GET", tenant="other")[1]["data"] == []


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "101"), ("limit", "x"), ("after", "job_1")]
)
def test_a_page_that_there_cannot_be_is_refused(
    deployed: Deployed, easel: Easel, name: str, value: str
) -> None:
    answer = asked(deployed, "GET", **{name: value})
    assert refused(answer) == (400, "invalid_value", name)


def test_a_listed_job_is_shown_as_it_is_alone(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    work(deployed, Context())
    [listed] = asked(deployed, "GET")[1]["data"]
    _, shown = asked(deployed, "GET", job.id)
    for one in (listed, shown):
        [datum] = one["data"]
        assert datum.pop("url").startswith("https://")
        datum.pop("expires_at")
    assert listed == shown
    assert shown["status"] == "succeeded"


def aged(deployed: Deployed, job: Job, days: float) -> None:
    """Let the job have ended so many days ago, whatever TTL makes of it."""
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{job.id}"}},
        UpdateExpression="SET finished_at = :at",
        ExpressionAttributeValues={":at": {"N": str(int(time.time() - days * 86_400))}},
    )


def test_past_its_retention_a_job_is_not_listed_and_shows_no_images(
    deployed: Deployed, easel: Easel
) -> None:
    old, kept, new = (opened(easel, prompt) for prompt in ("old", "kept", "new"))
    work(deployed, Context())
    aged(deployed, old, 30.1)
    aged(deployed, kept, 29.9)
    for limit in ("1", "2", "3"):
        _, page = asked(deployed, "GET", limit=limit)
        assert {one["id"] for one in page["data"]} <= {kept.id, new.id}
        assert page["has_more"] is (limit == "1")
    assert [one["data"] for one in page["data"] if one["id"] == kept.id] != [[]]
    status, shown = asked(deployed, "GET", old.id)
    assert (status, shown["status"], shown["data"]) == (200, "succeeded", [])
    result = follow(deployed, Context(), f"/v1/jobs/{old.id}/result")
    assert (result["statusCode"], json.loads(result["body"])["error"]["code"]) == (
        410,
        "job_expired",
    )


# ---- Cancel ----


def test_a_queued_job_is_cancelled_and_never_paid(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    status, cancelled = asked(deployed, "DELETE", job.id)
    assert (status, cancelled["status"], cancelled["cost_usd"]) == (200, "cancelled", 0)
    assert balanced(deployed) == {"charges": 0, "held": 0}
    assert asked(deployed, "DELETE", job.id) == (200, cancelled)
    assert asked(deployed, "GET", job.id) == (200, cancelled)
    work(deployed, Context())
    assert deployed.standin.calls() == []
    assert balanced(deployed) == {"charges": 0, "held": 0}
    result = follow(deployed, Context(), f"/v1/jobs/{job.id}/result")
    assert (result["statusCode"], result["headers"]["x-should-retry"]) == (409, "false")
    assert json.loads(result["body"])["error"]["code"] == "job_cancelled"


def test_only_ones_own_job_is_cancelled(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    assert refused(asked(deployed, "DELETE", job.id, tenant="other")) == (
        404,
        "job_not_found",
        "id",
    )
    assert easel.lifecycle.find("demo", job.id) == job


@pytest.mark.parametrize("state", ["running", "succeeded", "failed"])
def test_what_has_begun_is_not_cancelled(deployed: Deployed, easel: Easel, state: str) -> None:
    if state == "failed":
        deployed.standin.rule(status=400, code="moderation_blocked")
    job = opened(easel)
    if state == "running":
        assert easel.lifecycle.ledger.lease("demo", job.id, "me", int(time.time()))
    else:
        work(deployed, Context())
    before = easel.lifecycle.find("demo", job.id)
    assert before.status == state
    assert refused(asked(deployed, "DELETE", job.id)) == (409, "job_not_cancellable", None)
    assert easel.lifecycle.find("demo", job.id) == before


def meanwhile(easel: Easel, operation: str, act: Callable[[], Any]) -> None:
    """Let something happen just before DynamoDB gets its first such call."""
    acts = [act]

    def happen(**_: Any) -> None:
        if acts:
            acts.pop()()

    easel.lifecycle.ledger.client.meta.events.register(f"before-call.dynamodb.{operation}", happen)


def conflict(easel: Easel, job: Job) -> str:
    """Cancel in vain; return the message."""
    with pytest.raises(Exception, match="can be cancelled") as raised:
        easel.lifecycle.cancel("demo", job.id)
    assert getattr(raised.value, "code", None) == "job_not_cancellable"
    return str(raised.value)


def test_a_worker_that_comes_first_keeps_the_job(deployed: Deployed, easel: Easel) -> None:
    job, other = opened(easel), bootstrap.build()
    meanwhile(
        easel,
        "TransactWriteItems",
        lambda: other.lifecycle.worker.run("demo", job.id, time.time() + 900),
    )
    assert "succeeded" in conflict(easel, job)
    done = easel.lifecycle.find("demo", job.id)
    assert balanced(deployed) == {"charges": done.charge, "held": 0}


def test_a_worker_that_has_just_begun_keeps_the_job(deployed: Deployed, easel: Easel) -> None:
    job, ledger = opened(easel), bootstrap.build().lifecycle.ledger
    meanwhile(
        easel,
        "TransactWriteItems",
        lambda: ledger.lease("demo", job.id, "me", int(time.time())),
    )
    assert "running" in conflict(easel, job)


def test_what_a_worker_paid_in_between_is_not_forgotten(deployed: Deployed, easel: Easel) -> None:
    job, ledger = opened(easel), bootstrap.build().lifecycle.ledger

    def lose() -> None:
        held = ledger.lease("demo", job.id, "me", int(time.time()))
        assert held
        begun = held.begin(held.hold)
        back = {"status": "queued", "lease": None}
        ledger.update(begun.end(begun.attempts[0].lose()).model_copy(update=back), "me")

    meanwhile(easel, "TransactWriteItems", lose)
    assert "queued" in conflict(easel, job)
    assert easel.lifecycle.cancel("demo", job.id).charge == job.hold
    assert balanced(deployed) == {"charges": job.hold, "held": 0}


def test_a_caller_that_joined_before_keeps_the_job(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    assert easel.lifecycle.open(DEMO, job.request, {}, BLIND).job == job
    assert "nobody else" in conflict(easel, job)
    work(deployed, Context())
    assert easel.lifecycle.find("demo", job.id).status == "succeeded"


def test_a_caller_that_joins_while_it_is_cancelled_keeps_it(
    deployed: Deployed, easel: Easel
) -> None:
    job, other = opened(easel), bootstrap.build()
    joined: list[Job] = []
    meanwhile(
        easel,
        "TransactWriteItems",
        lambda: joined.append(other.lifecycle.open(DEMO, job.request, {}, BLIND).job),
    )
    conflict(easel, job)
    assert joined == [job]
    assert easel.lifecycle.find("demo", job.id).open


def test_a_job_cancelled_while_it_is_joined_is_not_joined(deployed: Deployed, easel: Easel) -> None:
    job, other = opened(easel), bootstrap.build()
    meanwhile(easel, "UpdateItem", lambda: other.lifecycle.cancel("demo", job.id))
    own = easel.lifecycle.open(DEMO, job.request, {}, BLIND).job
    assert own.id != job.id
    assert balanced(deployed) == {"charges": 0, "held": own.hold}
    assert easel.lifecycle.open(DEMO, job.request, {}, BLIND).job == own


def test_a_job_that_ends_while_it_is_joined_is_handed_over(
    deployed: Deployed, easel: Easel
) -> None:
    job, worker = opened(easel), bootstrap.build().lifecycle.worker
    meanwhile(easel, "UpdateItem", lambda: worker.run("demo", job.id, time.time() + 900))
    done = easel.lifecycle.open(DEMO, job.request, {}, BLIND).job
    assert (done.id, done.status) == (job.id, "succeeded")
    assert len(deployed.standin.calls()) == 1


KEY = Identity(idempotency_key="k")


@pytest.mark.parametrize(("first", "again"), [(NEW, RETRIED), (KEY, KEY)], ids=["count", "key"])
def test_the_same_caller_does_not_join(
    deployed: Deployed, easel: Easel, first: Identity, again: Identity
) -> None:
    request = opened(easel, "another").request.model_copy(update={"prompt": "a cat"})
    job = easel.lifecycle.open(DEMO, request, {}, first).job
    assert easel.lifecycle.open(DEMO, request, {}, again).job == job
    assert easel.lifecycle.cancel("demo", job.id).status == "cancelled"


def test_asking_what_a_call_would_do_joins_nothing(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    met = easel.lifecycle.repeats.find(DEMO, job.request, BLIND).met
    assert met
    assert met.job == job
    assert easel.lifecycle.cancel("demo", job.id).status == "cancelled"


def test_two_who_cancel_at_once_are_both_told_so(
    deployed: Deployed, easel: Easel, capsys: pytest.CaptureFixture[str]
) -> None:
    job, other = opened(easel), bootstrap.build()
    first: list[Job] = []
    meanwhile(
        easel,
        "TransactWriteItems",
        lambda: first.append(other.lifecycle.cancel("demo", job.id)),
    )
    assert easel.lifecycle.cancel("demo", job.id) == first[0]
    assert balanced(deployed) == {"charges": 0, "held": 0}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [line["JobsCancelled"] for line in lines] == [[1.0]]


@pytest.mark.parametrize("identity", [RETRIED, BLIND], ids=["counted", "blind"])
def test_who_asks_again_after_a_cancel_gets_a_new_job(
    deployed: Deployed, easel: Easel, identity: Identity
) -> None:
    job = opened(easel)
    easel.lifecycle.cancel("demo", job.id)
    again = easel.lifecycle.open(DEMO, job.request, {}, identity).job
    assert again.id != job.id
    work(deployed, Context())
    assert easel.lifecycle.find("demo", again.id).status == "succeeded"
    assert len(deployed.standin.calls()) == 1


def test_the_key_of_a_cancelled_job_stays_its_own(deployed: Deployed, easel: Easel) -> None:
    key = {"Idempotency-Key": "k"}
    deployed.set(INTEGRATION_TIMEOUT_MILLIS="29000")
    job = json.loads(call(deployed, Context(), {"prompt": "a cat"}, **key)["body"])["id"]
    assert asked(deployed, "DELETE", job)[0] == 200
    again = call(deployed, Context(), {"prompt": "a cat"}, **key)
    assert (again["statusCode"], again["headers"]["x-should-retry"]) == (409, "false")
    assert json.loads(again["body"])["error"]["code"] == "job_cancelled"


def test_a_waiter_learns_of_the_cancel(deployed: Deployed, easel: Easel) -> None:
    job, other = opened(easel), bootstrap.build()
    waiting = bootstrap.build(sleep=lambda _: other.lifecycle.cancel("demo", job.id))
    assert waiting.lifecycle.wait(job, time.time() + 60).status == "cancelled"


def test_an_inbox_that_is_cancelled_is_answered(deployed: Deployed, easel: Easel) -> None:
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="x")
    deployed.handler("edit")(event, Context())
    [job] = asked(deployed, "GET")[1]["data"]
    assert asked(deployed, "DELETE", job["id"])[0] == 200
    work(deployed, Context())
    answered = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    assert (answered["status"], answered["images"]) == ("cancelled", [])
    assert deployed.standin.calls() == []


def test_the_sweep_leaves_a_cancelled_job_alone(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    easel.lifecycle.cancel("demo", job.id)
    overdue(deployed, job, created_at=int(time.time()) - 3700)
    assert deployed.handler("sweep")({}, Context()) == {"due": 0}
    for message in deployed.messages():
        queue.work(message, easel.lifecycle, time.time() + 900)
    assert asked(deployed, "GET", job.id)[1] == job_object(
        easel.lifecycle.find("demo", job.id), links(easel)
    )
