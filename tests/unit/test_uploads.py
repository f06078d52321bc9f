"""What the id of an upload says of itself."""

from __future__ import annotations

import pytest

from easel import uploads


def test_an_id_tells_when_it_was_made_and_nothing_more() -> None:
    ids = [uploads.new_id(now) for now in (1_795_000_000.5, 1_795_000_000.6)]
    assert ids == sorted(ids)
    assert [uploads.created_at(one) for one in ids] == [1_795_000_000.5, 1_795_000_000.6]
    assert uploads.new_id(1) != uploads.new_id(1)


@pytest.mark.parametrize(
    "other", ["", "file-", "file-abc", "file-" + "0" * 36, "file-" + "0" * 34, "job_1/0"]
)
def test_nothing_else_is_an_id(other: str) -> None:
    assert uploads.created_at(other) is None
    assert uploads.created_at(f"file-{'٣' * 35}") is None
    assert uploads.created_at(f"{uploads.new_id(1)}\n") is None


def test_an_upload_lies_under_its_tenant() -> None:
    assert uploads.key("demo", "file-1") == "inputs/demo/file-1"
