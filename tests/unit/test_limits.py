"""A tenant's rates: what is in the allowance, and what is said of it."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import InvalidRequest, RateLimited
from easel.limits import Admission, Rate
from easel.tenants import Tenant

SECOND = 1_000_000
MINUTE = 60 * SECOND
NOW = 1_800_000_000 * SECOND


class Book:
    """What ``aws.limits`` keeps, in memory."""

    def __init__(self) -> None:
        self.full_at: dict[tuple[str, str], int] = {}
        self.now = NOW

    def take(self, tenant: str, rate: Rate, count: int) -> dict[str, str]:
        if count > rate.limit:
            raise rate.never(count)
        full_at = self.full_at.get((tenant, rate.what), 0)
        if full_at > rate.latest(count, self.now):
            raise rate.refusal(count, full_at, self.now)
        self.full_at[tenant, rate.what] = max(full_at, self.now) + rate.cost(count)
        return rate.headers(self.full_at[tenant, rate.what], self.now)


calls = st.lists(st.tuples(st.integers(0, 2 * MINUTE), st.integers(1, 10)), max_size=60)


@given(limit=st.integers(10, 10_000), asked=calls)
def test_it_lets_in_what_an_allowance_that_fills_up_has(
    limit: int, asked: list[tuple[int, int]]
) -> None:
    book, rate, left, last = Book(), Rate("images", limit), Fraction(limit), NOW
    for pause, count in asked:
        book.now += pause
        left = min(Fraction(limit), left + Fraction((book.now - last) * limit, MINUTE))
        last = book.now
        try:
            headers = book.take("a", rate, count)
        except RateLimited:
            assert left < count
            continue
        # Microseconds are rounded in the caller's favour.
        assert left + Fraction(len(asked) * limit, MINUTE) >= count
        left = max(Fraction(0), left - count)
        assert abs(int(headers["x-ratelimit-remaining-images"]) - left) <= 1


@given(limit=st.integers(1, 10_000), data=st.data())
def test_who_comes_when_told_is_let_in_and_not_before(limit: int, data: st.DataObject) -> None:
    rate = Rate("requests", limit)
    count = data.draw(st.integers(1, limit))
    full_at = data.draw(st.integers(rate.latest(count, NOW) + 1, NOW + MINUTE))
    refused = rate.refusal(count, full_at, NOW)
    assert refused.retry_after
    then = NOW + math.ceil(float(refused.headers()["retry-after-ms"]) * 1000)
    assert rate.latest(count, then) >= full_at
    assert rate.latest(count, then - 1001) < full_at


def test_what_is_left_and_when_all_of_it_is_back_is_said_as_openai_says_it() -> None:
    rate = Rate("requests", 20)
    assert rate.headers(NOW + rate.cost(3), NOW) == {
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-remaining-requests": "17",
        "x-ratelimit-reset-requests": "9.000s",
    }
    assert rate.headers(NOW - 5, NOW)["x-ratelimit-remaining-requests"] == "20"
    assert rate.headers(NOW - 5, NOW)["x-ratelimit-reset-requests"] == "0.000s"


def test_more_than_there_ever_is_is_another_matter() -> None:
    error = Rate("images", 4).never(5)
    assert isinstance(error, InvalidRequest)
    assert (error.param, error.retry) == ("n", False)
    assert "5 images are more than the 4 a minute" in error.message


def test_a_tenant_without_rates_is_let_in_unasked() -> None:
    def take(*_: object) -> dict[str, str]:
        raise AssertionError("nothing is to be taken")

    admission = Admission(Tenant(name="a"), take)
    admission.call()
    admission.images(10)
    assert admission.headers == {}


def test_each_rate_is_of_its_own() -> None:
    book = Book()
    tenant = Tenant(name="a", requests_per_minute=2, images_per_minute=3)
    first = Admission(tenant, book.take)
    first.call()
    first.images(3)
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-images"] == "0"
    second = Admission(tenant, book.take)
    second.call()
    with pytest.raises(RateLimited, match="3 images a minute") as refused:
        second.images(1)
    assert refused.value.retry_after == 20
    with pytest.raises(RateLimited, match="2 requests a minute"):
        Admission(tenant, book.take).call()
