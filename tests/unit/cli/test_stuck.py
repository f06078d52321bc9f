"""`easel jobs stuck` and `easel redrive`."""

import json
import re
import sys
import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import boto3
import botocore.handlers
import pytest
from botocore.exceptions import ConnectionClosedError

from cli import jobs, stack
from easel.aws import clients
from easel.aws.ledger import Ledger
from easel.catalogue import Catalogue
from easel.errors import Overloaded, UpstreamRefused
from easel.jobs import Job
from easel.tenants import Tenant
from tests.unit.cli.conftest import Run, Terminal
from tests.unit.examples import answer, job, request


class Desolate:
    """A stack whose queues and tables are looked at, and filled."""

    def __init__(self, outputs: dict[str, str]) -> None:
        self.outputs = outputs
        self.sqs = boto3.client("sqs")
        tables = outputs["JobsTableName"], 30, time.sleep, outputs["LedgerTableName"]
        self.ledger = Ledger(clients.dynamodb(), *tables)
        self.backlog = jobs.Backlog.of(stack.Stack.model_validate(outputs))
        self.backlog.tenants.create(Tenant(name="demo"), time.time())

    def dead(self, one: Job) -> None:
        """Give up a message of the job."""
        self.put("WorkDeadLettersUrl", {"tenant": one.tenant, "job": one.id})

    def put(self, queue: str, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.outputs[queue], MessageBody=text)

    def bodies(self, queue: str) -> list[Any]:
        """Return what a consumer sees in the queue, at once; at most ten, and none is taken."""
        got = self.sqs.receive_message(
            QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [json.loads(one["Body"]) for one in got.get("Messages", ())]

    def opened(self, age: int = 0, **changes: Any) -> Job:
        made = job(hold=700, now=int(time.time()) - age, **changes)
        assert self.ledger.open(made, f"same#{made.id}", None, ())
        return made

    def ended(self, status: str = "failed", *, bought: bool = False) -> Job:
        """Return a job that has ended long ago."""
        running = self.ledger.lease("demo", self.opened(4000).id, "me", int(time.time()))
        assert running
        if bought:
            running = running.begin(700)
            running = running.end(running.attempts[0].lose())
        error = Overloaded("Too old.") if status == "failed" else None
        made = answer() if status == "succeeded" else None
        return self.ledger.close(
            running.close(status, time.time() - 300, error=error, answer=made), "me"
        )

    def job(self, one: Job) -> Job:
        found = self.ledger.job(one.tenant, one.id)
        assert found
        return found

    def committed(self) -> int:
        found = boto3.resource("dynamodb").Table(self.outputs["LedgerTableName"]).scan()["Items"]
        months = [row for row in found if row["sk"].startswith("month#")]
        return sum(int(row["committed"]) for row in months)


@pytest.fixture
def desolate(outputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Desolate:
    monkeypatch.setattr(jobs, "_WAIT_SECONDS", 0)  # moto has one server, and would truly wait
    return Desolate(outputs)


HOLD = request().ceiling(Catalogue.load())
"""What such a picture is held at today, in micro-dollars."""


def s3_tells_of(*keys: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"object": {"key": key}}} for key in keys]}


def test_nothing_is_stuck(easel: Run, desolate: Desolate) -> None:
    desolate.opened(age=60)
    assert easel("jobs", "stuck") == (0, "Nothing is stuck.\n", "")
    assert json.loads(easel("jobs", "stuck", "--json")[1]) == {"jobs": [], "dead_letters": []}
    code, out, _ = easel("redrive")
    assert code == 0
    assert out.startswith("Dead letters: 0.")


