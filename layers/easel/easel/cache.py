"""The cache: a request that was made not long ago is answered from the ledger, unpaid. Pure.

It is off where nobody says how old an answer may be: asking twice for a cat means two cats. A key
stands outside of it, both ways: a job with one neither is answered by others nor answers them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from easel.jobs import Job

_SECONDS = re.compile(r"[0-9]{1,18}", re.ASCII)


class CacheControl(NamedTuple):
    """What a call says of the cache: the request directives of RFC 9111, 5.2.1, that it heeds."""

    max_age: int | None = None
    """How old the answer may be, in seconds; None: as old as the tenant or the deployment says."""
    no_cache: bool = False
    """Whether the call is not to be answered by another's job."""
    no_store: bool = False
    """Whether its own job is not to answer others either."""

    @classmethod
    def read(cls, header: str) -> Self:
        """Return what the header says. A ``max-age`` that is no number lets nothing be old."""
        said = list(_directives(header))
        ages = [_seconds(value) for name, value in said if name == "max-age"]
        names = {name for name, _ in said}
        return cls(min(ages, default=None), "no-cache" in names, "no-store" in names)

    def ttl(self, unasked: int, longest: int) -> int:
        """Return how old the call's answer may be, in seconds; 0: it is not to be cached.

        ``unasked`` is for calls that do not say it; nothing lives longer than ``longest``.
        """
        if self.no_cache or self.no_store:
            return 0
        return min(unasked if self.max_age is None else self.max_age, longest)


def answering(jobs: Sequence[Job], now: float, ttl: int) -> Job | None:
    """Return the job that a call's answer comes from, if it may be ``ttl`` seconds old.

    The newest that is done; else the oldest that is at work.
    """
    if not ttl:
        return None
    done = newest(jobs)
    if done and (done.finished_at or 0) >= now - ttl:
        return done
    return next((job for job in jobs if job.open and not job.no_store), None)


def newest(jobs: Iterable[Job]) -> Job | None:
    """Return the job that was done last, of those that may answer others' calls.

    Of those that were done in one second it is the one that was opened last.
    """
    done = (job for job in jobs if not job.no_store and _whole(job))
    return max(done, key=lambda job: (job.finished_at or 0, job.id), default=None)


def _whole(job: Job) -> bool:
    """Whether the job has made all that was asked of it."""
    made = job.answer.images if job.answer else ()
    return job.status == "succeeded" and len(made) >= job.request.count


def _directives(header: str) -> Iterator[tuple[str, str]]:
    for one in header.lower().split(","):
        name, _, value = one.partition("=")
        yield name.strip(), value.strip(' \t"')


def _seconds(text: str) -> int:
    return int(text) if _SECONDS.fullmatch(text) else 0
