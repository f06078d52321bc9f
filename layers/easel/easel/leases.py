"""A lease, kept for as long as its worker is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from easel import telemetry
from easel.jobs import LeaseLost


@contextmanager
def renewed(renew: Callable[[], None], every: float, job_id: str) -> Iterator[None]:
    """Renew the job's lease while the block runs, ``every`` so many seconds.

    ``renew`` may raise LeaseLost, which ends it; whatever else it raises is logged, and tried again
    sooner.
    """
    done = threading.Event()

    def keep() -> None:
        pause = every
        while not done.wait(pause):
            try:
                renew()
            except LeaseLost:
                return
            # Whatever it is, giving up would hand a job that is being paid for to another.
            except Exception as error:
                telemetry.unexpected(error, job=job_id)
                pause = every / 10
            else:
                pause = every

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
