"""What was given up is tried again by the operator's command, on the running stack."""

import json
import time
import uuid
from typing import Any
from urllib.parse import quote_plus

import openai
import pytest
from openai.types import ImagesResponse

from easel.aws.ledger import Ledger
from easel.aws.tenants import Tenants
from easel.jobs import Job
from easel.tenants import Tenant
from tests.stack.running import Running, decoded, fetched, png, unique, until
from tests.unit.examples import request


class Caller:
    """A tenant of this test's own, and a job of it that no message tells of."""

    def __init__(self, running: Running, age: int) -> None:
        self.running = running
        self.tenant, self.key = running.new_tenant()
        self.prompt = unique("a fox that was given up")
        tables = running.names["JobsTable"], 30, time.sleep, running.names["LedgerTable"]
        asked = request(prompt=self.prompt)
        self.job = Job.new(self.tenant, asked, hold=20_000, now=time.time() - age)
        ledger = Ledger(running.aws("dynamodb"), *tables)
        assert ledger.open(self.job, f"same#{self.job.id}", None, ())

    def result(self) -> ImagesResponse:
        """Ask for the job's result, once."""
        client = self.running.openai(api_key=self.key, max_retries=0)
        return client.get(f"/jobs/{self.job.id}/result", cast_to=ImagesResponse)

    def check(self) -> None:
        """See the picture, one paid call, and books that balance."""
        made = self.result()
        assert decoded(fetched(made.data[0].url)).size == (1024, 1024)
        assert self.running.paid(self.prompt) == 1
        (charge,) = self.running.charges(self.job.id, self.tenant)
        said, true = self.running.books(self.tenant)
        assert said == true == dict.fromkeys(("committed", "spent"), charge["amount"])
        counts = self.running.rows("LedgerTable", "count#", self.tenant)  # two about midnight
        assert [sum(one.get(of, 0) for one in counts) for of in ("jobs", "images")] == [1, 1]


def give_up(running: Running, queue: str, body: dict[str, Any]) -> None:
    url = running.names[f"{queue}DeadLettersUrl"]
    running.aws("sqs").send_message(QueueUrl=url, MessageBody=json.dumps(body))


def stuck(running: Running) -> list[dict[str, Any]]:
    said = running.easel("jobs", "stuck", "--json", check=False)
    assert said.returncode == 0, said.stderr
    letters: list[dict[str, Any]] = json.loads(said.stdout)["dead_letters"]
    return letters


@pytest.fixture(autouse=True)
def nothing_is_left(running):
    with running.redriving():
        yield
        assert stuck(running) == []


def test_a_job_that_was_too_old_gets_its_picture(running):
    caller = Caller(running, age=4000)
    running.invoke("Sweep", {})
    with pytest.raises(openai.InternalServerError) as failed:
        until(caller.result)
    assert (failed.value.status_code, failed.value.code) == (503, "upstream_overloaded")
    give_up(running, "Work", {"tenant": caller.tenant, "job": caller.job.id})

    for _ in range(2):  # looking takes nothing
        (letter,) = (one for one in stuck(running) if one["job"] == caller.job.id)
        assert (letter["state"], letter["redrive"]) == ("failed upstream_overloaded", "reopen")
    refused = running.easel("redrive", check=False)
    assert (refused.returncode, running.paid(caller.prompt)) == (1, 0)
    assert "say --yes" in refused.stderr

    done = running.easel("redrive", "--yes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{caller.job.id}: failed upstream_overloaded; reopened" in done.stdout
    caller.check()
    again = running.easel("redrive", "--yes", check=False)
    assert (again.returncode, again.stdout[:16]) == (0, "Dead letters: 0.")


def test_an_open_job_gets_its_message(running):
    caller = Caller(running, age=0)
    for _ in range(2):
        give_up(running, "Work", {"tenant": caller.tenant, "job": caller.job.id})
    done = running.easel("redrive", "--yes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{caller.job.id}: open; sent again") == 2
    caller.check()
    give_up(running, "Work", {"tenant": caller.tenant, "job": caller.job.id})
    assert (
        f"{caller.job.id}: succeeded; dropped"
        in running.easel("redrive", "--yes", check=False).stdout
    )


def test_a_question_is_answered_once_its_trouble_is_over(running):
    """Here it was that its tenant was not there yet."""
    tenant, prompt = f"t{uuid.uuid4().hex[:8]}", unique("a hat")
    key = f"inbox/{tenant}/a cat.png"
    put = running.aws("s3").put_object(
        Bucket=running.bucket, Key=key, Body=png(640, 480), Metadata={"prompt": prompt}
    )
    place = f"outbox/{tenant}/a cat.png"
    until(lambda: running.objects(f"{place}.json"))
    assert json.loads(running.object(f"{place}.json"))["error"]["code"] == "not_found"
    tenants = Tenants(running.aws("dynamodb"), running.names["TenantsTable"])
    tenants.create(Tenant(name=tenant), time.time())

    told = {"key": quote_plus(key), "eTag": put["ETag"].strip('"'), "versionId": put["VersionId"]}
    give_up(running, "Inbox", {"Records": [{"s3": {"object": told}}]})
    assert [one["objects"] for one in stuck(running)] == [[key]]
    done = running.easel("redrive", "--yes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{key}: not handled; sent again" in done.stdout
    until(lambda: running.objects(f"{place}.png"))
    document = until(lambda: _succeeded(running, f"{place}.json"))
    assert document["images"] == [f"{place}.png"]
    assert running.paid(prompt) == 1
    said, true = running.books(tenant)
    assert said == true


def _succeeded(running: Running, key: str) -> dict[str, Any] | None:
    document: dict[str, Any] = json.loads(running.object(key))
    return None if document["error"] else document
