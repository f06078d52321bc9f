"""``make chaos``: every fault of the table, at least 2,000 jobs; exit 1 if anything is wrong."""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import signal
import sys
import time

from tests.stack.chaos.books import dead_letters, judge, table
from tests.stack.chaos.cases import ALL, Case
from tests.stack.chaos.chaos import chaos
from tests.stack.chaos.trials import look_again

JOBS = 2_000
SETTLING_SECONDS = 45
"""Longer than any message is late: what it could do wrong is done when the books are read."""


def main() -> None:
    """Print the table by fault, and what is wrong."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="at least so many")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default="", help="faults whose names contain this")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began, cases = time.monotonic(), drawn(options.jobs, options.seed, options.only)
    say(f"{len(cases)} jobs, seed {options.seed}")
    with chaos(options.seed) as running:
        trials = running.run(cases, say)
        time.sleep(SETTLING_SECONDS)
        for trial in trials:
            look_again(running, trial)
        verdicts = judge(running.running, trials)
        dead = [f"dead letters: {body}" for body in dead_letters(running.running)]
    verdicts.sort(key=lambda one: ORDER[one.trial.case.fault])
    say(table(verdicts))
    # On a busy machine another process may pass the point where one was to be struck.
    wrong = [str(one) for one in verdicts if one.harm or (one.trial.hit and one.faults)]
    struck = {one.trial.case.fault for one in verdicts if one.trial.hit}
    wrong += [
        f"{fault}: never struck" for fault in ORDER if options.only in fault and fault not in struck
    ]
    say("\n".join(wrong + dead))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    say(f"{time.monotonic() - began:.0f} s, CPU {used.ru_utime + used.ru_stime:.0f} s beside ours")
    sys.exit(bool(wrong or dead))


ORDER = {case.fault: place for place, case in enumerate(ALL)}


def drawn(jobs: int, seed: int, only: str) -> list[Case]:
    """Return the cases in the order they start, each as often as the table says, or oftener."""
    meant = [case for case in ALL if only in case.fault]
    share = jobs / sum(case.jobs for case in meant)
    cases = [case for case in meant for _ in range(math.ceil(case.jobs * share))]
    random.Random(seed).shuffle(cases)
    return sorted(cases, key=lambda case: not case.slow)


def say(what: str) -> None:
    """Print at once."""
    print(what, flush=True)  # noqa: T201  # it is a command


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(130)  # callers that still wait would be waited for
