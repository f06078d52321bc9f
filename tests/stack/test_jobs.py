"""Coming back and being told: jobs are listed, cancelled, and their ends are events."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import openai
import pytest
from openai import OpenAI
from openai.types import ImagesResponse

from easel.aws.ledger import Ledger
from easel.jobs import Job
from local.template import load
from tests.stack import readme
from tests.stack.running import Running, fetched, unique, until
from tests.unit.examples import request

LONG = "please slow down and try again after 51.84 seconds"
"""A wait for which a worker gives its job back: it is queued again."""
OTHER = "gpt-image-2.6-sunburst"
"""A refusal holds up all calls to its model: here one that no other test asks for."""
ASYNC = {"Prefer": "respond-async"}


class Caller(NamedTuple):
    """A tenant of a test's own, and its openai-python with default settings."""

    tenant: str
    client: OpenAI


@pytest.fixture
def caller(running: Running) -> Caller:
    name, key = running.new_tenant()
    return Caller(name, running.openai(api_key=key))


def waiting(running: Running, caller: Caller) -> str:
    """Open a job that upstream sends away for a while; return its id once it is queued again."""
    prompt = unique("a fox that waits")
    running.standin.rule(containing=prompt, status=429, code="rate_limit_exceeded", message=LONG)
    job = caller.client.images.generate(
        prompt=prompt, model=OTHER, extra_headers=ASYNC
    ).model_extra["id"]

    def queued_again() -> bool:
        row = running.job(job, caller.tenant)
        return "started_at" in row and row["status"] == "queued"

    until(queued_again)
    return str(job)


def listed(caller: Caller, **query: Any) -> Any:
    return caller.client.get("/jobs", cast_to=object, options={"params": query})


def made(caller: Caller) -> str:
    return str(caller.client.images.generate(prompt=unique("a fox")).model_extra["id"])


def test_a_program_lists_its_jobs_page_by_page(caller):
    ids = [made(caller) for _ in range(3)]
    first = listed(caller, limit=2)
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (ids[:0:-1], True)
    rest = listed(caller, limit=2, after=first["last_id"])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert fetched(rest["data"][0]["data"][0]["url"])
    with pytest.raises(openai.BadRequestError) as refused:
        listed(caller, after="job_1")
    assert (refused.value.code, refused.value.param) == ("invalid_value", "after")


def test_a_queued_job_is_cancelled(running, caller):
    tenant, client = caller
    job = waiting(running, caller)
    assert running.books(tenant)[0]["committed"] > 0
    for _ in range(2):
        assert client.delete(f"/jobs/{job}", cast_to=object)["status"] == "cancelled"
    said, true = running.books(tenant)
    assert said == true == {"committed": 0, "spent": 0}
    with pytest.raises(openai.ConflictError) as refused:
        client.get(f"/jobs/{job}/result", cast_to=object)
    assert refused.value.code == "job_cancelled"


def test_what_is_done_is_not_cancelled(running, caller):
    job = made(caller)
    with pytest.raises(openai.ConflictError) as refused:
        caller.client.delete(f"/jobs/{job}", cast_to=object)
    assert refused.value.code == "job_not_cancellable"
    assert running.job(job, caller.tenant)["status"] == "succeeded"
    with pytest.raises(openai.NotFoundError):
        running.client.delete(f"/jobs/{job}", cast_to=object)


# ---- Events ----


