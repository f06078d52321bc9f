"""Moderation through the handlers: what is asked when, what is bought, and who can read what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from PIL import Image as Picture

from easel import bootstrap, telemetry
from easel.bootstrap import Easel
from easel.doors import direct
from easel.errors import EaselError
from easel.jobs import Job
from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, post
from tests.functions.test_https import call, follow, work
from tests.functions.test_worker import balanced, opened
from tests.unit.examples import picture

if TYPE_CHECKING:
    from easel.upstream import Upstream

BOTH = "prompt+output"


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return built()


def built() -> Easel:
    return bootstrap.build(sleep=lambda _: None)


def run(easel: Easel, job: Job, seconds: float = 900) -> Job:
    """Let a worker take the job; return the job as it is then."""
    easel.lifecycle.worker.run("demo", job.id, time.time() + seconds)
    return easel.lifecycle.find("demo", job.id)


def objects(prefix: str) -> list[str]:
    found = boto3.client("s3").list_objects_v2(Bucket="easel", Prefix=prefix)
    return [one["Key"] for one in found.get("Contents", ())]


def judged(deployed: Deployed) -> list[str]:
    """Return what was judged, in its order."""
    return [one["prompt"] for one in deployed.standin.calls(path="moderations")]


def fails(deployed: Deployed, containing: str = "", times: int | None = None) -> None:
    """Let moderation fail; ``[image]`` is what images are called."""
    deployed.standin.rule(path="moderations", containing=containing, status=503, times=times)


def due(deployed: Deployed, job: Job, age: int = 0) -> None:
    """Let the job be due, and so many seconds old."""
    now = int(time.time())
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{job.id}"}},
        UpdateExpression="SET due_at = :now, created_at = :at",
        ExpressionAttributeValues={":now": {"N": str(now)}, ":at": {"N": str(now - age)}},
    )


POLICIES = ("off", "prompt", BOTH)


@pytest.mark.parametrize("before", POLICIES)
@pytest.mark.parametrize("after", POLICIES)
def test_a_new_call_has_nothing_that_was_judged_less(
    deployed: Deployed, context: Context, before: str, after: str
) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0", MODERATION_POLICY=before)
    call(deployed, context, {"prompt": "a cat"})
    work(deployed, context)
    deployed.set(MODERATION_POLICY=after)
    again = call(deployed, context, {"prompt": "a cat"}, **{"cache-control": "max-age=600"})
    retried = call(deployed, context, {"prompt": "a cat"}, **{"x-stainless-retry-count": "1"})
    assert again["statusCode"] == (200 if POLICIES.index(after) <= POLICIES.index(before) else 303)
    assert retried["statusCode"] == 200, "it is the first call's own"
    assert len(deployed.standin.calls()) == 1


def test_what_was_judged_too_long_is_not_bought_in_vain(deployed: Deployed, easel: Easel) -> None:
    job, late = opened(easel), [0]

    class Slowly:
        """Upstream, but for how long its judgement takes."""

        def moderate(self, *_: object, **__: object) -> None:
            late[0] = 800

    worker = replace(
        easel.lifecycle.worker,
        upstream=lambda: cast("Upstream", Slowly()),
        clock=lambda: time.time() + late[0],
    )
    left = worker.run("demo", job.id, time.time() + 900)
    assert left
    assert (left.status, left.attempts, left.moderated) == ("queued", (), True)
    assert deployed.standin.calls() == []


# ---- Before the call ----


def test_a_prompt_is_judged_once_before_it_is_bought(deployed: Deployed, easel: Easel) -> None:
    limit = {"status": 429, "code": "slow_down", "headers": {"retry-after-ms": "1"}}
    deployed.standin.rule(containing="a cat", times=2, **limit)
    done = run(easel, opened(easel))
    assert (done.status, done.refusals, done.moderated) == ("succeeded", 2, True)
    [first, *paid] = deployed.standin.calls(path="")
    assert (first["path"], first["prompt"], first["billed"]) == ("moderations", "a cat", False)
    assert [one["path"] for one in paid] == ["images/generations"] * 3


def test_what_is_blocked_costs_nothing_and_says_why(deployed: Deployed, easel: Easel) -> None:
    failed = run(easel, opened(easel, "a forbidden-violence cat"))
    assert failed.error
    assert (failed.error["code"], failed.attempts, failed.charge) == ("moderation_blocked", (), 0)
    assert failed.error["moderation_details"]["categories"] == ["violence"]
    assert deployed.standin.calls() == []
    assert balanced(deployed) == {"charges": 0, "held": 0}


@pytest.mark.parametrize("inline", [False, True])
def test_a_blocked_prompt_over_https(deployed: Deployed, context: Context, inline: bool) -> None:
    deployed.tenant()
    deployed.set(**({"WORK_QUEUE_URL": ""} if inline else {"WAIT_SECONDS": "0"}))
    ask = {"prompt": "a forbidden-sexual cat"}, {"Idempotency-Key": "k"}
    answer = call(deployed, context, ask[0], **ask[1])
    if not inline:
        work(deployed, context)
        answer = call(deployed, context, ask[0], **ask[1])
    assert answer["statusCode"] == 400
    assert answer["headers"]["x-should-retry"] == "false"
    error = json.loads(answer["body"])["error"]
    assert (error["code"], error["type"]) == ("moderation_blocked", "image_generation_user_error")
    assert error["moderation_details"] == {"moderation_stage": "input", "categories": ["sexual"]}
    assert deployed.standin.calls() == []


def magenta() -> bytes:
    """Return a picture in the colour that the stand-in takes for violence."""
    stream = BytesIO()
    Picture.new("RGB", (64, 64), (255, 0, 255)).save(stream, "PNG")
    return stream.getvalue()


def test_an_input_image_is_judged_after_the_prompt(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="")
    plain = ("image[]", picture()), ("image[]", magenta()), ("prompt", "a hat")
    answer = post(deployed, context, "edit", *plain)
    error = json.loads(answer["body"])["error"]
    assert (error["code"], error["param"]) == ("moderation_blocked", "image")
    assert judged(deployed) == ["a hat", "[image]", "[image]"]
    assert deployed.standin.calls() == []


def test_an_input_whose_alpha_openai_fails_at_is_judged(
    deployed: Deployed, context: Context
) -> None:
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="", MODERATION_FAILURE="closed")
    grey = ("image", picture(mode="LA")), ("prompt", "a hat")
    assert post(deployed, context, "edit", *grey)["statusCode"] == 200


def test_the_inbox_is_answered_with_the_block(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    event = drop(deployed, "inbox/demo/a cat.png", magenta(), prompt="a hat")
    deployed.handler("edit")(event, context)
    work(deployed, context)
    document = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    assert document["error"]["code"] == "moderation_blocked"
    assert document["error"]["moderation_details"]["moderation_stage"] == "input"
    assert objects("outbox/") == ["outbox/demo/a cat.png.json"]


@pytest.mark.parametrize(
    ("deployments", "tenants", "asked"),
    [("off", None, 0), ("prompt", None, 1), ("prompt", "off", 0), ("off", "prompt", 1)],
)
def test_the_tenants_word_replaces_the_deployments(
    deployed: Deployed, deployments: str, tenants: Any, asked: int
) -> None:
    deployed.set(MODERATION_POLICY=deployments)
    easel = built()
    job = opened(easel, tenant=Tenant(name="demo", moderation=tenants))
    assert run(easel, job).status == "succeeded"
    assert judged(deployed) == ["a cat"] * asked


def test_openais_own_parameter_and_block_pass(deployed: Deployed, easel: Easel) -> None:
    said = {"code": "moderation_blocked", "type": "image_generation_user_error"}
    deployed.standin.rule(containing="a cat", status=400, message="because", **said)
    failed = run(easel, opened(easel, moderation="low"))
    [sent] = deployed.standin.calls()
    assert sent["parameters"]["moderation"] == "low"
    assert failed.error
    assert (failed.error["message"], failed.error["code"]) == ("because", "moderation_blocked")


def test_a_quote_and_a_repeat_ask_nobody(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="")
    key = {"Idempotency-Key": "k"}
    call(deployed, context, {"prompt": "x", "quote": True}, **key)
    assert judged(deployed) == []
    for _ in range(2):
        assert call(deployed, context, {"prompt": "x"}, **key)["statusCode"] == 200
    assert judged(deployed) == ["x"]


# ---- Moderation that does not answer ----

MISBEHAVIOUR: dict[str, tuple[dict[str, Any], int]] = {
    "a limit": ({"status": 429, "headers": {"retry-after-ms": "1"}}, 3),
    "a long limit": ({"status": 429, "headers": {"retry-after": "60"}}, 1),
    "overload": ({"status": 503, "code": "server_is_overloaded"}, 3),
    "a cut line": ({"drop": "before"}, 3),
    "half an answer": ({"drop": "after"}, 3),
    "no such route": ({"status": 404}, 1),
}


@pytest.mark.parametrize("failure", ["open", "closed"])
@pytest.mark.parametrize(("rule", "tries"), MISBEHAVIOUR.values(), ids=list(MISBEHAVIOUR))
def test_a_prompt_that_nobody_judges(
    deployed: Deployed, failure: str, rule: dict[str, Any], tries: int
) -> None:
    deployed.set(MODERATION_FAILURE=failure)
    deployed.standin.rule(path="moderations", **rule)
    easel = built()
    done = run(easel, opened(easel))
    assert len(judged(deployed)) == tries
    if failure == "open":
        assert (done.status, done.moderated) == ("succeeded", False)
        return
    assert done.error
    code = (done.error["status"], done.error["code"], done.error["retry"])
    assert code == (503, "moderation_unavailable", True)
    assert deployed.standin.calls() == []
    assert balanced(deployed) == {"charges": 0, "held": 0}
    assert done.worth_repeating()


# ---- After the call ----


def died(easel: Easel, job: Job) -> None:
    """Let the worker that bought the job's images have died before it could say so."""
    ledger = easel.lifecycle.ledger
    leased = ledger.lease("demo", job.id, "dead", int(time.time()) + 61)
    assert leased
    calling = leased.attempts[0].model_copy(update={"state": "calling", "charge": None})
    ledger.update(leased.end(calling), "dead")


