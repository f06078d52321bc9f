"""Prompts are kept with their jobs, or, where the operator wants it, only digests of them."""

from __future__ import annotations

import json
from hashlib import sha256

import boto3
import pytest

from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture
from tests.functions.test_https import call, follow, work

PROMPT = "a very private cat"


@pytest.fixture
def forgetful(deployed: Deployed) -> Deployed:
    """A deployment that keeps digests only."""
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0", KEEP_PROMPTS="false")
    return deployed


def everything(deployed: Deployed) -> str:
    """Return all that lies in the tables and the bucket, but for what its owner put there."""
    s3 = boto3.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="easel")["Contents"]]
    texts = [deployed.object(key).decode("latin-1") for key in keys if key.endswith(".json")]
    ours = [key for key in keys if not key.startswith("inbox/")]
    said = [s3.head_object(Bucket="easel", Key=key)["Metadata"] for key in ours]
    return str([deployed.rows("JOBS_TABLE"), deployed.rows("LEDGER_TABLE"), texts, said])


def test_a_finished_job_has_a_digest_for_its_prompt(forgetful: Deployed, context: Context) -> None:
    ask = {"prompt": {"subject": PROMPT, "details": [PROMPT]}}
    location = call(forgetful, context, ask)["headers"]["location"]
    assert PROMPT in str(forgetful.rows("JOBS_TABLE"))
    work(forgetful, context)
    assert PROMPT not in everything(forgetful)
    [sent] = forgetful.standin.calls()
    assert sha256(sent["parameters"]["prompt"].encode()).hexdigest() in everything(forgetful)

    done = follow(forgetful, context, location)
    assert (done["statusCode"], "prompt" in json.loads(done["body"])) == (200, False)
    shown = json.loads(follow(forgetful, context, location.partition("/result")[0])["body"])
    assert (shown["status"], shown["prompt"]) == ("succeeded", None)
    retried = call(forgetful, context, ask, **{"x-stainless-retry-count": "1"})
    assert json.loads(retried["body"])["id"] == shown["id"]

    changed = call(forgetful, context, {"prompt": {"from": shown["id"], "add": ["snow"]}})
    assert changed["statusCode"] == 400
    assert "not kept" in json.loads(changed["body"])["error"]["message"]


def test_neither_is_what_upstream_said_of_it(forgetful: Deployed, context: Context) -> None:
    forgetful.standin.rule(status=400, code="moderation_blocked", message=f"No {PROMPT}!")
    location = call(forgetful, context, {"prompt": PROMPT})["headers"]["location"]
    work(forgetful, context)
    assert PROMPT not in str(forgetful.rows("JOBS_TABLE"))
    refused = follow(forgetful, context, location)
    error = json.loads(refused["body"])["error"]
    assert (refused["statusCode"], error["code"]) == (400, "moderation_blocked")


def test_a_cancelled_job_has_none(forgetful: Deployed, context: Context) -> None:
    location = call(forgetful, context, {"prompt": PROMPT})["headers"]["location"]
    event = forgetful.event("jobs", "cancel", pathParameters={"id": location.split("/")[3]})
    assert forgetful.handler("jobs")(event, context)["statusCode"] == 200
    assert PROMPT not in str(forgetful.rows("JOBS_TABLE"))


def test_the_outbox_says_none(forgetful: Deployed, context: Context) -> None:
    event = drop(forgetful, "inbox/demo/a cat.png", picture(), prompt=PROMPT)
    forgetful.handler("edit")(event, context)
    work(forgetful, context)
    assert json.loads(forgetful.object("outbox/demo/a cat.png.json"))["prompt"] is None
    assert PROMPT not in everything(forgetful)


def test_nor_does_an_answer_that_lies_in_the_bucket(forgetful: Deployed, context: Context) -> None:
    forgetful.set(WORK_QUEUE_URL="")
    forgetful.standin.rule(containing=PROMPT, image_bytes=4_600_000)
    answer = call(forgetful, context, {"prompt": PROMPT, "size": "1024x1024"})
    assert answer["statusCode"] == 303
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="easel")["Contents"]]
    [composed] = [key for key in keys if key.startswith("answers/")]
    assert PROMPT.encode() not in forgetful.object(composed)


def test_nor_what_only_upstream_understands(forgetful: Deployed, context: Context) -> None:
    ask = {"prompt": "a cat", "negative": [PROMPT], "n": 2, "quality": "low"}
    call(forgetful, context, ask)
    work(forgetful, context)
    [sent] = forgetful.standin.calls()
    assert sent["parameters"]["negative"] == [PROMPT]
    rows = str(forgetful.rows("JOBS_TABLE"))
    assert PROMPT not in rows
    assert '"quality":"low"' in rows


def test_an_end_user_is_named_nowhere(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    event = drop(
        deployed, "inbox/demo/cat.png", picture(), prompt="a cat", user="jane@here.example"
    )
    deployed.handler("edit")(event, context)
    work(deployed, context)
    assert "jane" not in everything(deployed)


def test_by_default_prompts_are_kept(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    location = call(deployed, context, {"prompt": PROMPT})["headers"]["location"]
    work(deployed, context)
    assert json.loads(follow(deployed, context, location)["body"])["prompt"] == PROMPT
