"""How long jobs take, as this process has seen, and so when a waiter looks at one again. Pure.

    opened ─── early: no recent one was done so soon ───┬─── due: looked at closely ───> done
           after half of the time that has passed,      │  after 5 % of what has passed,
           at most 3 s, and never beyond this line ─────┘  at least 0.25 s, at most 0.75 s

The line is where the fastest of this process's last jobs of the same kind was done: of equal
chances one in 17 is faster than the 16 before it, however latencies are spread. That one may be
seen up to 3 s late, all others in those 5 %. Where nothing is learnt all are looked at closely.

A look costs an eight-millionth of a dollar per 4 KB, and a second of a waiting door as much as some
180 looks (``make cost``): what is worth saving is the time after a picture is done, then looks.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from easel.jobs import Job

SHORTEST_SECONDS = 0.25
DUE_SHARE, DUE_SECONDS = 0.05, 0.75
EARLY_SHARE, EARLY_SECONDS = 0.5, 3.0
"""Of the time that has passed, and at most: the next look comes so much later."""
_RECENT = 16


class _Kind(NamedTuple):
    """What is alike enough to take alike long; the catalogue bounds how many there are."""

    model: str
    operation: str
    quality: str
    images: int


class Latencies:
    """What the waits of one process have taught it. Seconds, from a job's first lease."""

    def __init__(self) -> None:
        self._ended: dict[_Kind, deque[float]] = {}
        self._in_vain: dict[_Kind, float] = {}

    def learn(self, job: Job, now: float) -> None:
        """Learn from a job that was waited for until now: when it ended, or that it has not.

        A failure says nothing of how long a picture takes.
        """
        if job.started_at is None:
            return
        kind = _kind(job)
        if job.status == "succeeded" and job.finished_at is not None:
            # Its times are whole seconds: by then it was done, and by now.
            seconds = min(now, job.finished_at + 1) - job.started_at
            self._ended.setdefault(kind, deque(maxlen=_RECENT)).append(seconds)
        elif job.open:
            # A door may never see the end of what outlives its patience.
            self._in_vain[kind] = max(now - job.started_at, self._in_vain.get(kind, 0))

    def pause(self, job: Job, now: float) -> float:
        """Return in how many seconds the open job should be looked at again."""
        begun = job.created_at if job.started_at is None else job.started_at
        passed = max(0, now - begun)
        early = self._earliest(_kind(job)) - passed
        given_back = job.status == "queued" and job.started_at is not None
        if given_back:  # it is nobody's before it is due
            early = max(early, job.due_at - now)
        if early > 0:
            pause = min(EARLY_SHARE * passed, EARLY_SECONDS, early)
        else:
            pause = min(DUE_SHARE * passed, DUE_SECONDS)
        pause = max(pause, SHORTEST_SECONDS)
        lapses = job.due_at - now
        return min(pause, lapses) if lapses > 0 else pause

    def _earliest(self, kind: _Kind) -> float:
        """Return how long the fastest recent one took, at least; 0 where nothing is known."""
        ended = self._ended.get(kind)
        return min(ended) if ended else self._in_vain.get(kind, 0)


def _kind(job: Job) -> _Kind:
    request = job.request
    quality = str(request.parameters.get("quality"))
    return _Kind(request.model, request.operation, quality, request.count)
