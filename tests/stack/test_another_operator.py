"""Easel as another operator has it, on a stack of its own: what the template's defaults never do.

Its jobs may pay twice, nothing goes unjudged, prompts are not kept, callers wait for longer than a
large answer takes to be composed, and there is no event bus.
"""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from easel.catalogue import Catalogue
from tests.functions.canaries import written_as
from tests.stack.conftest import described, start, stop
from tests.stack.running import Running, decoded, fetched, png, unique, until

PARAMETERS = ["MaxPaidAttempts=2", "ModerationFailure=closed", "KeepPrompts=false"]
WAITS = ["WaitSeconds=55", "IntegrationTimeoutMillis=60000"]
"""A quota that AWS has raised: even a slow machine has its picture while the door still waits."""
ASKED = {"size": "1024x1024", "quality": "low"}
CAT = {"images": [{"image_url": f"data:image/png;base64,{base64.b64encode(png()).decode()}"}]}
PICTURE = "[image]"
"""What the stand-in calls a picture that is to be judged."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The description of this operator's stack."""
    state = tmp_path_factory.mktemp("another")
    process = start(state, *PARAMETERS, *WAITS)
    try:
        yield described(state, process)
    finally:
        stop(process)


@pytest.fixture(scope="module")
def running(stack: dict[str, Any]) -> Running:
    return Running(stack)


def ceiling(prompt: str) -> int:
    return Catalogue.load().model("gpt-image-2.5-flare").ceiling("generate", ASKED, prompt, 0)


def balanced(running: Running, tenant: str) -> dict[str, int]:
    said, true = running.books(tenant)
    assert said == true
    return said


# ---- A call whose line is lost ----


def test_another_paid_attempt_makes_the_picture_and_both_are_charged(running):
    name, key = running.new_tenant()
    prompt = unique("a fox")
    running.standin.rule(containing=prompt, drop="during", times=1)
    made = running.openai(api_key=key).images.generate(prompt=prompt, **ASKED)
    assert decoded(fetched(made.data[0].url)).size == (1024, 1024)
    assert running.paid(prompt) == 2
    lost, answered = running.charges(made.model_extra["id"], name)
    assert (lost["amount"], lost["estimated"]) == (ceiling(prompt), True)
    assert (answered["amount"] > 0, answered["estimated"]) == (True, False)
    both = lost["amount"] + answered["amount"]
    assert made.model_extra["cost_usd"] == float(both) / 1_000_000
    assert balanced(running, name) == {"committed": both, "spent": both}


def test_another_attempt_that_the_budget_has_no_room_for_is_not_made(running):
    prompt = unique("a fox")
    hold = ceiling(prompt)
    name, key = running.new_tenant(month_budget=2 * hold - 1)
    running.standin.rule(containing=prompt, drop="during", times=1)
    with pytest.raises(openai.RateLimitError) as refused:
        running.openai(api_key=key).images.generate(prompt=prompt, **ASKED)
    assert refused.value.code == "budget_exceeded"
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert running.paid(prompt) == 1
    (job,) = running.rows("JobsTable", "job#", name)
    (charge,) = running.charges(job["sk"].removeprefix("job#"), name)
    assert (charge["amount"], charge["estimated"]) == (hold, True)
    assert balanced(running, name) == {"committed": hold, "spent": hold}


# ---- Moderation that does not answer ----


def test_what_nobody_judges_is_not_bought(running):
    name, key = running.new_tenant()
    prompt = unique("a fox")
    running.standin.rule(path="moderations", containing=prompt, status=503, times=3)
    client = running.openai(api_key=key, max_retries=0)
    with pytest.raises(openai.InternalServerError) as refused:
        client.images.generate(prompt=prompt, **ASKED)
    error = refused.value
    assert (error.status_code, error.code) == (503, "moderation_unavailable")
    assert error.response.headers["x-should-retry"] == "true"
    assert running.standin.calls(containing=prompt) == []
    assert balanced(running, name) == {"committed": 0, "spent": 0}
    again = {"x-stainless-retry-count": "1"}
    made = client.images.generate(prompt=prompt, extra_headers=again, **ASKED)
    assert fetched(made.data[0].url)
    assert running.paid(prompt) == 1


