"""A tenant at the end of its rates: told when to come again, before anything is opened."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from easel.tenants import Tenant
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture


def call(
    deployed: Deployed, rates: dict[str, int], retries: str = "0", **body: Any
) -> dict[str, Any]:
    event = deployed.event("generate", "https")
    event["body"] = json.dumps({"prompt": "a fox", "quality": "low", **body})
    event["headers"] |= {"x-stainless-retry-count": retries}
    event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
    tenant = Tenant.model_validate({"name": "demo", **rates})
    event["requestContext"]["authorizer"] = {"tenant": tenant.model_dump_json()}
    answer: dict[str, Any] = deployed.handler("generate")(event, Context())
    return answer


def code(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])["error"]["code"]


def test_calls_beyond_the_rate_are_refused_and_leave_nothing(inline: Deployed) -> None:
    rates = {"requests_per_minute": 2}
    first, second, third = (call(inline, rates) for _ in range(3))
    assert [one["statusCode"] for one in (first, second, third)] == [200, 200, 429]
    assert code(third) == "rate_limit_exceeded"
    assert 20 < int(third["headers"]["retry-after"]) <= 30
    assert "x-should-retry" not in third["headers"]
    said = [one["headers"]["x-ratelimit-remaining-requests"] for one in (first, second, third)]
    assert said == ["1", "0", "0"]
    assert len(inline.standin.calls()) == 2


def test_images_beyond_the_rate_are_refused_before_anything_is_held(inline: Deployed) -> None:
    rates = {"images_per_minute": 3}
    assert call(inline, rates, n=2)["headers"]["x-ratelimit-remaining-images"] == "1"
    before = inline.rows("LEDGER_TABLE")
    refused = call(inline, rates, n=2)
    assert (refused["statusCode"], code(refused)) == (429, "rate_limit_exceeded")
    assert inline.rows("LEDGER_TABLE") == before
    assert call(inline, rates, n=1)["statusCode"] == 200
    never = call(inline, rates, n=4)
    assert (never["statusCode"], json.loads(never["body"])["error"]["param"]) == (400, "n")


def test_a_retry_takes_no_image(inline: Deployed) -> None:
    rates = {"images_per_minute": 1}
    first = call(inline, rates)
    again = call(inline, rates, retries="1")
    assert json.loads(again["body"])["id"] == json.loads(first["body"])["id"]
    assert not [name for name in again["headers"] if name.startswith("x-ratelimit")]


def test_a_call_without_rates_is_told_of_none(inline: Deployed) -> None:
    answer = call(inline, {})
    assert not [name for name in answer["headers"] if name.startswith("x-ratelimit")]
    assert not [key for key in inline.rows("JOBS_TABLE") if key.startswith("rate#")]


def test_a_direct_invocation_in_its_name_counts(inline: Deployed) -> None:
    from easel.aws import clients
    from easel.aws.tenants import Tenants

    tenants = Tenants(clients.dynamodb(), inline.environ["TENANTS_TABLE"])
    tenants.change("demo", {"requests_per_minute": 1})
    handler = inline.handler("generate")
    event = inline.event("generate", "direct", tenant="demo")
    assert handler(event, Context())["data"]
    with pytest.raises(Exception, match="1 requests a minute") as raised:
        handler(event, Context())
    assert type(raised.value).__name__ == "rate_limit_exceeded"


def test_the_inbox_waits_for_nobody_and_has_no_rate(inline: Deployed) -> None:
    from easel.aws import clients
    from easel.aws.tenants import Tenants

    tenants = Tenants(clients.dynamodb(), inline.environ["TENANTS_TABLE"])
    tenants.change("demo", {"requests_per_minute": 1, "images_per_minute": 1})
    for _ in "one version", "another":
        event = drop(inline, "inbox/demo/a cat.png", picture(), prompt="in red")
        assert inline.handler("edit")(event, Context()) == {"batchItemFailures": []}
    assert len(inline.standin.calls(containing="in red")) == 2
