from __future__ import annotations

from typing import Any

import pytest

from easel.errors import InvalidRequest
from easel.prompt import Prompt

FOX = {"subject": "A (red) fox [alone]", "lighting": "dawn", "details": ["snow", "birches"]}


def read(given: Any, earlier: Prompt | None = None) -> Prompt | None:
    return Prompt.read(given, lambda _: earlier or Prompt(text="unused"))


def test_parts_become_one_text_in_order() -> None:
    whole = {
        "emphasis": ["eyes", "snow"],
        "avoid": ["people", "text"],
        **FOX,
        "mood": "calm",
        "style": "ink.",
        "palette": "blue and rust",
        "composition": "close up",
    }
    prompt = read(whole)
    assert prompt
    assert prompt.text == (
        "A (red) fox [alone]. Composition: close up. Lighting: dawn. Palette: blue and rust. "
        "Style: ink. Mood: calm. Details: snow; birches. Avoid: people; text. "
        "Most important: eyes; snow."
    )


def test_details_are_added_and_removed() -> None:
    prompt = read({"from": "job_1", "add": ["frost"], "remove": ["snow"]}, read(FOX))
    assert prompt
    assert prompt.text.endswith("Details: birches; frost.")
    again = read({"from": "job_2", "remove": ["frost"]}, prompt)
    assert again
    assert again.text.endswith("Details: birches.")


def test_many_changes_of_many_details_are_looked_up_not_searched() -> None:
    """Compared each with each they would take minutes."""
    many = {"subject": "x", "details": [str(number) for number in range(5_000)]}
    prompt = read({"from": "job_1", "remove": ["4999"] * 1_000_000}, read(many))
    assert prompt
    assert prompt.parts
    assert prompt.parts.details == many["details"][:-1]


def test_a_plain_prompt_can_be_changed_too() -> None:
    prompt = read({"from": "job_1", "add": ["frost"]}, Prompt(text="a fox"))
    assert prompt
    assert prompt.text == "a fox. Details: frost."


@pytest.mark.parametrize(
    "given",
    [
        7,
        [],
        {},
        {"subject": ""},
        {"subject": 1},
        {"subject": "x", "detail": []},
        {"subject": "x", "details": "snow"},
        {"from": "job_1", "remove": ["never there"]},
        {"from": "job_1", "subject": "x"},
    ],
)
def test_what_is_no_prompt_is_refused_by_name(given: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(given, read(FOX))
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("given", [None, "", " \n"])
def test_nothing_is_no_prompt(given: Any) -> None:
    assert read(given) is None


def test_style_becomes_words() -> None:
    assert Prompt(text="a fox").styled("vivid").text.startswith("a fox. Style: vivid")
    assert Prompt(text="a fox").styled(None).text == "a fox"
    with pytest.raises(InvalidRequest) as refused:
        Prompt(text="a fox").styled("loud")
    assert refused.value.param == "style"
