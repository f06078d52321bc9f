"""Drawing a part: so many inputs, and what the worst of them cost."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.parts import PARTS

_IN_A_MEGABYTE = 2**20 if sys.platform == "darwin" else 2**10
"""What ``ru_maxrss`` counts in."""
FORGETS = Path("/proc/self/clear_refs")
"""Linux's own; ``ru_maxrss`` keeps the highest there ever was."""
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's own: else what the drawing has freed is taken again, and an input seems to take none."""


@dataclass
class Cost:
    """Inputs, the CPU seconds of the dearest, and by how many MB one made the process grow.

    The drawing itself takes much memory, so that the process' own peak would tell of that.
    """

    inputs: int = 0
    worst: float = 0.0
    megabytes: int = 0

    def of(self, check: Callable[..., object], *drawn: object) -> None:
        """Check what was drawn, and note what that cost."""
        gc.disable()  # what there is to collect is the drawing's
        _forget_peak()
        began, peak = time.process_time(), _peak()
        check(*drawn)
        self.worst = max(self.worst, time.process_time() - began)
        gc.enable()
        self.inputs += 1
        self.megabytes = max(self.megabytes, _peak() - peak)


def _forget_peak() -> None:
    """Let the peak be what the process has now, where the system can."""
    if _TRIM:
        _TRIM(0)
    if FORGETS.exists():
        FORGETS.write_text("5")


def _peak() -> int:
    if FORGETS.exists():
        said = FORGETS.with_name("status").read_text()
        return int(said.partition("VmHWM:")[2].split()[0]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _IN_A_MEGABYTE


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
        cost.of(check, *drawn)

    each()
    return cost
