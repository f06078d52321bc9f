"""Names, keys and periods of tenants."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from easel.errors import InvalidRequest
from easel.tenants import DIRECT, day, digest, month, new_key, valid_name


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


def test_keys_are_long_random_and_recognisable() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("ek-") and len(key) == len("ek-") + 43 for key in keys)


def test_any_text_has_a_digest() -> None:
    assert len({digest(text) for text in ("\ud800", "?", "", "\0", "é")}) == 5


def test_only_a_keys_digest_is_kept() -> None:
    assert digest("ek-1") == sha256(b"ek-1").hexdigest()


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
