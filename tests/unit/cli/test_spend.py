"""`easel spend` and `easel jobs list`, as they are typed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from cli.spend import _bar, _lines
from easel.aws import clients
from easel.aws.ledger import Ledger
from easel.aws.tenants import Tenants
from easel.errors import UpstreamRefused
from easel.identity import Seen
from easel.jobs import Job
from easel.tenants import Tenant
from easel.usage import UsageReport
from tests.unit.cli.conftest import Run
from tests.unit.examples import answer, request

Made = Callable[..., Job]


@pytest.fixture
def made(outputs: dict[str, str]) -> Made:
    """Make a closed job of a tenant, now."""
    tables = outputs["JobsTableName"], outputs["LedgerTableName"]
    ledger = Ledger(clients.dynamodb(), tables[0], 30, lambda _: None, tables[1])
    tenants = Tenants(clients.dynamodb(), outputs["TenantsTableName"])
    tenants.create(Tenant(name="demo", month_budget=25_000_000), time.time())

    def make(charge: int | None, tenant: str = "demo", **asked: Any) -> Job:
        opened = time.time() - 180
        now = int(opened) + 180
        job = Job.new(tenant, request(prompt="my secret cat", **asked), hold=60_000, now=opened)
        assert ledger.open(job, f"key#{job.id}", None, [Seen(job.id)])
        leased = ledger.lease(tenant, job.id, "me", now)
        assert leased
        if charge is None:
            refusal = UpstreamRefused("my secret", status=400, code="moderation_blocked")
            return ledger.close(leased.close("failed", now, error=refusal), "me")
        done = leased.begin(60_000)
        done = done.end(done.attempts[0].settle(charge))
        return ledger.close(done.close("succeeded", now, answer=answer()), "me")

    return make


def today() -> str:
    """Return the day that the jobs were opened on."""
    return datetime.fromtimestamp(time.time() - 180, UTC).strftime("%Y-%m-%d")


# ---- Spend ----


def test_what_was_spent_is_drawn(easel: Run, made: Made) -> None:
    for charge in (40_000, None, 0):
        made(charge)
    made(13_235, model="gpt-image-2", operation="edit")
    code, out, err = easel("spend", "demo", "--by", "model", "--from", today())
    assert (code, err) == (0, "")
    _, two, flare, total, month, day = out.splitlines()
    assert two.split()[:6] == ["gpt-image-2", "0.013235", "USD", "1", "jobs", "1"]
    assert flare.split()[:6] == ["gpt-image-2.5-flare", "0.040000", "USD", "3", "jobs", "2"]
    assert (two.count("#"), flare.count("#")) == (8, 24)
    assert total.split() == ["total", "0.053235", "USD", "4", "jobs", "3", "images"]
    assert "0.053235 USD spent, 0.000000 held, 24.946765 of 25.000000 left; resets at" in month
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    spent = "0.053235" if now == today() else "0.000000"  # just after midnight it was yesterday
    assert day == f"{now}: {spent} USD spent, 0.000000 held, no limit"
    assert max(map(len, out.splitlines())) <= 100


def test_json_is_what_the_route_answers(easel: Run, made: Made) -> None:
    made(13_235)
    code, out, _ = easel("spend", "demo", "--json", "--from", today(), "--to", today())
    said = json.loads(out)
    assert (code, said["object"], said["group_by"]) == (0, "usage", "day")
    assert (said["first_day"], said["last_day"]) == (today(), today())
    [row] = said["data"]
    assert (row["key"], row["cost_usd"], row["jobs"]) == (today(), 0.013235, 1)


def test_where_nothing_was_spent_there_is_no_bar(easel: Run, made: Made) -> None:
    made(0)
    made(None)
    code, out, _ = easel("spend", "demo", "--from", today())
    assert code == 0
    assert "#" not in out
    assert out.splitlines()[1].split()[:4] == [today(), "0.000000", "USD", "2"]


def test_a_tenant_without_jobs_has_a_total(easel: Run, made: Made) -> None:
    code, out, _ = easel("spend", "demo")
    assert (code, out.splitlines()[1].split()) == (
        0,
        ["total", "0.000000", "USD", "0", "jobs", "0", "images"],
    )


def test_direct_invocations_are_a_tenant_of_their_own(easel: Run, made: Made) -> None:
    made(13_235, tenant="direct")
    _, out, _ = easel("spend", "direct", "--from", today(), "--json")
    assert json.loads(out)["total"]["cost_usd"] == 0.013235
    _, out, _ = easel("jobs", "list", "direct", "--json")
    assert len(json.loads(out)["jobs"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "There is no tenant 'nobody'"),
        (("demo", "--from", "yesterday"), "Invalid 'from'."),
        (("demo", "--to", "2026-11-31"), "Invalid 'to'."),
        (("demo", "--from", "2020-01-01"), "366 days"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(
    easel: Run, made: Made, words: tuple[str, ...], said: str
) -> None:
    code, out, err = easel("spend", *words)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("easel: ")


@pytest.mark.parametrize(
    ("cost", "most", "length"),
    [(0, 0, 0), (0, 1, 0), (1, 1, 24), (0.5, 1, 12), (0.000001, 100, 1), (100, 100, 24)],
)
def test_a_bar_is_bounded_and_shows_the_least(cost: float, most: float, length: int) -> None:
    assert _bar(cost, most) == "#" * length


def test_cache_hits_are_shown_where_there_are_any() -> None:
    none = {"jobs": 1, "images": 1, "cache_hits": 0, "cost_usd": 1.0}
    period = {"period": "2026-11", "budget_usd": None, "spent_usd": 1.0, "held_usd": 0.0}
    report: UsageReport = {  # type: ignore[typeddict-item]  # parts, spread
        "object": "usage",
        "first_day": "2026-11-01",
        "last_day": "2026-11-22",
        "group_by": "day",
        "data": [{"key": "2026-11-21", **none}, {"key": "2026-11-22", **none, "cache_hits": 7}],
        "total": {**none, "cache_hits": 7},
        "month": {**period, "left_usd": None, "resets_at": 0},
        "day": {**period, "left_usd": None, "resets_at": 0},
    }
    _, first, second, total, *_ = _lines(report)
    assert "hits" not in first
    assert "7 cache hits" in second
    assert "7 cache hits" in total


# ---- The list of jobs ----


def test_jobs_are_listed_newest_first_without_what_they_show(easel: Run, made: Made) -> None:
    jobs = []
    for charge in (13_235, None):
        jobs.append(made(charge))
        time.sleep(0.002)  # ids are in the order of their milliseconds
    code, out, _ = easel("jobs", "list", "demo")
    failed, done = out.splitlines()
    assert code == 0
    assert failed.split() == [
        *(jobs[1].id, "failed", "generate", "gpt-image-2.5-flare"),
        *("3", "min", "old", "0.000000", "USD", "moderation_blocked"),
    ]
    assert done.split()[:4] == [jobs[0].id, "succeeded", "generate", "gpt-image-2.5-flare"]
    assert done.endswith("0.013235 USD")
    assert "secret" not in out

    _, out, _ = easel("jobs", "list", "demo", "--limit", "1", "--json")
    [one] = json.loads(out)["jobs"]
    assert 180 <= one.pop("age_seconds") < 300
    assert one == {
        "id": jobs[1].id,
        "status": "failed",
        "operation": "generate",
        "model": "gpt-image-2.5-flare",
        "cost_usd": 0,
        "error": "moderation_blocked",
    }


def test_a_list_may_be_longer_than_a_page(easel: Run, made: Made, monkeypatch: Any) -> None:
    monkeypatch.setattr("cli.spend._MOST_AT_ONCE", 2)
    ids = {made(1).id for _ in range(5)}
    _, out, _ = easel("jobs", "list", "demo", "--limit", "9", "--json")
    assert {one["id"] for one in json.loads(out)["jobs"]} == ids


def test_who_has_no_jobs_is_told_so(easel: Run, made: Made) -> None:
    assert easel("jobs", "list", "demo") == (0, "demo has no jobs.\n", "")
    assert easel("jobs", "list", "nobody")[0] == 1
    assert easel("jobs", "list", "demo", "--limit", "0")[0] == 2


# ---- Classes ----


def test_a_tenants_class_is_set_shown_and_taken_away(easel: Run, outputs: dict[str, str]) -> None:
    table = boto3.resource("dynamodb").Table(outputs["TenantsTableName"])

    def class_of(name: str) -> str:
        return str(json.loads(easel("tenants", "show", name, "--json")[1])["tenant_class"])

    assert easel("tenants", "create", "shop")[0] == 0
    assert easel("tenants", "create", "web", "--class", "gold")[0] == 0
    assert (class_of("shop"), class_of("web")) == ("standard", "gold")
    assert easel("tenants", "set", "shop", "--class", "trial-2")[0] == 0
    assert table.get_item(Key={"id": "tenant#shop"})["Item"]["tenant_class"] == "trial-2"
    assert "class            trial-2" in easel("tenants", "show", "shop")[1]
    assert easel("tenants", "set", "shop", "--class", "none")[0] == 0
    assert class_of("shop") == "standard"


@pytest.mark.parametrize("name", ["direct", "Gold", "a b", "a_b", "g" * 33, ""])
def test_a_class_that_is_none_is_refused(easel: Run, outputs: dict[str, str], name: str) -> None:
    code, _, err = easel("tenants", "create", "shop", "--class", name)
    assert (code, "A class is 1 to 32" in err) == (1, True)
