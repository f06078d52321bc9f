"""Which sizes a model renders, and how the others are reached. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Self

from easel.errors import InvalidRequest

type Size = tuple[int, int]
"""Width and height in pixels."""

MIN_EDGE = 16
"""Pixels; nothing smaller is a picture worth buying."""

_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Sizes:
    """A fixed list, or every multiple within limits; either within the limits of what is asked.

    Source of the flexible limits: OpenAI's image generation guide (edges and pixels) and
    openai-python's ``ImageGenerateParams.size`` (multiples and aspect).
    """

    fixed: tuple[Size, ...]
    multiple: int
    max_edge: int
    min_pixels: int
    max_pixels: int
    max_aspect: int

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Read a catalogue's ``sizes`` table."""
        return cls(
            fixed=tuple(pixels(size) for size in data.get("fixed", ())),
            multiple=data.get("multiple", 1),
            max_edge=data["max_edge"],
            min_pixels=data.get("min_pixels", 1),
            max_pixels=data["max_pixels"],
            max_aspect=data["max_aspect"],
        )

    def fit(self, size: str) -> tuple[str, Size | None]:
        """Return the size to render, and the exact one to resample to if that is another.

        ``auto`` is left to the model. What cannot be rendered as asked is rendered at the nearest
        size of the nearest aspect. Raises InvalidRequest for what is no size, is too small, too
        large or too long.
        """
        if size == "auto":
            return size, None
        asked = self._within_limits(size)
        if self.renders(asked):
            return size, None
        width, height = min(self._near(asked), key=lambda near: _distance(near, asked))
        return f"{width}x{height}", asked

    def renders(self, size: Size) -> bool:
        """Tell whether the model takes this very size."""
        if self.fixed:
            return size in self.fixed
        aligned = not any(edge % self.multiple for edge in size)
        return aligned and size[0] * size[1] >= self.min_pixels and not self._exceeds(size)

    def _exceeds(self, size: Size) -> bool:
        return (
            max(size) > self.max_edge
            or size[0] * size[1] > self.max_pixels
            or max(size) > self.max_aspect * min(size)
        )

    def _within_limits(self, size: str) -> Size:
        if not _SIZE.fullmatch(size):
            raise self._refusal(size)
        asked = pixels(size)
        if min(asked) < MIN_EDGE or self._exceeds(asked):
            raise self._refusal(size)
        return asked

    def _refusal(self, size: str) -> InvalidRequest:
        return InvalidRequest(
            f"Invalid size {size[:40]!r}: expected 'auto' or WIDTHxHEIGHT in pixels, such as "
            f"'1024x1024', with edges from {MIN_EDGE} to {self.max_edge}, at most "
            f"{self.max_pixels} pixels and an aspect between 1:{self.max_aspect} and "
            f"{self.max_aspect}:1.",
            param="size",
            quotes=repr(size[:40]),
        )

    def _near(self, asked: Size) -> Iterable[Size]:
        """Yield renderable sizes about the asked one, enlarged to the fewest pixels allowed."""
        if self.fixed:
            return self.fixed
        width, height = asked
        scale = max(1.0, sqrt(self.min_pixels / (width * height)))
        return (
            near
            for across in self._multiples_about(width * scale)
            for down in self._multiples_about(height * scale)
            if self.renders(near := (across, down))
        )

    def _multiples_about(self, edge: float) -> Iterable[int]:
        floor = int(edge // self.multiple)
        return (step * self.multiple for step in range(max(1, floor - 2), floor + 4))


def pixels(size: str) -> Size:
    """Return width and height of a WIDTHxHEIGHT text."""
    width, height = size.split("x")
    return int(width), int(height)


def _distance(near: Size, asked: Size) -> tuple[float, bool, int]:
    """Order by aspect, then by whether pixels must be invented, then by area."""
    (width, height), (asked_width, asked_height) = near, asked
    aspect = abs(log(width * asked_height / (height * asked_width)))
    upsampled = width < asked_width or height < asked_height
    return aspect, upsampled, abs(width * height - asked_width * asked_height)
