"""GET /v1/usage: what was spent, told to whoever spent it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed
from tests.functions.test_worker import balanced, opened, run

BUDGETED = Tenant(name="demo", month_budget=25_000_000)


@pytest.fixture
def easel(deployed: Deployed) -> Easel:
    deployed.tenant()
    return bootstrap.build()


def usage(
    deployed: Deployed, tenant: Tenant = BUDGETED, **query: str
) -> tuple[int, dict[str, Any]]:
    event = deployed.event("jobs", "usage", queryStringParameters=query or None)
    event["requestContext"]["authorizer"]["tenant"] = tenant.model_dump_json()
    answer = deployed.handler("jobs")(event, Context())
    return answer["statusCode"], json.loads(answer["body"])


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def test_what_was_made_is_told_and_what_it_cost(deployed: Deployed, easel: Easel) -> None:
    deployed.standin.rule(containing="blocked", status=400, code="moderation_blocked")
    deployed.standin.rule(containing="lost", drop="during")
    made = [
        opened(easel, "a cat", n=2),
        opened(easel, "a dog", model="gpt-image-2", size="1024x1024"),
        opened(easel, "blocked"),
        opened(easel, "lost"),
    ]
    run(deployed)
    held = opened(easel, "still open")
    done = [easel.lifecycle.find("demo", job.id) for job in made]
    assert [one.status for one in done] == ["succeeded", "succeeded", "failed", "failed"]
    spent = sum(one.charge for one in done)
    assert balanced(deployed) == {"charges": spent, "held": held.hold}

    status, said = usage(deployed)
    assert status == 200
    assert said["total"] == {
        "jobs": 4,
        "images": 3,
        "cache_hits": 0,
        "cost_usd": spent / 1_000_000,
    }
    assert [row["key"] for row in said["data"]] == [today()]
    assert said["month"]["spent_usd"] == spent / 1_000_000
    assert said["month"]["held_usd"] == held.hold / 1_000_000
    left = (25_000_000 - spent - held.hold) / 1_000_000
    assert (said["month"]["left_usd"], said["day"]["left_usd"]) == (left, None)

    _, by_model = usage(deployed, group_by="model")
    costs = {row["key"]: row["cost_usd"] for row in by_model["data"]}
    assert costs["gpt-image-2"] == done[1].charge / 1_000_000
    assert costs["gpt-image-2.5-flare"] == (spent - done[1].charge) / 1_000_000


def test_hits_that_were_counted_are_told(deployed: Deployed, easel: Easel) -> None:
    boto3.client("dynamodb").update_item(
        TableName=deployed.environ["LEDGER_TABLE"],
        Key={"tenant": {"S": "demo"}, "sk": {"S": f"count#{today()}#gpt-image-2#generate"}},
        UpdateExpression="ADD hits :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    expected = {"jobs": 0, "images": 0, "cache_hits": 1, "cost_usd": 0}
    assert usage(deployed, group_by="model")[1]["data"] == [{"key": "gpt-image-2", **expected}]


def test_nobody_is_told_of_anothers_money(deployed: Deployed, easel: Easel) -> None:
    opened(easel)
    run(deployed)
    _, said = usage(deployed, Tenant(name="other"))
    assert (said["data"], said["total"]["cost_usd"]) == ([], 0)
    assert (said["month"]["spent_usd"], said["month"]["budget_usd"]) == (0, None)


@pytest.mark.parametrize(
    ("param", "value"), [("from", "yesterday"), ("to", "2026-02-30"), ("group_by", "tenant")]
)
def test_what_cannot_be_told_is_refused(
    deployed: Deployed, easel: Easel, param: str, value: str
) -> None:
    status, body = usage(deployed, **{param: value})
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "invalid_value", param)