class Unjudged:
    """A job that is bought, and whose picture nobody judges: it waits."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.tenant, self.key = running.new_tenant(moderation="prompt+output")
        self.prompt = unique("a fox")
        running.standin.rule(path="moderations", containing=PICTURE, status=503)
        with running.http(self.key) as http:
            later = {"Prefer": "respond-async"}
            asked = {"prompt": self.prompt, **ASKED}
            self.job = http.post("/images/generations", json=asked, headers=later).json()["id"]
        until(lambda: (row := self.row())["status"] == "queued" and row["attempts"])

    def row(self) -> dict[str, Any]:
        return self.running.job(self.job, self.tenant)

    def ask(self, method: str, path: str = "") -> Any:
        with self.running.http(self.key) as http:
            return http.request(method, f"/jobs/{self.job}{path}")

    def due(self) -> None:
        """Let the minute be over that it waits."""
        self.running.aws("dynamodb").update_item(
            TableName=self.running.names["JobsTable"],
            Key={"tenant": {"S": self.tenant}, "sk": {"S": f"job#{self.job}"}},
            UpdateExpression="SET due_at = :now",
            ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
        )


@pytest.fixture
def unjudged(running: Running) -> Iterator[Unjudged]:
    yield Unjudged(running)
    running.standin.clear_rules()


def test_what_is_bought_waits_to_be_judged_and_is_not_bought_again(running, unjudged):
    name, job = unjudged.tenant, unjudged.job
    hold = ceiling(unjudged.prompt)
    assert balanced(running, name) == {"committed": hold, "spent": 0}
    shown = unjudged.ask("GET").json()
    assert (shown["status"], shown["data"]) == ("queued", [])
    assert running.objects(f"images/{name}/") == [f"images/{name}/{job}/1/answer.json"]
    assert running.objects(f"quarantine/{name}/") == [f"quarantine/{name}/{job}/1/0.png"]
    running.standin.clear_rules()
    unjudged.due()
    made = unjudged.ask("GET", "/result").json()
    assert decoded(fetched(made["data"][0]["url"])).size == (1024, 1024)
    assert running.objects(f"quarantine/{name}/") == []
    assert running.paid(unjudged.prompt) == 1
    assert 0 < balanced(running, name)["spent"] == round(made["cost_usd"] * 1_000_000) < hold


def test_what_is_bought_may_be_cancelled_and_is_charged(running, unjudged):
    name, job = unjudged.tenant, unjudged.job
    cancelled = unjudged.ask("DELETE").json()
    assert (cancelled["status"], cancelled["data"]) == ("cancelled", [])
    (charge,) = running.charges(job, name)
    assert 0 < charge["amount"] < ceiling(unjudged.prompt)
    assert not charge["estimated"]
    assert cancelled["cost_usd"] == float(charge["amount"]) / 1_000_000
    assert balanced(running, name) == dict.fromkeys(("committed", "spent"), charge["amount"])
    assert running.objects(f"images/{name}/") == [f"images/{name}/{job}/1/answer.json"]
    assert unjudged.ask("GET", "/result").json()["error"]["code"] == "job_cancelled"


# ---- Prompts ----


def lies(running: Running, text: str) -> set[str]:
    """Return where the text lies, but for what its owner put into the inbox."""
    places = {table: str(scanned(running, table)) for table in ("JobsTable", "LedgerTable")}
    places |= dict(objects(running))
    places |= {log.name: log.read_text() for log in Path(running.stack["log"]).glob("*.log")}
    places["log group"] = logged(running)
    assert '"message":"job closed"' in places["log group"]
    return {
        place
        for place, said in places.items()
        if any(one in said.lower() for one in written_as(text))
    }


def scanned(running: Running, table: str) -> list[Any]:
    scan = running.aws("dynamodb").get_paginator("scan")
    return [page["Items"] for page in scan.paginate(TableName=running.names[table])]


def logged(running: Running) -> str:
    events = running.aws("logs").get_paginator("filter_log_events")
    pages = events.paginate(logGroupName=running.names["LogGroupName"])
    return "\n".join(event["message"] for page in pages for event in page["events"])


def objects(running: Running) -> Iterator[tuple[str, str]]:
    """Yield the key of every object, and of every version that there was, and what is in it."""
    s3 = running.aws("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=running.bucket):
        for one in page.get("Versions", ()):
            if not one["Key"].startswith("inbox/"):
                place = {"Key": one["Key"], "VersionId": one["VersionId"]}
                got = s3.get_object(Bucket=running.bucket, **place)
                data = got["Body"].read().decode("latin-1")
                yield f"{one['Key']} {one['VersionId']}", f"{got['Metadata']} {data}"


def test_while_its_job_waits_a_prompt_is_in_the_jobs_table_and_when_it_is_cancelled_nowhere(
    running, unjudged
):
    assert lies(running, unjudged.prompt) == {"JobsTable"}
    assert unjudged.ask("DELETE").json()["status"] == "cancelled"
    assert lies(running, unjudged.prompt) == set()


def test_however_its_job_ends_a_prompt_lies_nowhere(running):
    name, key = running.new_tenant()
    prompt = unique("a private fox")
    words = {"subject": prompt, "details": [prompt]}
    refused = f"{prompt} that upstream refuses"
    quoting = {"code": "moderation_blocked", "message": f"No {prompt}!"}
    running.standin.rule(containing=refused, status=400, **quoting)
    place = f"inbox/{name}/cat.png"
    running.aws("s3").put_object(
        Bucket=running.bucket, Key=place, Body=png(64, 64), Metadata={"prompt": prompt}
    )
    with running.http(key) as http:
        answers = [
            http.post(f"/images/{path}", json={**ASKED, **given})
            for path, given in (
                ("generations", {"prompt": words}),
                ("edits", {"prompt": prompt, **CAT}),
                ("variations", {"prompt": prompt, **CAT}),
                ("generations", {"prompt": refused}),
                ("generations", {"prompt": f"{prompt}, forbidden-violence"}),
                ("generations", {"prompt": prompt, "size": prompt}),
            )
        ]
    assert [one.status_code for one in answers] == [200, 200, 200, 400, 400, 400]
    event = {"tenant": name, "prompt": f"{prompt}, invoked", **ASKED}
    assert running.invoke("Generate", event)[0] is None
    assert running.invoke("Generate", {**event, "prompt": refused})[0]
    until(lambda: running.objects(f"outbox/{name}/cat.png.json"))
    assert json.loads(running.object(f"outbox/{name}/cat.png.json"))["status"] == "succeeded"
    assert len(running.rows("JobsTable", "job#", name)) == 8
    assert lies(running, prompt) == set()


# ---- A door that waits for longer than composing takes ----


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("path", "given"), [("generations", {}), ("edits", CAT), ("variations", CAT)]
)
def test_the_door_itself_composes_a_large_answer_once(running, path, given, stream):
    prompt = unique("a wide fox")
    running.standin.rule(containing=prompt, image_bytes=2_500_000)
    asked = {"prompt": prompt, "n": 2, "response_format": "b64_json", "stream": stream}
    with running.http(headers=keyed(running, prompt)) as http:
        sent = [http.post(f"/images/{path}", json={**ASKED, **asked, **given}) for _ in range(2)]
    first, again = (one.url.path for one in sent)
    assert first == again
    assert f"/answers/{running.tenant}/job_" in first
    made = sent[1].text
    assert made.count('"b64_json"') == 2
    assert made.startswith("event: image_" if stream else "{")
    key = first.partition("/answers/")[2]
    versions = running.aws("s3").list_object_versions(
        Bucket=running.bucket, Prefix=f"answers/{key}"
    )["Versions"]
    assert len(versions) == 1
    assert running.paid(prompt) == 1


def keyed(running: Running, prompt: str) -> dict[str, str]:
    """Return the headers of a call that is the same job each time."""
    return {"Authorization": f"Bearer {running.key}", "Idempotency-Key": prompt}
