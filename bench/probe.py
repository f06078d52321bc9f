"""A measured process: imports a module, then calls its handler on each line of JSON it is given.

It says of every call what CPU it took, in seconds, user and system, of all threads, the event's
and the answer's JSON included as in Lambda's own runtime client; how long it took; how often it
asked AWS, and the CPU of that; and its memory, the peak so far and what is left of it, in bytes.
Where the environment has WARM_UPS, the calls after so many are profiled by their CPU.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import os
import pstats
import resource
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from botocore.client import BaseClient


def context() -> SimpleNamespace:
    """Return what Lambda hands to a handler."""
    return SimpleNamespace(
        aws_request_id=str(uuid.uuid4()), get_remaining_time_in_millis=lambda: 900_000
    )


def cpu() -> float:
    """Return the CPU seconds this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory(kind: str = "VmHWM") -> int:
    """Return the peak of this process's resident memory, or what it is now (VmRSS), in bytes."""
    # Linux lets a child begin with its parent's ru_maxrss; this one starts anew.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition(f"{kind}:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Asked:
    """What botocore's clients ask of AWS, and the CPU seconds that takes."""

    def __init__(self) -> None:
        self.times, self.cpu = 0, 0.0
        clients: Any = BaseClient
        ask = clients._make_api_call

        def counted(client: Any, operation: str, given: Any) -> Any:
            self.times += 1
            before = cpu()
            try:
                return ask(client, operation, given)
            finally:
                self.cpu += cpu() - before

        clients._make_api_call = counted


def main(module: str, replies: TextIO) -> None:
    """Serve standard input until it ends."""
    asked = Asked()
    before = cpu()
    handler = importlib.import_module(module).handler
    _say(replies, cpu=cpu() - before, memory=memory())
    profile, unprofiled = cProfile.Profile(time.process_time), os.environ.get("WARM_UPS")
    for count, line in enumerate(sys.stdin):
        asked.times, asked.cpu = 0, 0.0
        began, before = time.monotonic(), cpu()
        if unprofiled and count >= int(unprofiled):
            profile.enable()
        answer: dict[str, Any] = handler(json.loads(line), context())
        json.dumps(answer)
        profile.disable()
        spent = {"cpu": cpu() - before, "wall": time.monotonic() - began}
        spent |= {"asked": asked.times, "asking": asked.cpu}
        spent |= {"memory": memory(), "resident": memory("VmRSS")}
        # Cut, so that passing it on does not raise the peak.
        short = {k: v[:4000] if isinstance(v, str) else v for k, v in answer.items()}
        _say(replies, **spent, answer=short)
    if unprofiled:
        for order in ("cumulative", "tottime"):
            pstats.Stats(profile, stream=replies).strip_dirs().sort_stats(order).print_stats(10)


def _say(replies: TextIO, **fields: Any) -> None:
    print(json.dumps(fields), file=replies, flush=True)


if __name__ == "__main__":
    # Functions log to standard output, which goes where their errors go.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.argv[1], replies)