@pytest.fixture
def judging(deployed: Deployed) -> Easel:
    """A deployment that judges outputs, and lets none out unjudged."""
    deployed.tenant()
    deployed.set(MODERATION_POLICY=BOTH, MODERATION_FAILURE="closed")
    return built()


def test_an_output_that_passes_is_where_it_belongs(deployed: Deployed, judging: Easel) -> None:
    done = run(judging, opened(judging, n=2))
    assert done.answer
    assert [image.key for image in done.answer.images] == [
        f"images/demo/{done.id}/1/{index}.png" for index in range(2)
    ]
    assert len(objects(f"images/demo/{done.id}/")) == 3
    assert objects("quarantine/") == []
    assert judged(deployed) == ["a cat", "[image]", "[image]"]
    order = [one["path"] for one in deployed.standin.calls(path="")]
    assert order == ["moderations", "images/generations", "moderations", "moderations"]


def test_a_blocked_output_is_charged_and_nowhere_to_be_read(
    deployed: Deployed, judging: Easel, context: Context
) -> None:
    job = opened(judging, "a magenta cat", size="1024x1024")
    done = run(judging, job)
    assert done.error
    assert (done.status, done.error["code"]) == ("failed", "moderation_blocked")
    assert done.error["moderation_details"]["moderation_stage"] == "output"
    assert 0 < done.charge < job.hold
    assert done.attempts[-1].state == "answered"
    assert balanced(deployed) == {"charges": done.charge, "held": 0}
    assert objects("quarantine/") == [f"quarantine/demo/{job.id}/1/0.png"]
    assert objects(f"images/demo/{job.id}/") == [f"images/demo/{job.id}/1/answer.json"]
    shown = json.loads(follow(deployed, context, f"/v1/jobs/{job.id}")["body"])
    assert (shown["data"], shown["cost_usd"]) == ([], done.charge / 1_000_000)
    assert shown["error"]["moderation_details"]["categories"] == ["violence"]
    result = follow(deployed, context, f"/v1/jobs/{job.id}/result")
    assert (result["statusCode"], result["headers"]["x-should-retry"]) == (400, "false")
    assert result["headers"].keys().isdisjoint({"location", "Location"})
    fields = {"prompt": "a hat", "images": [{"file_id": f"{job.id}/0"}]}
    edited = handed_in(deployed, context, fields)
    assert edited["statusCode"] == 400
    assert f"{job.id} has 0 images" in edited["body"]