def test_a_job_that_two_sweeps_have_left_is_stuck(easel: Run, desolate: Desolate) -> None:
    late, untold = desolate.opened(age=600), desolate.opened(age=600, untold=True)
    desolate.ledger.close(untold.close("cancelled", time.time() - 300), None)
    desolate.opened(age=170)
    code, out, _ = easel("jobs", "stuck")
    assert code == 0
    lines = [
        f"overdue  demo {late.id}: queued, 10 min old, attempts 0, hold 0.000700 USD",
        f"overdue  demo {untold.id}: cancelled, 10 min old, attempts 0, hold 0.000000 USD",
    ]
    assert out.splitlines() == lines
    first, _ = json.loads(easel("jobs", "stuck", "--json")[1])["jobs"]
    assert 600 <= first.pop("age_seconds") < 660
    assert first == {
        "tenant": "demo",
        "id": late.id,
        "status": "queued",
        "attempts": 0,
        "hold_usd": 0.0007,
    }


FATES: dict[str, tuple[Callable[[Desolate], Job], str, str]] = {
    # a job; what has become of it, and what is done with its dead letter
    "open": (Desolate.opened, "open", "send"),
    "unbilled": (Desolate.ended, "failed upstream_overloaded", "reopen"),
    "billed": (lambda it: it.ended(bought=True), "failed upstream_overloaded", "drop"),
    "succeeded": (lambda it: it.ended("succeeded"), "succeeded", "drop"),
    "cancelled": (lambda it: it.ended("cancelled"), "cancelled", "drop"),
    "gone": (lambda _: job(), "gone", "drop"),
}


@pytest.mark.parametrize(("made", "state", "redrive"), FATES.values(), ids=list(FATES))
def test_a_dead_letter_is_judged_by_its_job(
    easel: Run, desolate: Desolate, made: Callable[[Desolate], Job], state: str, redrive: str
) -> None:
    one = made(desolate)
    desolate.dead(one)
    before = desolate.ledger.job("demo", one.id), desolate.committed()
    [said] = json.loads(easel("jobs", "stuck", "--json")[1])["dead_letters"]
    hold = HOLD if redrive == "reopen" else 0
    assert said.pop("message")
    assert said == {
        "queue": "work",
        "tenant": "demo",
        "job": one.id,
        "state": state,
        "redrive": redrive,
        "hold_usd": hold / 1_000_000,
    }
    assert f"work     demo {one.id}: {state}; redrive: {redrive}" in easel("jobs", "stuck")[1]
    assert (desolate.ledger.job("demo", one.id), desolate.committed()) == before

    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 done, 0 failed")
    assert f"ok    demo {one.id}: {state}; " in out
    assert f"with new holds of {hold / 1_000_000:.6f} USD in all" in out
    assert desolate.bodies("WorkDeadLettersUrl") == []
    message = {"tenant": "demo", "job": one.id}
    assert desolate.bodies("WorkQueueUrl") == ([] if redrive == "drop" else [message])
    assert desolate.committed() == before[1] + hold
    if redrive == "reopen":
        again = desolate.job(one)
        assert (again.status, again.hold, again.error) == ("queued", HOLD, None)
        assert again.created_at >= time.time() - 60
    else:
        assert desolate.ledger.job("demo", one.id) == before[0]


def test_a_model_that_is_gone_is_not_bought_again(easel: Run, desolate: Desolate) -> None:
    old = desolate.opened(request=request(model="dall-e-3"))
    desolate.ledger.close(old.close("failed", time.time(), error=UpstreamRefused("x")), None)
    desolate.dead(old)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert f"{old.id}: failed upstream_error, its model retired; dropped" in out


def test_all_of_a_queue_is_seen_and_nothing_taken(easel: Run, desolate: Desolate) -> None:
    made = [job() for _ in range(25)]
    for one in made:
        desolate.dead(one)
    for _ in range(2):
        letters = json.loads(easel("jobs", "stuck", "--json")[1])["dead_letters"]
        assert {one["job"] for one in letters} == {one.id for one in made}
        assert len(desolate.bodies("WorkDeadLettersUrl")) == 10
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "25 done, 0 failed")


def test_a_question_goes_to_the_inbox_again(easel: Run, desolate: Desolate) -> None:
    body = s3_tells_of("inbox/demo/a+cat.png", "inbox/demo/b.png")
    desolate.put("InboxDeadLettersUrl", body)
    line = "inbox    inbox/demo/a cat.png inbox/demo/b.png: not handled; redrive: send\n"
    assert easel("jobs", "stuck")[1] == line
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 done, 0 failed")
    assert desolate.bodies("InboxDeadLettersUrl") == []
    assert desolate.bodies("InboxQueueUrl") == [body]


