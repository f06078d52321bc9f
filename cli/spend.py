"""What a tenant has spent, and the jobs it was spent on: never what they show."""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from cli.options import Find, Json
from cli.stack import Stack
from easel.aws import clients
from easel.aws.books import Books
from easel.aws.jobs import Jobs
from easel.aws.tenants import Tenants
from easel.jobs import Job
from easel.responses import cost_usd
from easel.tenants import DIRECT, Tenant
from easel.usage import GroupBy, Span, UsagePeriod, UsageReport, UsageTotal, report

_BAR = 24
"""How many characters the longest bar has."""
_MOST_AT_ONCE = 100


def spend(
    name: str,
    /,
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    by: GroupBy = "day",
    json: Json = False,
    find: Find,
) -> None:
    """Show what a tenant has spent, and what is left of its budgets.

    Parameters
    ----------
    name
        The tenant's; direct: of direct invocations that name none.
    from_
        The first day of UTC, as 2026-11-22; without it, the first of the month.
    to
        The last day; without it, today.
    by
        What a row is of.
    json
        Print what `GET /v1/usage` answers instead.
    """
    now = time.time()
    given = {"from": from_, "to": to, "group_by": by}
    asked = {param: text for param, text in given.items() if text is not None}
    stack = find()
    days = Span.asked(asked, datetime.fromtimestamp(now, UTC).date())
    books = Books(clients.dynamodb(), stack.ledger_table_name)
    spent = report(books, _tenant(stack, name), days, now)
    if json:
        print(json_format.dumps(spent, indent=2))
        return
    for line in _lines(spent):
        print(line)


def listed(name: str, /, *, limit: PositiveInt = 20, json: Json = False, find: Find) -> None:
    """List a tenant's jobs, newest first: how each stands, and what it cost.

    Parameters
    ----------
    name
        The tenant's; direct: of direct invocations that name none.
    limit
        How many at most.
    json
        Print one JSON object instead: jobs.
    """
    stack = find()
    tenant = _tenant(stack, name)
    retention_days = 0  # is said of what is written, and nothing is
    jobs = Jobs(clients.dynamodb(), stack.jobs_table_name, retention_days, time.sleep)
    newest = islice(jobs.jobs(tenant.name, None, min(limit, _MOST_AT_ONCE)), limit)
    found = [_record(job, time.time()) for job in newest]
    if json:
        print(json_format.dumps({"jobs": found}, indent=2))
        return
    for one in found:
        age = f"{one['age_seconds'] // 60} min old"
        error = f"  {one['error']}" if one["error"] else ""
        made = f"{one['operation']:<9}  {one['model']:<21}"
        cost = f"{one['cost_usd']:.6f} USD"
        print(f"{one['id']}  {one['status']:<9}  {made}  {age:>12}  {cost}{error}")
    if not found:
        print(f"{name} has no jobs.")


def _tenant(stack: Stack, name: str) -> Tenant:
    """Return who pays. Raises NotFound."""
    if name == DIRECT:
        return Tenant(name=DIRECT)
    return Tenants(clients.dynamodb(), stack.tenants_table_name).existing(name)


def _record(job: Job, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "status": job.status,
        "operation": job.request.operation,
        "model": job.request.model,
        "age_seconds": int(now) - job.created_at,
        "cost_usd": cost_usd(job.charge),
        "error": job.error and job.error["code"],
    }


def _lines(spent: UsageReport) -> Iterator[str]:
    yield f"{spent['first_day']} to {spent['last_day']}"
    rows: list[tuple[str, UsageTotal]] = [(row["key"], row) for row in spent["data"]]
    most = max((row["cost_usd"] for _, row in rows), default=0)
    width = max((len(key) for key, _ in rows), default=len("total"))
    for key, row in [*rows, ("total", spent["total"])]:
        bar = "" if row is spent["total"] else _bar(row["cost_usd"], most)
        yield f"{key:<{width}}  {_counted(row)}  {bar}".rstrip()
    for period in (spent["month"], spent["day"]):
        yield _budget(period)


def _counted(row: UsageTotal) -> str:
    hits = f"  {row['cache_hits']} cache hits" if row["cache_hits"] else ""
    return f"{row['cost_usd']:>12.6f} USD  {row['jobs']:>5} jobs  {row['images']:>5} images{hits}"


def _bar(cost: float, most: float) -> str:
    """Return as much of a bar as the cost is of the most; something, where there is any."""
    return "#" * max(round(_BAR * cost / most), 1) if cost else ""


def _budget(of: UsagePeriod) -> str:
    held = f"{of['period']}: {of['spent_usd']:.6f} USD spent, {of['held_usd']:.6f} held"
    if of["left_usd"] is None:
        return f"{held}, no limit"
    resets = datetime.fromtimestamp(of["resets_at"], UTC)
    left = f"{of['left_usd']:.6f} of {of['budget_usd']:.6f} left"
    return f"{held}, {left}; resets at {resets:%Y-%m-%dT%H:%MZ}"
