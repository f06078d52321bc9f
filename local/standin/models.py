"""What each model takes and costs, in November 2026: sizes, qualities, output tokens, prices.

Written apart from Easel's catalogue, so that an error in one of them shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil

from local.standin.refusals import Refusal, invalid_value

Size = tuple[int, int]

FIXED_SIZES: tuple[Size, ...] = ((1024, 1024), (1536, 1024), (1024, 1536))
EDGE_MULTIPLE, MAX_EDGE, MAX_ASPECT = 16, 3840, 3
MIN_PIXELS, MAX_PIXELS = 655_360, 8_294_400
PARTIAL_TOKENS = 100
"""Output tokens of one partial image."""
MAX_REFERENCE_TOKENS = 1536
"""Input tokens of a reference image, at most (measured by users)."""


@dataclass(frozen=True)
class Family:
    """Models that take and cost the same. Prices are hundredths of a micro-dollar per token."""

    qualities: tuple[str, ...]
    grid: Mapping[str, int]
    """Quality to the base of the token formula; empty: ``FIXED_TOKENS``."""
    text_price: int = 500
    image_price: int = 800
    output_price: int = 3000
    transparent: bool = False
    markup: bool = False
    complexity: bool = False
    preview_formats: bool = False
    """Whether gif and svg are offered."""
    fidelities: tuple[str, ...] = ()
    dearer: Mapping[str, Fraction] | None = None
    """Quality to a factor on the formula's tokens."""

    def output_tokens(self, quality: str, size: Size) -> int:
        """Return the output tokens of one image: OpenAI's calculator's formula, or its table."""
        width, height = size
        if not self.grid:
            return FIXED_TOKENS[quality][(width > height) * 2 + (height > width)]
        base = self.grid[quality]
        shorter = round(Fraction(base * min(size), max(size)))
        tokens = Fraction(base * shorter * (2_000_000 + width * height), 4_000_000)
        return ceil(tokens * (self.dearer or {}).get(quality, Fraction(1)))

    def micro_dollars(self, text_tokens: int, image_tokens: int, output_tokens: int) -> int:
        """Return the price, rounded up."""
        hundredths = (
            text_tokens * self.text_price
            + image_tokens * self.image_price
            + output_tokens * self.output_price
        )
        return -(-hundredths // 100)


BASIC = ("low", "medium", "high")
EXTENDED = (*BASIC, "xhigh", "max")
FIXED_TOKENS = {"low": (272, 408, 400), "medium": (1056, 1584, 1568), "high": (4160, 6240, 6208)}
"""Output tokens of gpt-image-1.5 and its kin: square, portrait, landscape."""
GRID_2 = {"low": 16, "medium": 48, "high": 96}
GRID_25 = {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96}

_ONE_MINI = Family(BASIC, {}, 200, 250, 800, transparent=True, fidelities=("low",))
_ONE_FIVE = Family(BASIC, {}, 500, 800, 3200, transparent=True, fidelities=("low", "high"))
_TWO = Family(BASIC, GRID_2)
_TWO_FIVE = Family(EXTENDED, GRID_25, transparent=True, markup=True)
_TWO_SIX = Family(
    EXTENDED,
    GRID_25,
    transparent=True,
    markup=True,
    complexity=True,
    preview_formats=True,
    # Measured at three to four times 2.5's; OpenAI publishes no table.
    dearer={"low": Fraction(7, 2), "medium": Fraction(7, 2)},
)

_SHUTDOWN = date(2026, 12, 1)
MODELS: dict[str, tuple[Family, date | None]] = {
    "gpt-image-1-mini": (_ONE_MINI, _SHUTDOWN),
    "gpt-image-1.5": (_ONE_FIVE, _SHUTDOWN),
    "chatgpt-image-latest": (_ONE_FIVE, _SHUTDOWN),
    "gpt-image-2": (_TWO, None),
    "gpt-image-2-2026-04-21": (_TWO, None),
    "gpt-image-2.5-sunburst": (_TWO_FIVE, None),
    "gpt-image-2.5-sunburst-2026-09-08": (_TWO_FIVE, None),
    "gpt-image-2.5-flare": (_TWO_FIVE, None),
    "gpt-image-2.5-flare-2026-09-08": (_TWO_FIVE, None),
    "gpt-image-2.6-sunburst": (_TWO_SIX, None),
    "gpt-image-2.6-flare": (_TWO_SIX, None),
}
DEFAULT_MODEL = "gpt-image-2"


def live(today: date) -> dict[str, tuple[Family, date | None]]:
    """Return the models that answer on that day, each with its shutdown date."""
    return {name: entry for name, entry in MODELS.items() if not entry[1] or today < entry[1]}


def find(name: str, today: date) -> Family:
    """Return the model's family. Raises Refusal 404 for a retired or unknown name."""
    if name not in live(today):
        raise Refusal(
            f"The model '{name}' does not exist or you do not have access to it.",
            code="model_not_found",
            status=404,
        )
    return MODELS[name][0]


def parse_size(family: Family, text: str) -> Size:
    """Return width and height. Raises Refusal for what the family cannot render."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    for holds, rule in (
        (found, "Expected WIDTHxHEIGHT or auto"),
        (family.grid or size in FIXED_SIZES, "Only 1024x1024, 1536x1024, 1024x1536 and auto"),
        (not size[0] % EDGE_MULTIPLE and not size[1] % EDGE_MULTIPLE, "Both divide by 16"),
        (max(size) <= MAX_EDGE, "No edge above 3840"),
        (max(size) <= MAX_ASPECT * min(size), "Aspect ratio from 1:3 to 3:1"),
        (MIN_PIXELS <= size[0] * size[1] <= MAX_PIXELS, "From 655360 to 8294400 pixels"),
    ):
        if not holds:
            raise invalid_value("size", f"Invalid size '{text[:40]}'. {rule}.")
    return size
