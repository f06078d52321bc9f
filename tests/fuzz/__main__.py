"""``make fuzz``: every part of the hostile input, then the API as its own document describes it."""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from easel import telemetry
from tests.fuzz import described
from tests.fuzz.drawn import draw
from tests.fuzz.parts import PARTS

MOST_CPU_SECONDS = 1.0
MOST_MEGABYTES = 1769
"""The template's MemorySize of the functions that read pictures."""


def main(inputs: int) -> int:
    """Draw so many inputs; return 1 where one was dearer than a function can afford."""
    print(f"{'part':28}{'inputs':>8}{'worst CPU s':>13}{'seconds':>9}{'most MB':>9}")
    telemetry.logger.setLevel("CRITICAL")
    total, dear = 0, False
    parts = {name: inputs * share // 1000 for name, (_, _, share) in PARTS.items()}
    for name, share in {**parts, described.NAME: inputs // 10}.items():
        began = time.monotonic()
        cost = described.draw(share) if name == described.NAME else draw(name, share, same=False)
        seconds = time.monotonic() - began
        print(
            f"{name:28}{cost.inputs:8}{cost.worst:13.2f}{seconds:9.0f}{cost.megabytes:9}",
            flush=True,
        )
        total += cost.inputs
        dear = dear or cost.worst > MOST_CPU_SECONDS or cost.megabytes > MOST_MEGABYTES
    print(f"{total} inputs; no 500, no exception, every answer in OpenAI's shape")
    return int(dear)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
