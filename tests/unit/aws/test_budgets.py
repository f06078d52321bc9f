"""Budgets, in the transaction that holds: never above, and said in full when refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel.aws import clients
from easel.aws.items import plain
from easel.aws.ledger import Ledger
from easel.errors import BudgetExceeded, UpstreamBusy
from easel.identity import Seen
from easel.jobs import Job, LeaseLost
from tests.unit.examples import NOW, answer, job

BUDGET = 50_000


@pytest.fixture(scope="module")
def ledger(environ: dict[str, str]) -> Ledger:
    tables = environ["JOBS_TABLE"], environ["LEDGER_TABLE"]
    return Ledger(clients.dynamodb(), tables[0], 30, lambda _: None, tables[1])


@pytest.fixture
def tenant() -> str:
    return f"t{uuid4().hex}"


def asked(tenant: str, hold: int, **changes: Any) -> Job:
    return job(tenant, hold=hold, **{"month_budget": BUDGET, **changes})


def opened(ledger: Ledger, made: Job) -> Job:
    assert ledger.open(made, f"key#{made.id}", None, [Seen(made.id)])
    return made


def refused(ledger: Ledger, made: Job) -> str:
    with pytest.raises(BudgetExceeded) as caught:
        ledger.open(made, f"key#{made.id}", None, [Seen(made.id)])
    assert ledger.job(made.tenant, made.id) is None
    assert ledger.pointer(made.tenant, f"key#{made.id}") is None
    assert (caught.value.status, caught.value.code) == (429, "budget_exceeded")
    assert caught.value.headers() == {"x-should-retry": "false"}
    return caught.value.message


def ended(ledger: Ledger, made: Job, charge: int) -> None:
    held = ledger.lease(made.tenant, made.id, "me", NOW)
    assert held
    held = ledger.update(held.begin(held.hold), "me")
    done = held.end(held.attempts[0].settle(charge))
    ledger.close(done.close("succeeded", NOW, answer=answer()), "me")


def committed(ledger: Ledger, tenant: str, period: str = "month#2026-11") -> int:
    key = {"tenant": {"S": tenant}, "sk": {"S": period}}
    got = ledger.client.get_item(TableName=ledger.ledger_table, Key=key, ConsistentRead=True)
    return int(plain(got.get("Item", {})).get("committed", 0))


def test_a_budget_holds_to_the_last_micro_dollar(ledger: Ledger, tenant: str) -> None:
    opened(ledger, asked(tenant, BUDGET - 1))
    opened(ledger, asked(tenant, 1))
    refused(ledger, asked(tenant, 1))
    assert committed(ledger, tenant) == BUDGET


def test_a_refusal_says_what_there_is_and_what_to_do(ledger: Ledger, tenant: str) -> None:
    ended(ledger, opened(ledger, asked(tenant, 30_000)), 13_200)
    opened(ledger, asked(tenant, 20_000))
    assert refused(ledger, asked(tenant, 20_000)) == (
        "The budget of 2026-11 is 0.05 USD: 0.0132 spent, 0.02 held, 0.0168 left. "
        "This call may cost 0.02. It resets at 2026-12-01T00:00Z. "
        "Ask for less (quality, size, n), or the operator for more."
    )


def test_what_is_released_can_be_held_again(ledger: Ledger, tenant: str) -> None:
    first = opened(ledger, asked(tenant, BUDGET))
    refused(ledger, asked(tenant, 1))
    ended(ledger, first, 10_000)
    opened(ledger, asked(tenant, 40_000))
    refused(ledger, asked(tenant, 1))


def test_a_call_dearer_than_the_whole_budget_is_refused_at_once(
    ledger: Ledger, tenant: str
) -> None:
    """Where nothing is committed yet, there is no item that a condition could compare."""
    refused(ledger, asked(tenant, BUDGET + 1))
    refused(ledger, asked(tenant, 1, month_budget=0))
    assert committed(ledger, tenant) == 0


def test_a_day_has_a_budget_of_its_own(ledger: Ledger, tenant: str) -> None:
    opened(ledger, asked(tenant, 9_000, day_budget=10_000))
    assert "The budget of 2026-11-22 is 0.01 USD" in refused(
        ledger, asked(tenant, 2_000, day_budget=10_000)
    )
    tomorrow = NOW + 86_400
    opened(ledger, asked(tenant, 9_000, day_budget=10_000, now=tomorrow))
    assert committed(ledger, tenant) == 18_000
    assert committed(ledger, tenant, "day#2026-11-23") == 9_000


def test_a_month_begins_anew_while_jobs_of_the_last_are_open(ledger: Ledger, tenant: str) -> None:
    last = opened(ledger, asked(tenant, BUDGET))
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    opened(ledger, asked(tenant, BUDGET, now=december))
    ended(ledger, last, 7)
    assert committed(ledger, tenant) == 7
    assert committed(ledger, tenant, "month#2026-12") == BUDGET
    refused(ledger, asked(tenant, 1, now=december))


def test_without_a_budget_there_is_none(ledger: Ledger, tenant: str) -> None:
    opened(ledger, asked(tenant, 10**12, month_budget=None))
    opened(ledger, asked(tenant, 10**12, month_budget=None))
    assert committed(ledger, tenant) == 2 * 10**12


def test_a_lowered_budget_leaves_nothing(ledger: Ledger, tenant: str) -> None:
    opened(ledger, asked(tenant, 40_000))
    message = refused(ledger, asked(tenant, 1, month_budget=10_000))
    assert "0.04 held, 0 left" in message


def test_a_further_attempt_is_held_within_the_budget_too(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, asked(tenant, 30_000))
    held = ledger.lease(tenant, made.id, "me", NOW)
    assert held
    lost = held.begin(30_000).end(held.begin(30_000).attempts[0].lose())
    with pytest.raises(BudgetExceeded):
        ledger.begin(lost.begin(30_000), 30_000)
    assert ledger.job(tenant, made.id) == held
    with pytest.raises(LeaseLost):
        ledger.begin(lost.begin(1).model_copy(update={"lease": "you"}), 1)
    assert ledger.begin(lost.begin(20_000), 20_000).hold == 50_000
    assert committed(ledger, tenant) == BUDGET


def test_a_job_is_reopened_within_the_budget_too(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, asked(tenant, 30_000))
    failed = ledger.close(made.close("failed", NOW, error=UpstreamBusy("x")), None)
    opened(ledger, asked(tenant, 30_000))
    with pytest.raises(BudgetExceeded):
        ledger.reopen(failed, failed.reopen(30_000, NOW))
    assert ledger.job(tenant, made.id) == failed
    ledger.reopen(failed, failed.reopen(20_000, NOW))
    assert committed(ledger, tenant) == BUDGET


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 40_000)), max_size=8))
def test_committed_is_never_above_the_budget(ledger: Ledger, calls: list[tuple[int, int]]) -> None:
    """Unless a charge is above its hold: what was bought is owed."""
    tenant, owed = f"t{uuid4().hex}", 0
    for hold, charge in calls:
        made = asked(tenant, hold)
        try:
            opened(ledger, made)
        except BudgetExceeded:
            assert owed + hold > BUDGET
        else:
            assert committed(ledger, tenant) == owed + hold <= BUDGET
            ended(ledger, made, min(charge, hold))
            owed += min(charge, hold)
    assert committed(ledger, tenant) == owed
