"""OpenAI's lists, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from easel.pages import Page, listed
from easel.responses import LARGEST_ANSWER
from easel.schemas import JOB_ID
from tests.unit.examples import job


def objects(count: int, text: str = "") -> Iterator[dict[str, Any]]:
    return ({"id": str(number), "prompt": text} for number in range(count))


@pytest.mark.parametrize(
    ("count", "shown", "more"), [(0, 0, False), (1, 1, False), (3, 3, False), (4, 3, True)]
)
def test_a_list_is_openais(count: int, shown: int, more: bool) -> None:
    page = json.loads(listed(objects(count), 3))
    ids = [str(number) for number in range(shown)]
    assert page == {
        "object": "list",
        "data": [{"id": one, "prompt": ""} for one in ids],
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": more,
    }


@pytest.mark.parametrize("letter", ["x", '"', "é", "🦊"])
def test_a_page_ends_before_lambda_would_refuse_it(letter: str) -> None:
    page = listed(objects(100, letter * 32_000), 100)
    assert len(json.dumps({"body": page})) < LARGEST_ANSWER + 1000
    told = json.loads(page)
    assert told["has_more"] is (letter != "x")
    assert len(told["data"]) > 10
    assert told["last_id"] == told["data"][-1]["id"]


def test_no_more_is_read_than_tells_that_there_is_more() -> None:
    left = objects(9)
    listed(left, 3)
    assert next(left)["id"] == "4"


def test_a_page_is_asked_for_by_its_query() -> None:
    assert Page.model_validate({}) == Page(limit=20, after=None)
    asked = Page.model_validate({"limit": "100", "after": job().id, "order": "asc"})
    assert asked.limit == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "101", "-1", "x", "", "1.5")),
        *(("after", value) for value in ("", "x", "job_", "job_0", f"{JOB_ID}/0", JOB_ID[4:])),
    ],
)
def test_a_page_that_there_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Page.model_validate({name: value})
    assert caught.value.errors()[0]["loc"] == (name,)