@pytest.mark.parametrize("body", ["{", "[]", '{"job": "x"}', "null"])
@pytest.mark.parametrize("queue", ["Work", "Inbox"])
def test_what_easel_never_wrote_is_dropped(
    easel: Run, desolate: Desolate, queue: str, body: str
) -> None:
    desolate.put(f"{queue}DeadLettersUrl", body)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert re.search(r"^ok    message \S+: no message of Easel's; dropped$", out, re.M)
    assert desolate.bodies(f"{queue}QueueUrl") == []


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_an_operator_is_asked_first(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool
) -> None:
    one = desolate.ended()
    desolate.dead(one)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    code, out, _ = easel("redrive")
    assert code == 0
    assert f"To reopen, with new holds of {HOLD / 1_000_000:.6f} USD in all: 1;" in out
    assert desolate.job(one).open is agreed


def test_without_a_terminal_nothing_is_done_unasked(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desolate.ended()
    desolate.dead(one)
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    code, _, err = easel("redrive")
    assert (code, err) == (
        1,
        "easel: Nothing was done. Where there is no terminal to ask on, say --yes.",
    )
    assert desolate.job(one) == one
    assert len(desolate.bodies("WorkDeadLettersUrl")) == 1


@pytest.mark.parametrize("dies", ["SendMessage", "DeleteMessage"])
def test_a_death_in_between_loses_nothing_and_holds_nothing_twice(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    one = desolate.ended()
    desolate.dead(one)

    def die(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url="sqs")

    with monkeypatch.context() as patch:
        hook = (f"before-call.sqs.{dies}", die)
        hooked = [*botocore.handlers.BUILTIN_HANDLERS, hook]
        patch.setattr(botocore.handlers, "BUILTIN_HANDLERS", hooked)
        clients.session.cache_clear()
        code, out, _ = easel("redrive", "--yes")
    clients.session.cache_clear()
    assert (code, out.splitlines()[-1]) == (1, "0 done, 1 failed")
    assert f"FAIL  demo {one.id}: Connection was closed" in out
    assert (desolate.job(one).status, desolate.committed()) == ("queued", HOLD)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert f"{one.id}: open; sent again" in out
    assert (desolate.job(one).status, desolate.committed()) == ("queued", HOLD)
    assert desolate.bodies("WorkDeadLettersUrl") == []
    assert desolate.bodies("WorkQueueUrl")[0] == {"tenant": "demo", "job": one.id}


def test_two_letters_of_one_job_hold_once(easel: Run, desolate: Desolate) -> None:
    one = desolate.ended()
    for _ in range(2):
        desolate.dead(one)
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "2 done, 0 failed")
    assert f"new holds of {HOLD / 1_000_000:.6f} USD in all: 2" in out
    assert desolate.committed() == HOLD


def test_more_than_was_agreed_to_is_not_held(desolate: Desolate) -> None:
    one = desolate.opened()
    desolate.dead(one)
    planned = [verdict for _, verdict in desolate.backlog.judged()]
    desolate.ledger.close(one.close("failed", time.time(), error=Overloaded("x")), None)
    desolate.dead(desolate.ended())  # came after the plan
    [outcome] = desolate.backlog.redrive(planned)
    assert outcome.failure == "It has changed meanwhile; redrive again."
    assert desolate.committed() == 0
    assert len(desolate.bodies("WorkDeadLettersUrl")) == 2


def test_what_somebody_else_has_taken_is_said(desolate: Desolate) -> None:
    one = desolate.ended()
    desolate.dead(one)
    planned = [verdict for _, verdict in desolate.backlog.judged()]
    assert [outcome.failure for outcome in desolate.backlog.redrive(planned)] == [None]
    [outcome] = desolate.backlog.redrive(planned)
    assert str(outcome).startswith(f"FAIL  demo {one.id}: It is no longer there")
