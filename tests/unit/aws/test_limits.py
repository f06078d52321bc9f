"""Tenants' rates, at rest."""

from __future__ import annotations

from uuid import uuid4

import pytest

from easel.aws import clients
from easel.aws.limits import Limits
from easel.errors import InvalidRequest, RateLimited
from easel.limits import Rate
from tests.unit.examples import NOW

CALLS = Rate("requests", 3)


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(environ: dict[str, str], clock: Clock) -> Limits:
    return Limits(clients.dynamodb(), environ["JOBS_TABLE"], clock)


@pytest.fixture
def tenant() -> str:
    return f"t{uuid4().hex}"


def left(headers: dict[str, str]) -> int:
    return int(headers["x-ratelimit-remaining-requests"])


def test_an_allowance_is_used_up_and_fills_up_again(
    limits: Limits, clock: Clock, tenant: str
) -> None:
    assert [left(limits.take(tenant, CALLS, 1)) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        limits.take(tenant, CALLS, 1)
    assert refused.value.headers() == {
        "retry-after": "20",
        "retry-after-ms": "20000",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60.000s",
    }
    clock.now += 19.9
    with pytest.raises(RateLimited):
        limits.take(tenant, CALLS, 1)
    clock.now += 0.1
    assert left(limits.take(tenant, CALLS, 1)) == 0
    clock.now += 3600
    assert [left(limits.take(tenant, CALLS, 1)) for _ in range(2)] == [2, 1]


def test_several_are_taken_at_once_or_none(limits: Limits, tenant: str) -> None:
    assert left(limits.take(tenant, CALLS, 2)) == 1
    with pytest.raises(RateLimited):
        limits.take(tenant, CALLS, 2)
    assert left(limits.take(tenant, CALLS, 1)) == 0


def test_what_never_fits_takes_nothing(limits: Limits, tenant: str) -> None:
    with pytest.raises(InvalidRequest):
        limits.take(tenant, CALLS, 4)
    assert left(limits.take(tenant, CALLS, 3)) == 0


def test_nobody_takes_from_anothers(limits: Limits, tenant: str) -> None:
    limits.take(tenant, CALLS, 3)
    assert left(limits.take(f"{tenant}-2", CALLS, 1)) == 2
    assert limits.take(tenant, Rate("images", 1), 1)["x-ratelimit-remaining-images"] == "0"


def test_a_rate_that_is_changed_holds_from_then_on(limits: Limits, tenant: str) -> None:
    limits.take(tenant, CALLS, 3)
    with pytest.raises(RateLimited):
        limits.take(tenant, Rate("requests", 2), 1)
    limits.take(f"{tenant}-2", CALLS, 2)
    assert left(limits.take(f"{tenant}-2", Rate("requests", 60), 1)) >= 19
