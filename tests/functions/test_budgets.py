"""A tenant at the end of its budget: told so before anything is bought."""

from __future__ import annotations

import json
import time
from typing import Any

from easel import bootstrap
from easel.identity import Identity
from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed
from tests.functions.test_worker import balanced, opened


def call(deployed: Deployed, budget: int | None, **headers: str) -> dict[str, Any]:
    event = deployed.event("generate", "https")
    event["headers"] |= {name.replace("_", "-"): value for name, value in headers.items()}
    event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
    tenant = Tenant(name="demo", month_budget=budget)
    event["requestContext"]["authorizer"] = {"tenant": tenant.model_dump_json()}
    answer: dict[str, Any] = deployed.handler("generate")(event, Context())
    return answer


def test_a_call_beyond_the_budget_is_refused_and_leaves_nothing(inline: Deployed) -> None:
    refused = call(inline, 1)
    error = json.loads(refused["body"])["error"]
    assert (refused["statusCode"], error["code"]) == (429, "budget_exceeded")
    assert refused["headers"]["x-should-retry"] == "false"
    assert "0 spent, 0 held" in error["message"]
    assert inline.rows("JOBS_TABLE") == inline.rows("LEDGER_TABLE") == {}
    assert inline.standin.calls() == []


def test_a_repeat_of_what_is_paid_is_answered_with_the_budget_gone(inline: Deployed) -> None:
    first = call(inline, None, idempotency_key="k")
    again = call(inline, 1, idempotency_key="k")
    assert json.loads(again["body"])["id"] == json.loads(first["body"])["id"]
    assert call(inline, 1)["statusCode"] == 429


def test_a_further_attempt_beyond_the_budget_is_not_made(deployed: Deployed) -> None:
    deployed.tenant()
    deployed.set(MAX_PAID_ATTEMPTS="2")
    easel = bootstrap.build(sleep=lambda _: None)
    request = opened(easel).request
    hold = request.ceiling(easel.catalogue)
    deployed.standin.rule(drop="during")
    tenant = Tenant(name="demo", month_budget=3 * hold - 1)  # one job of another call is open
    job = easel.lifecycle.open(tenant, request, {}, Identity(idempotency_key="k")).job
    ended = easel.lifecycle.worker.run("demo", job.id, easel.clock() + 900)
    assert ended
    assert ended.error
    assert (ended.status, ended.error["code"]) == ("failed", "budget_exceeded")
    assert ended.charge == hold
    assert len(deployed.standin.calls()) == 1
    assert balanced(deployed) == {"charges": hold, "held": hold}