@pytest.fixture(scope="module")
def told(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Connect a queue by README's rule, cancelled jobs let through; return what finds an event."""
    [block] = [block for block in readme.blocks() if block.language == "yaml"]
    path = tmp_path_factory.mktemp("events") / "template.yaml"
    path.write_text(block.text)
    pattern = load(path)["Resources"]["Finished"]["Properties"]["EventPattern"]
    pattern["detail"]["status"].append("cancelled")
    sqs, bus = running.aws("sqs"), running.aws("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bus.put_rule(Name="told", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="told", Targets=[{"Id": "told", "Arn": arn["QueueArn"]}])
    seen: dict[str, dict[str, Any]] = {}

    def find(job: str) -> dict[str, Any] | None:
        for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            event = json.loads(one["Body"])
            seen[event["detail"]["job"]] = event
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return seen.get(job)

    yield find
    bus.remove_targets(Rule="told", Ids=["told"])
    bus.delete_rule(Name="told")
    sqs.delete_queue(QueueUrl=url)


def succeeded(running: Running, caller: Caller) -> str:
    return made(caller)


def failed(running: Running, caller: Caller) -> str:
    prompt = unique("a fox that fails")
    running.standin.rule(containing=prompt, status=400, code="moderation_blocked")
    with pytest.raises(openai.BadRequestError):
        caller.client.images.generate(prompt=prompt)
    [job] = running.jobs(prompt, caller.tenant)
    return job


def cancelled(running: Running, caller: Caller) -> str:
    job = waiting(running, caller)
    caller.client.delete(f"/jobs/{job}", cast_to=object)
    return job


def invoked(running: Running, caller: Caller) -> str:
    error, answer = running.invoke("Generate", {"prompt": unique("a fox"), "tenant": caller.tenant})
    assert error is None, answer
    return str(answer["id"])


@pytest.mark.parametrize("end", [succeeded, failed, cancelled, invoked])
def test_the_end_of_a_job_is_an_event(running, caller, told, end):
    job = end(running, caller)
    event = until(lambda: told(job))
    detail = event["detail"]
    row = running.job(job, caller.tenant)
    assert (detail["tenant"], detail["status"]) == (caller.tenant, row["status"])
    assert detail["cost_usd"] == int(row["charge"]) / 1_000_000
    assert detail["bucket"] == running.bucket
    assert bool(detail["images"]) == (row["status"] == "succeeded")
    assert set(detail["images"]) <= set(running.objects(f"images/{caller.tenant}/{job}/"))
    assert "fox" not in json.dumps(event)
    until(lambda: "open" not in running.job(job, caller.tenant))


def test_readme_names_what_an_event_says(caller, told):
    job = made(caller)
    event = until(lambda: told(job))
    said = readme.section("Events").split("The detail says")[1].split(";")[0]
    assert re.findall(r"`(\w+)`", said) == list(event["detail"])
    assert f"`{event['source']}`" in readme.section("Events")
    assert f"`{event['detail-type']}`" in readme.section("Events")


# ---- What only the sweep finds ----


def ledger_of(running: Running) -> Ledger:
    tables = running.names["JobsTable"], 30, time.sleep, running.names["LedgerTable"]
    return Ledger(running.aws("dynamodb"), *tables)


def unsent(running: Running, caller: Caller, words: str, age: int = 0) -> Job:
    """Return a job that was opened so many seconds ago, and whose message was never sent."""
    asked, opened = request(prompt=unique(words)), int(time.time()) - age
    job = Job.new(caller.tenant, asked, hold=20_000, now=opened, untold=True)
    assert ledger_of(running).open(job, f"same#{job.id}", None, ())
    return job


def test_a_job_whose_message_was_lost_is_made(running, caller):
    job = unsent(running, caller, "a fox whose message was lost", age=120)
    row = swept(running, caller, job)
    assert (row["status"], running.paid(job.request.prompt)) == ("succeeded", 1)
    result = caller.client.get(f"/jobs/{job.id}/result", cast_to=ImagesResponse)
    assert fetched(result.data[0].url)


def abandoned(running: Running, caller: Caller) -> Job:
    """Return a job that is too old, and whose worker died during the paid call."""
    job = unsent(running, caller, "a fox whose worker died")
    ledger, now = ledger_of(running), job.created_at
    leased = ledger.lease(caller.tenant, job.id, "dead", now)
    assert leased
    calling = leased.begin(leased.hold)
    # In one write, so that no sweep of the stack's own comes between.
    old = {"created_at": now - 4000, "due_at": now - 3900}
    return ledger.update(calling.model_copy(update=old), "dead")


def swept(running: Running, caller: Caller, job: Job) -> dict[str, Any]:
    """Let the sweep end the job; return its item."""
    running.invoke("Sweep", {})
    return until(lambda: (row := running.job(job.id, caller.tenant)).get("finished_at") and row)


def test_a_call_that_nobody_can_tell_of_is_charged_at_its_hold(running, caller, told):
    job = abandoned(running, caller)
    row = swept(running, caller, job)
    assert (row["status"], row["charge"]) == ("failed", job.hold)
    (charge,) = running.charges(job.id, caller.tenant)
    assert (charge["amount"], charge["estimated"]) == (job.hold, True)
    said, true = running.books(caller.tenant)
    assert said == true == dict.fromkeys(("committed", "spent"), job.hold)
    with pytest.raises(openai.InternalServerError) as failed:
        caller.client.get(f"/jobs/{job.id}/result", cast_to=object)
    assert (failed.value.status_code, failed.value.code) == (502, "upstream_outcome_unknown")
    assert failed.value.response.headers["x-should-retry"] == "false"
    detail = until(lambda: told(job.id))["detail"]
    assert (detail["status"], detail["error"]) == ("failed", "upstream_outcome_unknown")
    assert detail["cost_usd"] == job.hold / 1_000_000


def test_an_answer_that_is_complete_is_delivered_however_old(running, caller, told):
    """What another job was answered stands in for what the dead worker had stored."""
    other, job = made(caller), abandoned(running, caller)
    running.aws("s3").copy_object(
        Bucket=running.bucket,
        Key=f"{job.prefix}answer.json",
        CopySource=f"{running.bucket}/images/{caller.tenant}/{other}/1/answer.json",
    )
    row = swept(running, caller, job)
    assert row["status"] == "succeeded"
    assert row["charge"] == running.job(other, caller.tenant)["charge"]
    (charge,) = running.charges(job.id, caller.tenant)
    assert (charge["amount"], charge["estimated"]) == (row["charge"], False)
    result = caller.client.get(f"/jobs/{job.id}/result", cast_to=ImagesResponse)
    assert fetched(result.data[0].url)
    assert until(lambda: told(job.id))["detail"]["status"] == "succeeded"
    assert running.paid(job.request.prompt) == 0
