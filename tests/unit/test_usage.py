"""Days that are asked for, and what was spent in them, by books that are given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from easel.errors import InvalidRequest
from easel.tenants import Tenant
from easel.usage import Balance, Count, Span, UsageReport, report

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
FLARE, TWO = "gpt-image-2.5-flare", "gpt-image-2"


class Books:
    """Books of one tenant, which say what they were told to."""

    def __init__(self, *counts: Count, **balances: Balance) -> None:
        self.said = counts
        self.balances = balances
        self.asked: list[tuple[str, ...]] = []

    def counts(self, *asked: str) -> Iterator[Count]:
        self.asked.append(asked)
        return iter(self.said)

    def balance(self, tenant: str, period: str) -> Balance:
        self.asked.append((tenant, period))
        return self.balances.get(period.partition("#")[0], Balance(0, 0))


def reported(books: Books, tenant: Tenant, **given: str) -> UsageReport:
    return report(books, tenant, Span.asked(given, TODAY), NOW)  # type: ignore[arg-type]  # all it asks


# ---- Days ----


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ({}, "2026-11-01", "2026-11-22"),
        ({"from": "2026-11-20"}, "2026-11-20", "2026-11-22"),
        ({"from": "2026-11-22"}, "2026-11-22", "2026-11-22"),
        ({"to": "2026-02-28"}, "2026-02-01", "2026-02-28"),
        ({"from": "2026-09-30", "to": "2026-10-01"}, "2026-09-30", "2026-10-01"),
        ({"from": "2024-01-01", "to": "2024-12-31"}, "2024-01-01", "2024-12-31"),  # 366 days
        ({"from": "2028-02-29", "to": "2028-02-29"}, "2028-02-29", "2028-02-29"),
        ({"limit": "9"}, "2026-11-01", "2026-11-22"),
    ],
)
def test_days_are_those_that_are_asked_for(given: dict[str, str], first: str, last: str) -> None:
    days = Span.asked(given, TODAY)
    assert (days.first, days.last) == (date.fromisoformat(first), date.fromisoformat(last))
    assert days.group_by == "day"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        *(
            ({"from": text}, "from")
            for text in ("", "x", "20261122", "2026-W47-7", "2026-11-31", "2026-1-1", "1795350896")
        ),
        *(
            ({"to": text}, "to")
            for text in ("2026-02-29", "2026-11-22T00:00:00", "\uff12\uff10\uff12\uff16-11-22")
        ),
        ({"from": "2026-11-23"}, "from"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ({"from": "2025-01-01", "to": "2026-01-02"}, "from"),  # 367 days
        ({"group_by": "tenant"}, "group_by"),
        ({"group_by": ""}, "group_by"),
    ],
)
def test_days_that_there_cannot_be_are_refused_by_name(given: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Span.asked(given, TODAY)
    assert (refused.value.status, refused.value.code) == (400, "invalid_value")
    assert refused.value.param == param
    assert f"Invalid {param!r}." in refused.value.message


# ---- The report ----

COUNTS = (
    Count("2026-11-02", FLARE, "generate", 3, 4, 1, 40_001),
    Count("2026-11-02", TWO, "edit", 1, 0, 0, 52_700),
    Count("2026-11-10", FLARE, "edit", 2, 2, 0, 1),
    Count("2026-11-10", TWO, "edit", 0, 0, 5, 0),
)


@pytest.mark.parametrize(
    ("group_by", "rows"),
    [
        ("day", [("2026-11-02", 4, 4, 1, 0.092701), ("2026-11-10", 2, 2, 5, 0.000001)]),
        ("model", [(TWO, 1, 0, 5, 0.0527), (FLARE, 5, 6, 1, 0.040002)]),
        ("operation", [("edit", 3, 2, 5, 0.052701), ("generate", 3, 4, 1, 0.040001)]),
    ],
)
def test_counts_are_added_up_by_what_is_asked(group_by: str, rows: list[Any]) -> None:
    said = reported(Books(*COUNTS), Tenant(name="demo"), group_by=group_by)
    assert [tuple(row.values()) for row in said["data"]] == rows
    assert said["total"] == {"jobs": 6, "images": 6, "cache_hits": 6, "cost_usd": 0.092702}
    assert said["group_by"] == group_by


def test_the_books_are_asked_for_the_tenants_own_days() -> None:
    books = Books()
    said = reported(books, Tenant(name="demo"), **{"from": "2026-10-05", "to": "2026-10-06"})
    assert books.asked == [
        ("demo", "2026-10-05", "2026-10-06"),
        ("demo", "month#2026-11"),
        ("demo", "day#2026-11-22"),
    ]
    assert (said["object"], said["first_day"], said["last_day"]) == (
        "usage",
        "2026-10-05",
        "2026-10-06",
    )
    assert said["data"] == []
    assert said["total"] == {"jobs": 0, "images": 0, "cache_hits": 0, "cost_usd": 0}


def test_a_budget_is_told_with_what_is_left_and_until_when() -> None:
    books = Books(month=Balance(committed=3_000_000, spent=1_250_000))
    said = reported(books, Tenant(name="demo", month_budget=25_000_000))
    assert said["month"] == {
        "period": "2026-11",
        "budget_usd": 25,
        "spent_usd": 1.25,
        "held_usd": 1.75,
        "left_usd": 22,
        "resets_at": int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()),
    }
    assert said["day"] == {
        "period": "2026-11-22",
        "budget_usd": None,
        "spent_usd": 0,
        "held_usd": 0,
        "left_usd": None,
        "resets_at": int(datetime(2026, 11, 23, tzinfo=UTC).timestamp()),
    }


def test_a_budget_that_was_lowered_below_what_is_committed_has_nothing_left() -> None:
    books = Books(day=Balance(committed=3_000_000, spent=3_000_000))
    assert reported(books, Tenant(name="demo", day_budget=1))["day"]["left_usd"] == 0
