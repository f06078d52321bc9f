"""The cache: what it answers, what it leaves inline, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.cache import CacheControl
from easel.doors.calls import quoted
from easel.identity import Identity
from easel.jobs import Job
from easel.requests import Asked, Delivery
from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed, fail
from tests.functions.test_https import follow, work
from tests.functions.test_identity import made
from tests.functions.test_jobs import meanwhile
from tests.functions.test_worker import balanced, opened
from tests.unit.examples import DEMO

MAX_AGE = {"cache-control": "max-age=3600"}
CACHED = Identity(retries=0, cache=CacheControl(max_age=3600))
Answer = tuple[dict[str, Any], dict[str, str]]


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build()


def call(
    deployed: Deployed, headers: dict[str, str] | None = None, /, **fields: Any
) -> dict[str, Any]:
    """Call for a picture; ``tenant`` says what its tenant may."""
    tenant = {"name": "demo", **fields.pop("tenant", {})}
    asked = {"prompt": "a cat", "quality": "low", "response_format": "url"} | fields
    event = deployed.event("generate", "https", body=json.dumps(asked))
    event["headers"] |= {"x-stainless-retry-count": "0", **(headers or {})}
    event["requestContext"]["requestTimeEpoch"] = int(deployed.now * 1000)
    event["requestContext"]["authorizer"] = {"tenant": json.dumps(tenant)}
    answer: dict[str, Any] = deployed.handler("generate")(event, Context())
    return answer


def made_by(deployed: Deployed, headers: dict[str, str] | None = None, /, **fields: Any) -> Answer:
    """Call for a picture; return body and headers of the answer, which it must be."""
    answer = call(deployed, headers, **fields)
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"]), answer["headers"]


def hits(deployed: Deployed) -> int:
    rows = deployed.rows("LEDGER_TABLE")
    return sum(int(row.get("hits", 0)) for sk, row in rows.items() if sk.startswith("count#"))


def aged(deployed: Deployed, job: str, seconds: int) -> None:
    """Let the job have been opened and done so much longer ago."""
    then = int(deployed.now) - seconds
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["JOBS_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{job}"}},
        UpdateExpression="SET finished_at = :at, created_at = :at",
        ExpressionAttributeValues={":at": {"N": str(then)}},
    )


# ---- What is answered ----


def test_it_is_off(inline: Deployed) -> None:
    first, _ = made_by(inline)
    second, headers = made_by(inline)
    assert first["id"] != second["id"]
    assert (first["cached"], second["cached"], "age" in headers) == (False, False, False)
    assert hits(inline) == 0


def test_a_hit_is_the_same_picture_for_nothing(inline: Deployed) -> None:
    first, fresh = made_by(inline, MAX_AGE)
    before = inline.rows("LEDGER_TABLE")
    aged(inline, first["id"], 2_000)
    second, headers = made_by(inline, MAX_AGE)
    assert (first["cached"], second["cached"]) == (False, True)
    assert (second["id"], second["cost_usd"]) == (first["id"], 0)
    assert first["cost_usd"] > 0
    assert "age" not in fresh
    assert 2_000 <= int(headers["age"]) < 2_100
    assert headers["cache-control"] == "no-store"
    assert len(inline.standin.calls()) == 1
    assert hits(inline) == 1
    after = inline.rows("LEDGER_TABLE")
    assert [row for row in after.values() if "hits" not in row] == [
        row for sk, row in before.items() if not sk.startswith("count#")
    ]


@pytest.mark.parametrize(
    ("deployment", "tenant", "header", "hit"),
    [
        ("3600", None, None, True),
        ("0", 3600, None, True),
        ("3600", 0, None, False),
        ("0", None, "max-age=3600", True),
        ("0", None, "max-age=100", False),
        ("3600", 3600, "max-age=100", False),
        ("100", 100, "max-age=3600", True),
        ("3600", 3600, "no-cache", False),
        ("3600", 3600, "no-store", False),
    ],
)
def test_who_says_how_old_it_may_be(
    inline: Deployed, deployment: str, tenant: int | None, header: str | None, hit: bool
) -> None:
    inline.set(CACHE_TTL_SECONDS=deployment)
    first, _ = made_by(inline)
    aged(inline, first["id"], 1_000)
    headers = {"cache-control": header} if header else {}
    settings = {} if tenant is None else {"cache_ttl": tenant}
    second, _ = made_by(inline, headers, tenant=settings)
    assert (second["id"] == first["id"], second["cached"]) == (hit, hit)
    assert hits(inline) == hit


def test_an_answer_does_not_outlive_its_images(inline: Deployed) -> None:
    inline.set(RETENTION_DAYS="1")
    first, _ = made_by(inline)
    week = {"cache-control": "max-age=604800"}
    aged(inline, first["id"], 86_400 - 60)
    assert made_by(inline, week)[0]["cached"]
    aged(inline, first["id"], 86_400 + 60)
    assert not made_by(inline, week)[0]["cached"]


def test_what_is_not_to_be_stored_answers_nobody(inline: Deployed) -> None:
    first, _ = made_by(inline, {"cache-control": "no-store"})
    second, _ = made_by(inline, MAX_AGE)
    third, _ = made_by(inline, MAX_AGE)
    assert first["id"] != second["id"] == third["id"]


def test_a_key_stands_outside_both_ways(inline: Deployed) -> None:
    keyed = {"idempotency-key": "k"}
    first, _ = made_by(inline, {**MAX_AGE, **keyed})
    second, _ = made_by(inline, MAX_AGE)
    third, _ = made_by(inline, {**MAX_AGE, "idempotency-key": "l"})
    assert len({first["id"], second["id"], third["id"]}) == 3
    again, _ = made_by(inline, {**MAX_AGE, **keyed})
    assert (again["id"], again["cached"], again["cost_usd"]) == (
        first["id"],
        False,
        first["cost_usd"],
    )


def test_a_direct_invocation_has_a_key_and_no_cache(inline: Deployed) -> None:
    inline.set(CACHE_TTL_SECONDS="3600")
    handler = inline.handler("generate")
    event = inline.event("generate", "direct")
    ids = {handler(dict(event), Context())["id"] for _ in range(2)}
    assert len(ids) == 2


def test_another_tenant_never_hits(inline: Deployed) -> None:
    first, _ = made_by(inline, MAX_AGE)
    other, _ = made_by(inline, MAX_AGE, tenant={"name": "other"})
    assert other["id"] != first["id"]
    assert not other["cached"]


@pytest.mark.parametrize("changed", [{"prompt": "a dog"}, {"quality": "high"}, {"n": 2}])
def test_another_request_never_hits(inline: Deployed, changed: dict[str, Any]) -> None:
    made_by(inline, MAX_AGE)
    assert not made_by(inline, MAX_AGE, **changed)[0]["cached"]


def test_a_failed_job_answers_nobody(inline: Deployed) -> None:
    inline.standin.rule(containing="a cat", drop="during")
    assert call(inline, MAX_AGE)["statusCode"] == 502
    inline.standin.reset()
    assert not made_by(inline, MAX_AGE)[0]["cached"]


def test_a_hit_needs_no_budget_and_no_rate_but_a_model_that_is_allowed(inline: Deployed) -> None:
    first, _ = made_by(inline, MAX_AGE)
    poor = {"month_budget": 0, "images_per_minute": 1}
    for _ in range(3):
        assert made_by(inline, MAX_AGE, tenant=poor)[0]["id"] == first["id"]
    assert call(inline, tenant=poor)["statusCode"] == 429
    refused = call(inline, MAX_AGE, tenant={"models": ["gpt-image-2"]})
    assert refused["statusCode"] == 403


def test_a_lost_answer_of_a_hit_is_a_hit_again(inline: Deployed) -> None:
    """Its retry, beyond the window of rule 2, buys nothing."""
    first, _ = made_by(inline, MAX_AGE)
    aged(inline, first["id"], 2_000)
    again, _ = made_by(inline, {**MAX_AGE, "x-stainless-retry-count": "1"})
    assert (again["id"], again["cached"]) == (first["id"], True)
    assert len(inline.standin.calls()) == 1


def test_pictures_that_are_gone_are_made_anew(inline: Deployed) -> None:
    first, _ = made_by(inline, MAX_AGE)
    job = json.loads(inline.rows("JOBS_TABLE")[f"job#{first['id']}"]["answer"])
    boto3.client("s3").delete_object(Bucket="easel", Key=job["images"][0]["key"])
    second, _ = made_by(inline, MAX_AGE)
    assert (second["id"] == first["id"], second["cached"]) == (False, False)
    assert made_by(inline, MAX_AGE)[0]["id"] == second["id"]
    assert hits(inline) == 1


# ---- How it is answered ----


def test_a_stream_says_so_too(inline: Deployed) -> None:
    first, _ = made_by(inline, MAX_AGE)
    streamed = call(inline, MAX_AGE, stream=True)
    assert streamed["headers"]["content-type"] == "text/event-stream"
    assert "age" in streamed["headers"]
    event = json.loads(streamed["body"].partition("data: ")[2])
    assert (event["id"], event["cached"], event["cost_usd"]) == (first["id"], True, 0)


def test_who_pays_and_who_does_not_are_told_apart_in_the_bucket_too(inline: Deployed) -> None:
    inline.standin.rule(containing="a cat", image_bytes=4_600_000)
    places = []
    for _ in range(2):
        answer = call(inline, MAX_AGE, response_format="b64_json")
        assert answer["statusCode"] == 303
        places.append(answer["headers"]["location"].partition("?")[0])
    payer, other = (json.loads(inline.object(one.partition(".com/")[2])) for one in places)
    assert payer["id"] == other["id"]
    assert (payer["cached"], other["cached"]) == (False, True)
    assert (payer["cost_usd"] > 0, other["cost_usd"]) == (True, 0)


def test_a_job_at_work_is_joined_through_all_its_hops(deployed: Deployed) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    payer, joiner = call(deployed), call(deployed, MAX_AGE)
    ids = [json.loads(one["body"])["id"] for one in (payer, joiner)]
    assert ids[0] == ids[1]
    cancelled = deployed.event("jobs", "https", httpMethod="DELETE", resource="/jobs/{id}")
    cancelled["pathParameters"] = {"id": ids[0]}
    assert deployed.handler("jobs")(cancelled, Context())["statusCode"] == 409
    onward = follow(deployed, Context(), joiner["headers"]["location"])
    assert "cached=true" in onward["headers"]["location"]
    work(deployed, Context())
    paid = follow(deployed, Context(), payer["headers"]["location"])
    free = follow(deployed, Context(), onward["headers"]["location"])
    told = [json.loads(one["body"]) for one in (paid, free)]
    assert [one["cached"] for one in told] == [False, True]
    assert told[0]["cost_usd"] > told[1]["cost_usd"] == 0
    assert ["age" in one["headers"] for one in (paid, free)] == [False, True]
    assert (len(deployed.standin.calls()), hits(deployed)) == (1, 1)


def test_who_takes_the_jobs_id_is_told_where_it_costs_nothing(inline: Deployed) -> None:
    deployed = inline
    deployed.set(WORK_QUEUE_URL=deployed.environ["WORK_QUEUE_URL"])
    call(deployed, {"prefer": "respond-async"})
    work(deployed, Context())
    accepted = call(deployed, {**MAX_AGE, "prefer": "respond-async"})
    assert accepted["statusCode"] == 202
    told = follow(deployed, Context(), accepted["headers"]["location"])
    assert (json.loads(told["body"])["cached"], hits(deployed)) == (True, 1)


def test_a_quote_says_what_would_happen_and_counts_nothing(
    easel: Easel, deployed: Deployed
) -> None:
    job = made(easel, opened(easel))
    easel.lifecycle.deliver(job)
    asked = Asked(job.request, {}, Delivery())
    plain, cached = (quoted(easel, DEMO, asked, one) for one in (Identity(retries=0), CACHED))
    assert (plain["would"], plain["cached"], plain["cost_usd"] > 0) == ("buy", False, True)
    assert (cached["would"], cached["cached"], cached["cost_usd"]) == ("repeat", True, 0)
    assert cached["job"] == job.id
    assert hits(deployed) == 0


# ---- What it takes ----


def hit(easel: Easel, job: Job) -> str:
    """Ask for the job's request again; return the job that answers."""
    met = easel.lifecycle.open(DEMO, job.request, {}, CACHED)
    assert met.by == "cached"
    return met.job.id