def handed_in(deployed: Deployed, context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    """Ask for an edit in JSON."""
    event = deployed.event("edit", "https", body=json.dumps(fields), isBase64Encoded=False)
    event["headers"]["Content-Type"] = "application/json"
    event["requestContext"]["requestTimeEpoch"] = int(deployed.now * 1000)
    answer: dict[str, Any] = deployed.handler("edit")(event, context)
    return answer


def test_a_caller_of_the_same_is_not_handed_a_blocked_output(
    deployed: Deployed, judging: Easel
) -> None:
    first = run(judging, opened(judging, "a magenta cat"))
    second = opened(judging, "a magenta cat")
    assert second.id != first.id
    assert first.error
    assert not first.worth_repeating()


def test_the_outbox_tells_of_a_blocked_output_and_has_none(
    deployed: Deployed, judging: Easel, context: Context
) -> None:
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt="all magenta")
    deployed.handler("edit")(event, context)
    work(deployed, context)
    document = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    assert (document["images"], document["error"]["code"]) == ([], "moderation_blocked")
    assert document["cost_usd"] > 0
    assert objects("outbox/") == ["outbox/demo/a cat.png.json"]


def test_of_several_outputs_one_blocked_holds_all_back(deployed: Deployed, judging: Easel) -> None:
    deployed.standin.rule(path="moderations", containing="[image]", drop="before", times=1)
    job = opened(judging, "a magenta cat", n=3)
    assert run(judging, job).status == "failed"
    assert len(objects(f"quarantine/demo/{job.id}/")) == 3
    assert judged(deployed) == ["a magenta cat", "[image]", "[image]"]


