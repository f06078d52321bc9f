"""Names, keys and periods of tenants."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from easel.errors import InvalidRequest
from easel.tenants import DIRECT, day, month, valid_name


@pytest.mark.parametrize("name", ["a", "demo", "team-7", "7-up", "a" * 63, "directs"])
def test_a_name_stands_in_keys_and_paths(name: str) -> None:
    assert valid_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "Demo", "a b", "a/b", "a.b", "..", "a#b", "é", "a\n", "a" * 64, "a_b", DIRECT],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        valid_name(name)
    assert caught.value.param == "tenant"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, 999_999, UTC), ("2026-11", "2026-11-30")),
        (datetime(2026, 12, 1, tzinfo=UTC), ("2026-12", "2026-12-01")),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), ("2028-02", "2028-02-29")),
    ],
)
def test_periods_are_utc(at: datetime, expected: tuple[str, str]) -> None:
    assert (month(at.timestamp()), day(at.timestamp())) == expected
