"""What was given up is tried again: a picture, paid once, where the error was told before."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from cli import jobs
from easel import bootstrap
from easel.aws import clients
from easel.bootstrap import Easel
from easel.jobs import Job
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture
from tests.functions.test_https import work
from tests.functions.test_worker import balanced, opened, overdue


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build()


@pytest.fixture
def backlog(deployed: Deployed, easel: Easel, monkeypatch: pytest.MonkeyPatch) -> jobs.Backlog:
    monkeypatch.setattr(jobs, "_WAIT_SECONDS", 0)
    sqs = clients.sqs()
    url = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("wd", "inbox", "id")}
    work_letters = jobs.DeadLetters(sqs, url["wd"], deployed.environ["WORK_QUEUE_URL"])
    inbox_letters = jobs.DeadLetters(sqs, url["id"], url["inbox"])
    letters = {"work": work_letters, "inbox": inbox_letters}
    return jobs.Backlog(easel.lifecycle.ledger, easel.tenants, letters)


def given_up(deployed: Deployed, backlog: jobs.Backlog, job: Job) -> None:
    """Let the job's messages be given up, and the sweep fail it as too old."""
    letters = backlog.queues["work"]
    for message in deployed.messages():
        body = message["Records"][0]["body"]
        letters.client.send_message(QueueUrl=letters.url, MessageBody=body)
    overdue(deployed, job, created_at=int(time.time()) - 3700)
    deployed.handler("sweep")({}, Context())


def redriven(backlog: jobs.Backlog) -> list[str]:
    planned = [verdict for _, verdict in backlog.judged()]
    outcomes = list(backlog.redrive(planned))
    assert [one.failure for one in outcomes if one.failure] == []
    return [one.verdict.redrive for one in outcomes]


@pytest.mark.parametrize(
    ("change", "told"), [({"month_budget": 1}, "budget"), ({"suspended": True}, "suspended")]
)
def test_a_job_is_not_reopened_against_its_tenants_word_of_today(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog, change: dict[str, Any], told: str
) -> None:
    job = opened(easel, tenant=easel.tenants.change("demo", {"month_budget": 25_000_000}))
    given_up(deployed, backlog, job)
    easel.tenants.change("demo", change)
    planned = [verdict for _, verdict in backlog.judged()]
    [outcome] = backlog.redrive(planned)
    assert outcome.failure
    assert told in outcome.failure
    assert easel.lifecycle.find("demo", job.id).status == "failed"
    balanced(deployed)


def test_a_larger_budget_of_today_is_enough(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    before = opened(easel, "another cat")
    tenant = easel.tenants.change("demo", {"month_budget": 2 * before.hold})
    job = opened(easel, tenant=tenant)
    given_up(deployed, backlog, job)
    opened(easel, "a third cat", tenant=tenant)
    easel.tenants.change("demo", {"month_budget": 3 * before.hold})
    assert "reopen" in redriven(backlog)
    reopened = easel.lifecycle.find("demo", job.id)
    assert (reopened.status, reopened.month_budget) == ("queued", 3 * before.hold)
    balanced(deployed)


def test_a_job_that_was_too_old_gets_its_picture(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    job = opened(easel)
    given_up(deployed, backlog, job)
    assert easel.lifecycle.find("demo", job.id).unbilled
    assert balanced(deployed) == {"charges": 0, "held": 0}

    assert redriven(backlog) == ["reopen"]
    assert balanced(deployed)["held"] == easel.lifecycle.find("demo", job.id).hold > 0
    assert deployed.handler("sweep")({}, Context()) == {"due": 0}
    work(deployed, Context())
    done = easel.lifecycle.find("demo", job.id)
    assert done.status == "succeeded"
    assert balanced(deployed) == {"charges": done.charge, "held": 0}
    assert len(deployed.standin.calls()) == 1
    counts = [row for sk, row in deployed.rows("LEDGER_TABLE").items() if sk.startswith("count#")]
    assert sum(int(row["jobs"]) for row in counts) == 1
    assert not {"open", "untold"} & deployed.rows("JOBS_TABLE")[f"job#{job.id}"].keys()


def test_a_message_that_is_lost_after_reopening_is_made_up_for_by_the_sweep(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    job = opened(easel)
    given_up(deployed, backlog, job)
    redriven(backlog)
    deployed.messages()
    later = bootstrap.build(clock=lambda: time.time() + 61)
    assert later.lifecycle.sweep() == 1
    work(deployed, Context())
    assert easel.lifecycle.find("demo", job.id).status == "succeeded"


def test_the_inboxs_answer_takes_its_errors_place(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="x")
    deployed.handler("edit")(event, Context())
    [job] = easel.lifecycle.ledger.jobs("demo", None, 9)
    given_up(deployed, backlog, job)

    def document() -> dict[str, Any]:
        return dict(json.loads(deployed.object("outbox/demo/a cat.png.json")))

    assert document()["error"]["code"] == "upstream_overloaded"
    assert redriven(backlog) == ["reopen"]
    deployed.handler("edit")(event, Context())  # S3's event may come again, too
    work(deployed, Context())
    assert (document()["id"], document()["error"]) == (job.id, None)
    assert deployed.object(document()["images"][0])
    assert len(deployed.standin.calls()) == 1


def test_the_event_bus_is_told_of_both_ends(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    deployed.set(EVENT_BUS="default")
    easel = bootstrap.build()
    sqs, bus = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bus.put_rule(Name="told", EventPattern='{"source": ["easel"]}')
    bus.put_targets(Rule="told", Targets=[{"Id": "told", "Arn": arn["QueueArn"]}])
    given_up(deployed, backlog, opened(easel))
    redriven(backlog)
    work(deployed, Context())
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    told = [json.loads(one["Body"])["detail"]["status"] for one in found]
    assert sorted(told) == ["failed", "succeeded"]


def test_a_question_that_was_given_up_is_answered(
    deployed: Deployed, easel: Easel, backlog: jobs.Backlog
) -> None:
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="x")
    letters = backlog.queues["inbox"]
    body = event["Records"][0]["body"]
    letters.client.send_message(QueueUrl=letters.url, MessageBody=body)
    assert redriven(backlog) == ["send"]
    [again] = letters.client.receive_message(QueueUrl=letters.source)["Messages"]
    event["Records"][0]["body"] = again["Body"]
    deployed.handler("edit")(event, Context())
    work(deployed, Context())
    assert json.loads(deployed.object("outbox/demo/a cat.png.json"))["error"] is None