def test_an_output_that_nobody_judges_goes_out_where_that_is_the_rule(
    deployed: Deployed, judging: Easel
) -> None:
    deployed.set(MODERATION_FAILURE="open")
    fails(deployed, "[image]")
    easel = built()
    job = opened(easel, "a magenta cat")
    assert run(easel, job).status == "succeeded"
    assert objects("quarantine/") == []
    assert objects(f"images/demo/{job.id}/1/0.png")


def test_an_output_that_nobody_judges_is_judged_later(deployed: Deployed, judging: Easel) -> None:
    fails(deployed, "[image]", times=3)
    job = opened(judging, size="1024x1024")
    waiting = run(judging, job)
    assert (waiting.status, waiting.lease, waiting.charge) == ("queued", None, 0)
    assert waiting.unjudged
    assert waiting.due_at >= time.time() + 50
    assert balanced(deployed) == {"charges": 0, "held": job.hold}
    assert objects(f"images/demo/{job.id}/1/0.png") == []
    due(deployed, job)
    done = run(judging, job)
    assert done.status == "succeeded"
    assert done.charge == waiting.attempts[0].charge
    assert objects(f"images/demo/{job.id}/1/0.png")
    assert objects("quarantine/") == []
    assert len(deployed.standin.calls()) == 1
    assert balanced(deployed) == {"charges": done.charge, "held": 0}


def test_what_is_judged_later_may_be_blocked(deployed: Deployed, judging: Easel) -> None:
    fails(deployed, "[image]", times=3)
    job = opened(judging, "a magenta cat")
    assert run(judging, job).unjudged
    due(deployed, job)
    failed = run(judging, job)
    assert failed.error
    assert failed.error["code"] == "moderation_blocked"
    assert failed.charge > 0
    assert balanced(deployed) == {"charges": failed.charge, "held": 0}


def test_a_job_that_waits_to_be_judged_can_be_cancelled_and_is_charged(
    deployed: Deployed, judging: Easel
) -> None:
    fails(deployed, "[image]")
    job = opened(judging)
    waiting = run(judging, job)
    gone = judging.lifecycle.cancel("demo", job.id)
    assert gone.charge == waiting.attempts[0].charge
    assert balanced(deployed) == {"charges": gone.charge, "held": 0}