def test_a_hit_asks_the_bucket_once_and_writes_once(easel: Easel) -> None:
    job = made(easel, opened(easel))
    calls: list[str] = []
    for client in easel.bucket.client, easel.lifecycle.ledger.client:
        client.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
    uploads = {"inputs/demo/never": b"an input that a hit need not store"}
    met = easel.lifecycle.open(DEMO, job.request, uploads, CACHED)
    assert met.by == "cached"
    assert calls == ["GetItem", "GetItem", "HeadObject", "UpdateItem"]


def test_a_hit_that_cannot_be_counted_is_one_all_the_same(
    easel: Easel, deployed: Deployed, caplog: pytest.LogCaptureFixture
) -> None:
    job = made(easel, opened(easel))
    fail(easel.lifecycle.ledger.client, "UpdateItem", "ThrottlingException")
    assert hit(easel, job) == job.id
    assert hits(deployed) == 0
    said = {record.message: vars(record) for record in caplog.records}
    assert said["cache hit"]["job"] == said["unexpected error"]["job"] == job.id
    assert job.request.prompt not in str(said)


def test_a_hit_is_counted_on_its_own_day(easel: Easel, deployed: Deployed) -> None:
    job = made(easel, opened(easel))
    lifecycle = replace(easel.lifecycle, clock=lambda: easel.clock() + 2 * 86_400)
    month = Identity(retries=0, cache=CacheControl(max_age=30 * 86_400))
    assert lifecycle.open(DEMO, job.request, {}, month).by == "cached"
    counted = {sk: row for sk, row in deployed.rows("LEDGER_TABLE").items() if "hits" in row}
    [(sk, row)] = counted.items()
    assert sk.split("#")[1] > job.day
    assert (row["hits"], "jobs" in row, "spent" in row) == (1, False, False)


