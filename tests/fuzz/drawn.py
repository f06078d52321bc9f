"""Drawing a part: so many inputs, and what the worst of them cost."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.parts import PARTS


@dataclass
class Cost:
    """Inputs, the CPU seconds of the dearest, and the most memory the process has had (MB)."""

    inputs: int = 0
    worst: float = 0.0

    @property
    def megabytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def draw(name: str, inputs: int, *, same: bool) -> Cost:
    """Draw a part's inputs, ``same`` ones every time. Raises what a promise that breaks raises."""
    check, strategies, _ = PARTS[name]
    cost = Cost()

    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        derandomize=same,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.tuples(*strategies))
    def each(drawn: tuple[object, ...]) -> None:
        began = time.process_time()
        check(*drawn)
        cost.inputs += 1
        cost.worst = max(cost.worst, time.process_time() - began)

    each()
    return cost