@pytest.mark.parametrize("by", ["worker", "sweep"])
@pytest.mark.parametrize("left", ["answered", "calling"])
def test_what_is_too_old_to_be_judged_is_charged_truly(
    deployed: Deployed, judging: Easel, by: str, left: str
) -> None:
    """As it was given back, or by a worker that died before it could even say so."""
    fails(deployed, "[image]")
    job = opened(judging, size="1024x1024")
    waiting = run(judging, job)
    if left == "calling":
        died(judging, job)
    due(deployed, job, age=3700)
    before = judged(deployed)
    if by == "sweep":
        deployed.handler("sweep")({}, Context())
    else:
        run(judging, job)
    failed = judging.lifecycle.find("demo", job.id)
    assert failed.error
    assert (failed.error["code"], failed.error["status"]) == ("moderation_unavailable", 503)
    assert failed.charge == waiting.attempts[0].charge
    assert balanced(deployed) == {"charges": failed.charge, "held": 0}
    assert judged(deployed) == before
    assert not failed.worth_repeating()
    assert len(deployed.standin.calls()) == 1
    with pytest.raises(EaselError, match="It is charged, and not delivered") as told:
        failed.raise_error()
    assert told.value.retry is False


def test_what_a_dead_worker_bought_is_judged_and_not_bought_again(
    deployed: Deployed, judging: Easel
) -> None:
    first = run(judging, opened(judging, "a magenta cat"))
    assert first.status == "failed"
    for status, prompt in ("failed", "a magenta cat"), ("succeeded", "a cat"):
        fails(deployed, "[image]", times=3)
        job = opened(judging, prompt)
        run(judging, job)
        died(judging, job)
        due(deployed, job)
        assert run(judging, job).status == status
    assert len(deployed.standin.calls()) == 3
    balanced(deployed)


def test_answers_that_are_gone_are_not_bought_again(deployed: Deployed, judging: Easel) -> None:
    fails(deployed, "[image]")
    job = opened(judging)
    waiting = run(judging, job)
    boto3.client("s3").delete_object(Bucket="easel", Key=f"{waiting.prefix}answer.json")
    due(deployed, job)
    failed = run(judging, job)
    assert failed.error
    assert failed.error["code"] == "moderation_unavailable"
    assert failed.charge == waiting.attempts[0].charge
    assert len(deployed.standin.calls()) == 1


def test_whose_images_another_worker_has_released_changes_nothing(
    deployed: Deployed, judging: Easel
) -> None:
    fails(deployed, "[image]", times=3)
    job = opened(judging)
    run(judging, job)
    boto3.client("s3").delete_object(Bucket="easel", Key=f"quarantine/demo/{job.id}/1/0.png")
    due(deployed, job)
    assert judging.lifecycle.worker.run("demo", job.id, time.time() + 900) is None
    assert judging.lifecycle.find("demo", job.id).open


def test_a_direct_invocation_comes_back_for_what_was_not_judged(
    deployed: Deployed, judging: Easel
) -> None:
    fails(deployed, "[image]")
    now = time.time()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    easel = bootstrap.build(clock=lambda: now, sleep=sleep)

    def invoked(seconds: float) -> dict[str, Any]:
        event = {"prompt": "a cat", "tenant": "demo", "idempotency_key": "k"}
        return direct.answer(easel, "generate", event, "id", now + seconds)

    with pytest.raises(Exception, match="invoke again with the same idempotency_key"):
        invoked(100)
    deployed.standin.clear_rules()
    assert invoked(100)["data"]
    assert len(deployed.standin.calls()) == 1
    balanced(deployed)


# ---- What is said of it ----


@pytest.fixture
def log() -> Iterator[StringIO]:
    handler = telemetry.logger.registered_handler
    stream = StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


def test_nothing_of_what_was_judged_is_logged(
    deployed: Deployed, judging: Easel, log: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(deployed, "[image]", times=3)
    for prompt in ("a forbidden-violence fox", "a magenta fox", "a magenta fox"):
        run(judging, opened(judging, prompt))
    said = log.getvalue() + capsys.readouterr().out
    assert "moderation_blocked" in said
    assert "moderation failed" in said
    for secret in ("fox", "magenta", "violence", "data:image"):
        assert secret not in said
