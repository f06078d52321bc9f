"""How it grows, and what is in the way. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.cost.bill import HERE, MONTH_SECONDS, Deployment, busy_seconds, waits
from bench.cost.measuring import Measured

PEAK = 10
"""How much busier than the mean of a month its busiest minute is: teams sleep at night."""
TRANSACTIONS = 2
"""Of a picture on its tenant's month: it is opened and closed (``aws.ledger``)."""
VOLUMES = (1, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Limit:
    """What stops growth at so many images a month."""

    name: str
    value: float
    of: str
    raised_by: str
    met_at: float


def demands(measured: Measured) -> dict[str, float]:
    """Return what an image a second takes of each limit."""
    worker = busy_seconds(measured, "worker")
    doors = sum(busy_seconds(measured, who) for who in ("door", "jobs"))
    hops = measured.invocations.get("jobs", 0)
    return {
        "images a minute": 60,
        "executions at once": doors + worker,
        "workers at once": worker,
        "calls a second to a route": max(1, hops),
        "API calls a second": waits(measured),
        "ledger write units a second": sum(one.ledger_units for one in measured.counts.values()),
        "transactions a second of a tenant": TRANSACTIONS,
        "index write units a second": sum(one.index_units for one in measured.counts.values()),
    }


def limits(measured: Measured, on: Deployment) -> Iterator[Limit]:
    """Yield what is met, soonest first."""
    data: Mapping[str, Any] = tomllib.loads((HERE / "limits.toml").read_text())
    taken = demands(measured)
    found = [
        Limit(
            one["name"],
            value := float(on.parameters.get(one["is"], one["is"])),
            one["of"],
            one["raise"],
            met_at(value, taken[one["of"]]),
        )
        for one in data["limits"]
    ]
    yield from sorted(found, key=lambda limit: limit.met_at)


def met_at(limit: float, demand: float) -> float:
    """Return at how many images a month a limit is met that an image a second takes so much of."""
    return limit / demand / PEAK * MONTH_SECONDS
