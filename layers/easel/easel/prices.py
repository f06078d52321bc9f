"""What a picture costs: tokens, and micro-dollars per token. Pure.

A price in US dollars per million tokens is the same number in micro-dollars per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from math import isqrt
from typing import Any, Self

from easel.sizes import Size, Sizes

PROMPT_OVERHEAD_TOKENS = 6
"""Text tokens billed beside the prompt's own."""
PARTIAL_IMAGE_TOKENS = 100
"""Output tokens each partial image adds."""


_MOST_TOKENS = 10**9
"""More than any call can use: a number beyond it is no count of tokens."""


def microdollars(cost: Decimal) -> int:
    """Round a cost up to a whole micro-dollar."""
    return int(cost.to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True)
class OutputTokens:
    """Tokens of one output image: by formula from a base, or from a table of three shapes.

    The formula is that of OpenAI's price calculator, the table that of its image generation
    guide: square, portrait, landscape.
    """

    qualities: Mapping[str, int | Sequence[int]]
    sizes: Sizes

    def of(self, quality: str, size: Size) -> int:
        """Return the tokens of one image; of the dearest quality, if that one is not known."""
        known = [self.qualities[quality]] if quality in self.qualities else self.qualities.values()
        return max(_tokens(rate, *size) for rate in known)

    def at_most(self, quality: str, size: Size | None) -> int:
        """Return the most one image can take; no size means any."""
        return max(self.of(quality, each) for each in ([size] if size else self._dearest_sizes()))

    def _dearest_sizes(self) -> Sequence[Size]:
        """By the formula nothing is dearer than the square of the most pixels."""
        edge = isqrt(self.sizes.max_pixels - 1) + 1
        return self.sizes.fixed or [(edge, edge)]


def _tokens(rate: int | Sequence[int], width: int, height: int) -> int:
    if not isinstance(rate, int):
        square, portrait, landscape = rate
        return square if width == height else portrait if width < height else landscape
    short = round(rate * min(width, height) / max(width, height))
    return -(-rate * short * (2_000_000 + width * height) // 4_000_000)


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars per token."""

    text_in: Decimal
    cached_text: Decimal
    image_in: Decimal
    cached_image: Decimal
    image_out: Decimal
    text_out: Decimal

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Self:
        """Read a catalogue's ``prices`` table; text out costs as image out unless it says so."""
        prices = {"text_out": data["image_out"], **data}
        return cls(**{name: Decimal(price) for name, price in prices.items()})

    def charge(self, usage: Mapping[str, Any]) -> Decimal:
        """Return what OpenAI's usage object costs, in micro-dollars, not rounded.

        A token not said to be text is billed as image; cached ones whose kind is not said are
        taken for text first, which saves less. Raises ValueError if a total is missing.
        """
        text_in, image_in = _split(usage, "input")
        text_out, image_out = _split(usage, "output")
        cached_text, cached_image = _cached(usage, text_in, image_in)
        return (
            (text_in - cached_text) * self.text_in
            + cached_text * self.cached_text
            + (image_in - cached_image) * self.image_in
            + cached_image * self.cached_image
            + text_out * self.text_out
            + image_out * self.image_out
        )


def _split(usage: Mapping[str, Any], side: str) -> tuple[int, int]:
    details = usage.get(f"{side}_tokens_details") or {}
    text = details.get("text_tokens") or 0
    image = details.get("image_tokens") or 0
    if not 0 <= text <= _MOST_TOKENS or not 0 <= image <= _MOST_TOKENS:
        raise ValueError(f"{side} tokens that cannot be have no price")
    return text, max(_total(usage, side) - text, image)


def _total(usage: Mapping[str, Any], side: str) -> int:
    total = usage.get(f"{side}_tokens")
    if not isinstance(total, int) or not 0 <= total <= _MOST_TOKENS:
        raise ValueError(f"usage without {side}_tokens that can be has no price")
    return total


def _cached(usage: Mapping[str, Any], text: int, image: int) -> tuple[int, int]:
    details = usage.get("input_tokens_details") or {}
    kinds = details.get("cached_tokens_details") or {}
    unsaid = 0 if kinds else details.get("cached_tokens") or 0
    cached_text = min(text, kinds.get("text_tokens") or unsaid)
    unsaid -= min(unsaid, cached_text)
    return cached_text, min(image, kinds.get("image_tokens") or unsaid)


@dataclass(frozen=True, slots=True)
class Authoring:
    """What writing an SVG costs beside its reference image, in micro-dollars per token."""

    tokens: int
    text_in: Decimal
    text_out: Decimal

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a catalogue's ``authoring`` table."""
        return cls(data["tokens"], Decimal(data["text_in"]), Decimal(data["text_out"]))

    def charge(self, svg_usage: Mapping[str, Any]) -> Decimal:
        """Return what OpenAI's svg_usage object costs, in micro-dollars, not rounded.

        Raises ValueError if a total is missing.
        """
        text_in, text_out = _total(svg_usage, "input"), _total(svg_usage, "output")
        return text_in * self.text_in + text_out * self.text_out

    def at_most(self) -> Decimal:
        """Return the most that writing one SVG is held to cost."""
        return self.tokens * (self.text_in + self.text_out)
