"""What was spent, asked by a tenant and by the operator, beside the rows it is made of."""

import json
from collections import defaultdict

import openai
import pytest

from tests.stack.running import png, unique


def spent(rows, of):
    """Return what the charge rows come to, in USD, by one of their attributes."""
    sums = defaultdict(int)
    for row in rows:
        sums[row[of]] += int(row["amount"])
    return {key: amount / 1_000_000 for key, amount in sums.items()}


def test_usage_spend_and_the_charges_say_the_same(running):
    name, key = running.new_tenant(month_budget=1_000_000, tenant_class="gold")
    client = running.openai(api_key=key, max_retries=0)
    blocked, lost = unique("a fox that is blocked"), unique("a fox that is lost")
    running.standin.rule(containing=blocked, status=400, code="moderation_blocked")
    running.standin.rule(containing=lost, drop="during")
    client.images.generate(prompt=unique("a fox"), n=2, quality="low")
    client.images.generate(prompt=unique("a fox"), model="gpt-image-2", size="1024x1024")
    client.images.edit(image=png(), prompt=unique("a hat"), quality="low")
    with pytest.raises(openai.BadRequestError):
        client.images.generate(prompt=blocked)
    with pytest.raises(openai.InternalServerError):
        client.images.generate(prompt=lost, quality="low")

    charges = running.rows("LedgerTable", "charge#", name)
    assert sorted(row["estimated"] for row in charges) == [False, False, False, True]
    said, true = running.books(name)
    assert said == true
    committed, paid = int(true["committed"]), int(true["spent"])
    with running.http(key) as http:
        for group_by in ("day", "model", "operation"):
            first = min(row["day"] for row in charges)
            asked = {"from": first, "group_by": group_by}
            told = http.get("/usage", params=asked).raise_for_status().json()
            costs = {row["key"]: row["cost_usd"] for row in told["data"] if row["cost_usd"]}
            assert costs == spent(charges, group_by)
            words = ("spend", name, "--from", first, "--by", group_by)
            assert json.loads(running.easel(*words, "--json").stdout) == told
            drawn = running.easel(*words).stdout
            assert all(f"{cost:.6f} USD" in drawn for cost in costs.values())
            assert drawn.count("#") >= 24
        total = {"jobs": 5, "images": 4, "cache_hits": 0, "cost_usd": paid / 1_000_000}
        assert told["total"] == total
        assert told["month"]["budget_usd"] == 1
        assert told["month"]["left_usd"] == (1_000_000 - committed) / 1_000_000
        refused = http.get("/usage", params={"from": "yesterday"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "from")

    listed = json.loads(running.easel("jobs", "list", name, "--json").stdout)["jobs"]
    assert sorted((one["status"], one["error"]) for one in listed if one["error"]) == [
        ("failed", "moderation_blocked"),
        ("failed", "upstream_outcome_unknown"),
    ]
    assert sum(one["cost_usd"] for one in listed) == pytest.approx(told["total"]["cost_usd"])
    assert "fox" not in running.easel("jobs", "list", name).stdout