def test_what_asks_for_it_lives_as_long_as_the_answer(easel: Easel, deployed: Deployed) -> None:
    job = made(easel, opened(easel))
    rows = deployed.rows("JOBS_TABLE")
    [pointer] = [row for sk, row in rows.items() if sk.startswith("same#")]
    assert pointer["expires_at"] > rows[f"job#{job.id}"]["expires_at"]


def test_many_that_cannot_answer_do_not_hide_the_one_that_can(
    easel: Easel, deployed: Deployed
) -> None:
    job = made(easel, opened(easel))
    easel.lifecycle.deliver(job)
    unheard = Identity(retries=0, cache=CacheControl(no_store=True))
    for _ in range(25):
        other = easel.lifecycle.open(DEMO, job.request, {}, unheard)
        assert other.by == "opened"
    assert hit(easel, job) == job.id


# ---- Side by side ----


def test_of_two_at_once_one_pays(easel: Easel, deployed: Deployed) -> None:
    request = opened(easel).request.model_copy(update={"prompt": "two at once"})
    other, met = bootstrap.build(), []
    meanwhile(
        easel,
        "TransactWriteItems",
        lambda: met.append(other.lifecycle.open(DEMO, request, {}, CACHED)),
    )
    met.append(easel.lifecycle.open(DEMO, request, {}, CACHED))
    assert [one.by for one in met] == ["opened", "cached"]
    assert met[0].job.id == met[1].job.id


