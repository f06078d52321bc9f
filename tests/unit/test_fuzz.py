"""A few hundred hostile inputs of all kinds, the same every time; ``make fuzz`` draws 50,000."""

from __future__ import annotations

import pytest

from tests.fuzz import drawn
from tests.fuzz.drawn import Cost, draw
from tests.fuzz.parts import PARTS

INPUTS = 400


@pytest.mark.parametrize("name", PARTS)
def test_whatever_is_drawn_is_answered(name: str) -> None:
    share = max(5, INPUTS * PARTS[name][2] // 1000)
    assert draw(name, share, same=True).inputs >= min(share, 5)


@pytest.mark.skipif(not drawn.FORGETS.exists(), reason="only Linux forgets a peak")
def test_memory_that_the_drawing_has_freed_does_not_hide_what_an_input_takes() -> None:
    taken = [bytearray(100_000) for _ in range(2_000)]
    last = taken.pop()  # what lies below it stays the process's, though it is free
    taken.clear()
    cost = Cost()
    cost.of(lambda: [bytearray(100_000) for _ in range(1_000)])
    assert cost.megabytes > 80
    assert last
