"""A dozen prices by hand: each written out as whoever checks the invoice would.

OpenAI bills tokens. An image of w x h pixels takes, by the formula of its price calculator,

    short = round(base * shorter / longer)      base: 16, 24, 48, 64, 96 by model and quality
    ceil(base * short * (2,000,000 + w * h) / 4,000,000)

tokens: at 1024 x 1024, short is base, and w * h is 1,048,576, so base² * 3,048,576 / 4,000,000:

    16: 195.1 -> 196    24: 438.995 -> 439    48: 1755.98 -> 1756    96: 7023.9 -> 7024

A million tokens cost, in USD, and so one costs, in micro-dollars: text in 5, cached 1.25; image in
8, cached 2; image out 30 (gpt-image-1.5: 32, its text out 10; 1-mini: 2, 2.50 and 8). A prompt is
held at its UTF-8 bytes and 6 tokens more: "a cat" at 5 + 6 = 11. A picture that goes in is held at
1536 tokens (1.x: 8192).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from easel.catalogue import Catalogue
from easel.prices import microdollars

CATALOGUE = Catalogue.load()
CAT = "a cat"


class Call(NamedTuple):
    """A call, what it is held at, what upstream says it used, and what that costs."""

    model: str
    asked: dict[str, Any]
    pictures: int
    hold: int
    usage: dict[str, Any]
    charge: int
    prompt: str = CAT
    svg_usage: dict[str, Any] | None = None


def used(text: int, image: int, out: int, **details: Any) -> dict[str, Any]:
    """Return OpenAI's usage object."""
    said = {"text_tokens": text, "image_tokens": image, **details}
    return {"input_tokens": text + image, "input_tokens_details": said, "output_tokens": out}


