"""Odd answers of upstream, and what they may and may not cost."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from easel import bootstrap
from easel.bootstrap import Easel
from easel.jobs import Job
from tests.functions.conftest import Clock, Context, Deployed, fail
from tests.functions.test_edit import picture
from tests.functions.test_worker import abandoned, balanced, opened, overdue, run


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build(sleep=lambda _: None)


@contextmanager
def upstream(deployed: Deployed, status: int, body: bytes | dict[str, Any]) -> Iterator[list[str]]:
    """Let upstream be one that always answers so; yield the paths it was called by.

    Moderation lets everything pass.
    """
    paths: list[str] = []
    passed = {"results": [{"flagged": False, "categories": {}}]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            moderates = self.path.endswith("/moderations")
            said = passed if moderates else body
            if not moderates:
                paths.append(self.path)
            self.send_response(200 if moderates else status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        secret = {"api_key": "sk-1", "base_url": f"http://127.0.0.1:{server.server_port}/v1"}
        boto3.client("secretsmanager").put_secret_value(
            SecretId=deployed.environ["UPSTREAM_SECRET"], SecretString=json.dumps(secret)
        )
        yield paths
        server.shutdown()


def images(**more: Any) -> dict[str, Any]:
    """Return an ImagesResponse."""
    datum = {"b64_json": base64.b64encode(picture()).decode(), **more.pop("datum", {})}
    return {"created": 1, "data": [datum], **more}


def ended(deployed: Deployed, easel: Easel, job: Job) -> Job:
    """Return the job, which must be closed and in the books."""
    done = easel.lifecycle.find("demo", job.id)
    assert not done.open
    assert balanced(deployed) == {"charges": done.charge, "held": 0}
    return done


def test_a_secret_that_cannot_be_read_for_a_moment_leaves_a_usable_client(
    deployed: Deployed, easel: Easel
) -> None:
    secrets, name = boto3.client("secretsmanager"), deployed.environ["UPSTREAM_SECRET"]
    deployed.standin.rule(containing="refused", status=401, code="invalid_api_key")
    jobs = [opened(easel, prompt) for prompt in ("first", "refused", "third")]
    worker, until = easel.lifecycle.worker, time.time() + 900
    worker.run("demo", jobs[0].id, until)
    secrets.delete_secret(SecretId=name)
    worker.run("demo", jobs[1].id, until)
    secrets.restore_secret(SecretId=name)
    worker.run("demo", jobs[2].id, until)
    status = [easel.lifecycle.find("demo", job.id).status for job in jobs]
    assert status == ["succeeded", "failed", "succeeded"]


@pytest.mark.parametrize("value", ["inf", "nan", "-30"])
def test_a_wait_that_is_no_number_of_seconds_is_none(
    deployed: Deployed, easel: Easel, value: str
) -> None:
    deployed.standin.rule(status=429, code="slow_down", headers={"retry-after": value}, times=1)
    job = opened(easel)
    clock = Clock()
    bootstrap.build(clock=clock, sleep=clock.sleep).lifecycle.worker.run(
        "demo", job.id, time.time() + 900
    )
    assert ended(deployed, easel, job).status == "succeeded"
    assert 0 < clock.slept <= 2.2


def test_a_wait_beyond_the_jobs_age_is_told_at_once(deployed: Deployed, easel: Easel) -> None:
    headers = {"retry-after": "86400"}
    deployed.standin.rule(status=429, code="rate_limit_exceeded", headers=headers)
    job = opened(easel)
    run(deployed)
    error = ended(deployed, easel, job).error
    assert error
    assert (error["status"], error["code"]) == (429, "rate_limit_exceeded")
    assert error["retry_after"] == 86400
    assert len(deployed.standin.calls()) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"upstream connect error"),
        (503, {"error": {"message": "oops", "type": None, "code": None}}),
    ],
    ids=["text", "no code"],
)
def test_a_gateways_failure_may_have_been_billed(
    deployed: Deployed, easel: Easel, status: int, body: bytes | dict[str, Any]
) -> None:
    job = opened(easel)
    with upstream(deployed, status, body) as calls:
        easel.lifecycle.worker.run("demo", job.id, time.time() + 900)
    failed = ended(deployed, easel, job)
    assert failed.error
    assert failed.error["code"] == "upstream_outcome_unknown"
    assert failed.charge == job.hold
    assert len(calls) == 1


def test_an_answer_without_images_may_have_been_billed(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    with upstream(deployed, 200, {"created": 1, "data": []}) as calls:
        run(deployed)
    failed = ended(deployed, easel, job)
    assert failed.error
    assert failed.error["code"] == "upstream_outcome_unknown"
    assert failed.charge == job.hold
    assert len(calls) == 1


LONG = "m" * 420_000
HALF = "\ud83d"


@pytest.mark.parametrize(
    "said",
    [
        {"message": LONG},
        {"code": ["x"]},
        {"param": LONG},
        {"code": LONG, "type": LONG},
        {"message": HALF},
        {"param": HALF, "code": HALF, "type": HALF},
    ],
    ids=["long", "a list", "long param", "long code", "half a character", "half a param"],
)
def test_a_refusal_closes_free_of_charge_whatever_it_says(
    deployed: Deployed, easel: Easel, said: dict[str, Any]
) -> None:
    error = {"message": "no", "code": "invalid_value", "type": None, "param": None, **said}
    job = opened(easel)
    with upstream(deployed, 400, {"error": error}):
        easel.lifecycle.worker.run("demo", job.id, time.time() + 900)
    failed = ended(deployed, easel, job)
    assert failed.error
    assert (failed.error["status"], failed.charge) == (400, 0)
    assert len(json.dumps(failed.error)) < 5_000


@pytest.mark.parametrize(
    ("said", "kept"),
    [(LONG, LONG[:1000]), (f"a cat{HALF}", "a cat?")],
    ids=["long", "half a character"],
)
def test_a_revised_prompt_is_made_to_fit(
    deployed: Deployed, easel: Easel, said: str, kept: str
) -> None:
    job = opened(easel)
    with upstream(deployed, 200, images(datum={"revised_prompt": said})):
        run(deployed)
    done = ended(deployed, easel, job)
    assert done.answer
    assert done.answer.revised_prompts == (kept,)


TOTALS = {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448}
UNPRICED = {
    "none": None,
    "float totals": {**TOTALS, "output_tokens": 439.0},
    "float details": {**TOTALS, "input_tokens_details": {"text_tokens": 9.0}},
    "no totals": {"total_tokens": 448},
}


@pytest.mark.parametrize(
    "usage",
    [
        *UNPRICED.values(),
        {**TOTALS, "output_tokens": 10**40},
    ],
    ids=[*UNPRICED, "endless"],
)
def test_usage_that_has_no_price_is_charged_at_the_hold(
    deployed: Deployed, easel: Easel, usage: dict[str, Any] | None
) -> None:
    job = opened(easel)
    with upstream(deployed, 200, images(usage=usage)):
        run(deployed)
    done = ended(deployed, easel, job)
    assert (done.status, done.charge) == ("succeeded", job.hold)


def test_usage_without_details_is_priced_as_images(deployed: Deployed, easel: Easel) -> None:
    job = opened(easel)
    with upstream(deployed, 200, images(usage=TOTALS)):
        run(deployed)
    assert ended(deployed, easel, job).charge == 9 * 8 + 439 * 30


@pytest.mark.parametrize("drop", ["during", "after"])
def test_a_line_that_is_lost_is_counted_even_amid_the_answer(
    deployed: Deployed, easel: Easel, drop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.standin.rule(drop=drop)
    lost = opened(easel)
    run(deployed)
    ended = easel.lifecycle.find(lost.tenant, lost.id)
    assert (ended.status, ended.charge) == ("failed", ended.hold)
    said = capsys.readouterr().out
    assert '"UpstreamFailed":[1' in said
    assert "UpstreamLatency" not in said


# ---- After it was bought, nothing is bought again ----


def test_a_direct_call_has_its_picture_though_its_end_cannot_be_noted(deployed: Deployed) -> None:
    deployed.tenant()
    deployed.set(EVENT_BUS="default")
    handler = deployed.handler("generate")
    from functions.generate import app

    client = app.easel.inline.ledger.client
    fail(client, "UpdateItem", "ThrottlingException", when=lambda it: "untold" in str(it))
    assert handler(deployed.event("generate", "direct", tenant="demo"), Context())["data"]
    assert len(deployed.standin.calls()) == 1
    balanced(deployed)


def test_so_it_has_though_its_quarantine_cannot_be_emptied(deployed: Deployed) -> None:
    deployed.tenant()
    deployed.set(MODERATION_POLICY="prompt+output")
    handler = deployed.handler("generate")
    from functions.generate import app

    def broken(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="x")

    events = app.easel.bucket.client.meta.events
    events.register("before-call.s3.DeleteObjects", broken)
    assert handler(deployed.event("generate", "direct", tenant="demo"), Context())["data"]
    balanced(deployed)


def test_a_direct_call_that_bought_nothing_says_so(deployed: Deployed) -> None:
    deployed.tenant()
    handler = deployed.handler("generate")
    from functions.generate import app

    fail(app.easel.inline.ledger.client, "UpdateItem", "ValidationException")
    with pytest.raises(Exception, match="Something went wrong"):
        handler(deployed.event("generate", "direct", tenant="demo"), Context())
    assert deployed.standin.calls() == []


def test_what_may_be_billed_is_not_said_to_be_free(deployed: Deployed, easel: Easel) -> None:
    settings = replace(easel.settings, max_paid_attempts=2)
    worker = replace(easel.lifecycle.worker, settings=settings)
    job = abandoned(easel, opened(easel))
    overdue(deployed, job, created_at=int(time.time()) - 3700)
    worker.expire("demo", job.id)
    done = ended(deployed, easel, job)
    assert done.charge == job.hold
    assert done.error
    assert (done.error["code"], done.error["retry"]) == ("upstream_outcome_unknown", False)
    assert "may have been billed" in done.error["message"]


def test_what_was_ridden_out_leaves_the_failing_its_tries(deployed: Deployed, easel: Easel) -> None:
    rule = {"containing": "a cat", "headers": {"retry-after-ms": "1"}}
    deployed.standin.rule(status=429, code="rate_limit_exceeded", times=4, **rule)
    deployed.standin.rule(status=500, code="server_error", times=3, **rule)
    job = opened(easel)
    run(deployed)
    done = ended(deployed, easel, job)
    assert (done.status, done.refusals, done.failures) == ("succeeded", 7, 3)


def test_a_direct_call_is_told_what_was_paid_in_vain(deployed: Deployed) -> None:
    """Else it would ask again, and buy again."""
    deployed.tenant()
    deployed.set(EVENT_BUS="default")
    deployed.standin.rule(drop="during", times=1)
    handler = deployed.handler("generate")
    from functions.generate import app

    client = app.easel.inline.ledger.client
    fail(client, "UpdateItem", "ThrottlingException", when=lambda it: "untold" in str(it))
    with pytest.raises(Exception, match="may have been billed"):
        handler(deployed.event("generate", "direct", tenant="demo"), Context())
    balanced(deployed)


def test_no_further_attempt_is_no_free_one(deployed: Deployed, easel: Easel) -> None:
    worker = easel.lifecycle.worker
    worker = replace(worker, settings=replace(worker.settings, max_paid_attempts=2))
    deployed.standin.rule(containing="a cat", drop="during", times=1)
    deployed.standin.rule(containing="a cat", status=500, code="server_error")
    job = opened(easel)
    worker.run("demo", job.id, time.time() + 900)
    done = ended(deployed, easel, job)
    assert (done.status, done.charge) == ("failed", job.hold)
    assert done.error
    assert (done.error["code"], done.error["retry"]) == ("upstream_outcome_unknown", False)
