"""A few hundred hostile inputs of all kinds, the same every time; ``make fuzz`` draws 50,000."""

from __future__ import annotations

import pytest

from tests.fuzz.drawn import draw
from tests.fuzz.parts import PARTS

INPUTS = 400


@pytest.mark.parametrize("name", PARTS)
def test_whatever_is_drawn_is_answered(name: str) -> None:
    share = max(5, INPUTS * PARTS[name][2] // 1000)
    assert draw(name, share, same=True).inputs >= min(share, 5)
