"""What a tenant has spent: the ledger's counts of some days, and what is left of its budgets.

Days and months are UTC's; a job belongs to those it was opened in. Amounts are US dollars on the
wire, micro-dollars elsewhere.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, with_config

from easel.errors import InvalidRequest
from easel.responses import cost_usd
from easel.tenants import Tenant, day, month, resets_at

if TYPE_CHECKING:
    from easel.aws.books import Books

MOST_DAYS = 366
GroupBy = Literal["day", "model", "operation"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_closed = with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))


class Count(NamedTuple):
    """What the ledger counts of a day, a model and an operation; ``spent`` is micro-dollars."""

    day: str
    model: str
    operation: str
    jobs: int
    images: int
    hits: int
    spent: int


class Balance(NamedTuple):
    """What the ledger says of a month or a day, in micro-dollars."""

    committed: int
    spent: int


def _iso(value: object) -> object:
    """Return the text of a day; of what ``date`` reads besides, nothing."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("no day")
    return value


_Day = Annotated[date, BeforeValidator(_iso)]


class Span(BaseModel):
    """Which days are asked for, and how they are grouped."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    first: _Day | None = Field(default=None, alias="from")
    """The first day (UTC); omitted, the first of `to`'s month."""
    last: _Day | None = Field(default=None, alias="to")
    """The last day, at most a year later; omitted, today."""
    group_by: GroupBy = "day"
    """What a row is of."""

    @classmethod
    def asked(cls, given: Mapping[str, Any], today: date) -> Days:
        """Return the days that are asked for. Raises InvalidRequest."""
        try:
            span = cls.model_validate(given)
        except ValidationError as error:
            raise _invalid(str(error.errors()[0]["loc"][0])) from None
        last = span.last or today
        days = Days(span.first or last.replace(day=1), last, span.group_by)
        if days.first > last:
            raise _invalid("from", " 'from' is not after 'to'.")
        if (last - days.first).days >= MOST_DAYS:
            raise _invalid("from", f" There are {MOST_DAYS} days between them at most.")
        return days


class Days(NamedTuple):
    """The days from ``first`` to ``last``, both included."""

    first: date
    last: date
    group_by: GroupBy


def _invalid(param: str, why: str = "") -> InvalidRequest:
    return InvalidRequest(
        f"Invalid {param!r}. 'from' and 'to' are days as 2026-11-22, 'group_by' is 'day', 'model' "
        f"or 'operation'.{why}",
        param=param,
    )


# ---- The report ----


@_closed
class UsageTotal(TypedDict):
    """What was made and spent."""

    jobs: int
    """Jobs that have ended, however they did."""
    images: int
    cache_hits: int
    """Calls that were answered without a job of their own."""
    cost_usd: float
    """Dollars charged, at most 6 decimals."""


@_closed
class UsageRow(UsageTotal):
    """The same of one day, model or operation."""

    key: str
    """Which."""


@_closed
class UsagePeriod(TypedDict):
    """What is left of a budget. Amounts are dollars, at most 6 decimals."""

    period: str
    """The month as 2026-11, or the day as 2026-11-22."""
    budget_usd: float | None
    """None: without limit."""
    spent_usd: float
    """Charges."""
    held_usd: float
    """What the open jobs may cost at most."""
    left_usd: float | None
    resets_at: int
    """When the period is over, in Unix seconds."""


@_closed
class UsageReport(TypedDict):
    """What a tenant has spent in the days that were asked for, and what it may spend today."""

    object: Literal["usage"]
    first_day: str
    last_day: str
    group_by: GroupBy
    data: list[UsageRow]
    """Those there are, by their keys."""
    total: UsageTotal
    month: UsagePeriod
    day: UsagePeriod


def report(books: Books, tenant: Tenant, days: Days, now: float) -> UsageReport:
    """Return what the tenant has spent, and what it has left at Unix time ``now``."""
    first, last = days.first.isoformat(), days.last.isoformat()
    counts = list(books.counts(tenant.name, first, last))
    groups: dict[str, list[Count]] = defaultdict(list)
    for count in counts:
        groups[getattr(count, days.group_by)].append(count)
    return {
        "object": "usage",
        "first_day": first,
        "last_day": last,
        "group_by": days.group_by,
        "data": [{"key": key, **_total(groups[key])} for key in sorted(groups)],
        "total": _total(counts),
        "month": _period(books, tenant.name, "month", month(now), tenant.month_budget),
        "day": _period(books, tenant.name, "day", day(now), tenant.day_budget),
    }


def _total(counts: Sequence[Count]) -> UsageTotal:
    return {
        "jobs": sum(one.jobs for one in counts),
        "images": sum(one.images for one in counts),
        "cache_hits": sum(one.hits for one in counts),
        "cost_usd": cost_usd(sum(one.spent for one in counts)),
    }


def _period(books: Books, tenant: str, kind: str, period: str, budget: int | None) -> UsagePeriod:
    committed, spent = books.balance(tenant, f"{kind}#{period}")
    return {
        "period": period,
        "budget_usd": None if budget is None else cost_usd(budget),
        "spent_usd": cost_usd(spent),
        "held_usd": cost_usd(committed - spent),
        "left_usd": None if budget is None else cost_usd(max(0, budget - committed)),
        "resets_at": int(resets_at(period).timestamp()),
    }