@pytest.mark.parametrize(("identity", "jobs"), [(CACHED, 1), (Identity(retries=0), 4)])
def test_four_equal_calls_are_four_pictures_unless_the_cache_is_on(
    easel: Easel, identity: Identity, jobs: int
) -> None:
    request = opened(easel).request.model_copy(update={"prompt": "four"})
    met = [easel.lifecycle.open(DEMO, request, {}, identity).job.id for _ in range(4)]
    assert len(set(met)) == jobs


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_what_ends_without_images_meanwhile_is_not_joined(
    easel: Easel, deployed: Deployed, how: str
) -> None:
    job, other = opened(easel), bootstrap.build()

    def end() -> None:
        if how == "cancelled":
            other.lifecycle.cancel("demo", job.id)
        else:
            deployed.standin.rule(containing="a cat", drop="during")
            made(other, job)

    meanwhile(easel, "UpdateItem", end)
    met = easel.lifecycle.open(DEMO, job.request, {}, CACHED)
    assert (met.by, met.job.id == job.id) == ("opened", False)
    assert other.lifecycle.find("demo", job.id).status == how
    assert balanced(deployed)["held"] == met.job.hold


def test_what_is_done_meanwhile_answers(easel: Easel, deployed: Deployed) -> None:
    job, other = opened(easel), bootstrap.build()
    meanwhile(easel, "UpdateItem", lambda: made(other, job))
    assert hit(easel, job) == job.id
    assert len(deployed.standin.calls()) == 1


def test_a_tenant_is_whose_cache_it_is(easel: Easel) -> None:
    job = made(easel, opened(easel))
    easel.lifecycle.deliver(job)
    asked = Identity(retries=0)
    for ttl, by in ((None, "opened"), (0, "opened"), (60, "cached")):
        tenant = Tenant(name="demo", cache_ttl=ttl)
        found = easel.lifecycle.repeats.find(tenant, job.request, asked).met
        assert (found.by if found else "opened") == by