SQUARE = {"size": "1024x1024"}
CALLS = {
    "2.5, medium": Call(
        "gpt-image-2.5-flare",
        {**SQUARE, "quality": "medium"},
        0,
        11 * 5 + 439 * 30,  # 55 + 13,170
        used(9, 0, 439),
        9 * 5 + 439 * 30,  # 45 + 13,170
    ),
    "2, medium: twice the base, four times the price": Call(
        "gpt-image-2",
        {**SQUARE, "quality": "medium"},
        0,
        11 * 5 + 1756 * 30,  # 55 + 52,680
        used(9, 0, 1756),
        9 * 5 + 1756 * 30,
    ),
    "n: each image bills the input again": Call(
        "gpt-image-2.5-sunburst",
        {**SQUARE, "quality": "low", "n": 3},
        0,
        3 * (11 * 5 + 196 * 30),  # 3 * (55 + 5,880)
        used(3 * 9, 0, 3 * 196),
        27 * 5 + 588 * 30,  # 135 + 17,640
    ),
    # 96 * 1024/1536 = 64; 96 * 64 * (2,000,000 + 1,572,864) / 4,000,000 = 5487.9
    "portrait, max": Call(
        "gpt-image-2.5-flare",
        {"size": "1024x1536", "quality": "max"},
        0,
        11 * 5 + 5488 * 30,
        used(9, 0, 5488),
        9 * 5 + 5488 * 30,  # 45 + 164,640
    ),
    # 16 * 1008/1536 = 10.5, rounded to the even 10; 160 * (2,000,000 + 1,548,288) / 4,000,000
    "half a step rounds to even": Call(
        "gpt-image-2",
        {"size": "1536x1008", "quality": "low"},
        0,
        11 * 5 + 142 * 30,  # 141.9 -> 142
        used(9, 0, 142),
        9 * 5 + 142 * 30,
    ),
    "an edit of two pictures with a mask, held at 1536 tokens each": Call(
        "gpt-image-2.5-flare",
        {**SQUARE, "quality": "high"},
        3,
        11 * 5 + 3 * 1536 * 8 + 1756 * 30,  # 55 + 36,864 + 52,680
        used(9, 2 * 1024, 1756),
        9 * 5 + 2048 * 8 + 1756 * 30,  # 45 + 16,384 + 52,680
    ),
    "cached text at a quarter, rounded up once": Call(
        "gpt-image-2",
        {**SQUARE, "quality": "low"},
        0,
        11 * 5 + 196 * 30,
        used(11, 0, 196, cached_tokens=9),
        2 * 5 + 12 + 196 * 30,  # 2 * 5 + 9 * 1.25 = 21.25 -> 22
    ),
    "cached text and cached image, each its own price": Call(
        "gpt-image-2",
        {**SQUARE, "quality": "low"},
        1,
        11 * 5 + 1536 * 8 + 196 * 30,
        used(
            *(11, 1000, 196),
            cached_tokens=408,
            cached_tokens_details={"text_tokens": 8, "image_tokens": 400},
        ),
        3 * 5 + 10 + 600 * 8 + 400 * 2 + 196 * 30,  # 15 + 8 * 1.25 + 4,800 + 800 + 5,880
    ),
    "three partial images of 100 tokens": Call(
        "gpt-image-2.5-flare",
        {**SQUARE, "quality": "medium", "partial_images": 3},
        0,
        11 * 5 + (439 + 300) * 30,
        used(9, 0, 439 + 200),  # two came
        9 * 5 + 639 * 30,
    ),
    "2.6, medium: no table is published, so held as high": Call(
        "gpt-image-2.6-flare",
        {**SQUARE, "quality": "medium"},
        0,
        11 * 5 + 1756 * 30,  # high's base of 48
        used(9, 0, 1500),  # as measured, 3.4 times 2.5's
        9 * 5 + 1500 * 30,
    ),
    "an SVG: a picture, and 32,768 tokens each way to write it": Call(
        "gpt-image-2.6-flare",
        {**SQUARE, "quality": "high", "output_format": "svg"},
        0,
        11 * 5 + 1756 * 30 + 32_768 * (5 + 30),  # 55 + 52,680 + 1,146,880
        used(9, 0, 1756),
        9 * 5 + 1756 * 30 + 1200 * 5 + 5000 * 30,
        svg_usage={"input_tokens": 1200, "output_tokens": 5000},
    ),
    "1.5: a table, and text out at a price of its own": Call(
        "gpt-image-1.5",
        {"size": "1536x1024", "quality": "high"},
        1,
        11 * 5 + 8192 * 8 + 6208 * 32 + 1024 * 10,
        used(9, 323, 6208 + 90) | {"output_tokens_details": {"text_tokens": 90}},
        9 * 5 + 323 * 8 + 6208 * 32 + 90 * 10,
    ),
    "1-mini: 0.20 for cached text": Call(
        "gpt-image-1-mini",
        {**SQUARE, "quality": "low"},
        0,
        11 * 2 + 272 * 8,
        used(11, 0, 272, cached_tokens=8),
        3 * 2 + 2 + 272 * 8,  # 3 * 2 + 8 * 0.20 = 7.6 -> 8
    ),
    # 96 short of the square of 8,294,400 pixels, 2880 an edge: 9216 * 10,294,400 / 4,000,000
    "auto: at the dearest quality of the largest square": Call(
        "gpt-image-2.5-flare",
        {},
        0,
        11 * 5 + 23_719 * 30,  # 23,718.3
        used(9, 0, 439),
        9 * 5 + 439 * 30,
    ),
    "a prompt of two bytes a letter": Call(
        "gpt-image-2.5-flare",
        {**SQUARE, "quality": "medium"},
        0,
        (2 * 6 + 6) * 5 + 439 * 30,
        used(12, 0, 439),
        12 * 5 + 439 * 30,
        prompt="кошкам",
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_hold_is_as_it_is_by_hand(call: Call) -> None:
    model = CATALOGUE.model(call.model)
    operation = "edit" if call.pictures else "generate"
    asked = model.check(operation, call.asked)
    assert model.ceiling(operation, asked, call.prompt, call.pictures) == call.hold


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_charge_is_as_it_is_by_hand(call: Call) -> None:
    assert CATALOGUE.model(call.model).charge(call.usage, call.svg_usage) == call.charge
    assert call.charge <= call.hold


@pytest.mark.parametrize(
    ("cost", "micro_dollars"),
    [("0", 0), ("0.25", 1), ("1", 1), ("1.000001", 2), ("13235", 13_235)],
)
def test_a_cost_is_rounded_up_to_a_whole_micro_dollar(cost: str, micro_dollars: int) -> None:
    assert microdollars(Decimal(cost)) == micro_dollars
