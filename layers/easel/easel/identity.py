"""Identity: whether a call is a job that there is already, or a new purchase. Pure.

    1  its Idempotency-Key was used before        that job, whatever became of it
    2  it is counted as a retry                   a recent job of the same request
    3  pictures of the same request lie uncalled  they are handed over
    4  it counts no retries                       it joins an old open job of the same request
    5  it may be answered by the cache            a job that is done, or at work (``cache``)
    6  otherwise                                  a new job

Equal calls sent side by side want a picture each, and so do their retries: what a request was last
seen to be is a list of jobs, each with how often callers have come back to it (``served``). A
retry meets a job whose caller was sent away, else the oldest that no retry of its count has met.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from easel.cache import CacheControl, answering, newest
from easel.jobs import Job

CALLED_SECONDS = 10
"""Who waits for a job has its images so long after its end, at most."""
MOST_SEEN = 20
"""Jobs of one request that are remembered; a retry after as many others meets one of these."""


class Seen(NamedTuple):
    """A job that a key or a request was seen to be, and the highest retry count that met it."""

    job: str
    served: int = 0
    left: bool = False
    """Whether a caller was sent away from it, told to ask again, and has not come back yet."""
    joined: int = 0
    """How many callers who count no retries have joined it."""


class Known(NamedTuple):
    """The same, with the job as it is now."""

    job: Job
    served: int
    left: bool = False
    joined: int = 0
    weaker: bool = False
    """Whether less was judged of it than would be of a new call: only its own callers have it."""


@dataclass(frozen=True, slots=True)
class Met:
    """The job a call is, and what has to be written before it may be told so."""

    job: Job
    by: Literal["key", "retry", "handed over", "joined", "cached", "opened"]
    served: int = 0
    joined: int = 0

    @property
    def cached(self) -> bool:
        """Whether the cache answers the call."""
        return self.by == "cached"

    def remembered(self, seen: Seen) -> Seen:
        """Return what the pointer is to say of one of its jobs from now on."""
        met = seen.job == self.job.id
        return Seen(seen.job, self.served, joined=self.joined) if met else seen


class Identity(BaseModel):
    """What a call says of itself, to tell a repeat from a new purchase.

    ``retries`` is the SDK's count (``x-stainless-retry-count``): 0 proves a new call; None where
    the caller counts none, so that a repeat looks just like a new call.
    """

    model_config = ConfigDict(frozen=True)

    idempotency_key: str | None = None
    retries: int | None = None
    cache: CacheControl = CacheControl()

    def meets(
        self, seen: Sequence[Known], *, now: float, window: float, patience: float, ttl: int
    ) -> Met | None:
        """Return the job that this call is, of those its pointer names, oldest first.

        ``window`` is how long a retry finds its job, ``patience`` how long API Gateway waits for
        an answer, ``ttl`` how old one from the cache may be, in seconds.
        """
        if self.idempotency_key is not None:
            return Met(seen[0].job, "key", seen[0].served) if seen else None
        # From a job's end on: its caller may have been sent away from it until then.
        recent = [one for one in seen if (one.job.finished_at or now) >= now - window]
        met = self._repeats(recent, now - patience, now)
        fit = [one.job for one in seen if not one.weaker]
        cached = None if met else answering(fit, now, ttl)
        return Met(cached, "cached") if cached else met

    def opened(self, job: str, known: Sequence[Known]) -> list[Seen]:
        """Return what a pointer is to say after this call has opened a job of its own.

        What may answer others is not forgotten for jobs that cannot, or cannot yet.
        """
        kept = list(known[1 - MOST_SEEN :])
        answer = newest(one.job for one in known)
        if answer and answer.id not in [one.job.id for one in kept]:
            kept[0] = next(one for one in known if one.job.id == answer.id)
        others = [Seen(one.job.id, one.served, one.left, one.joined) for one in kept]
        return [*others, Seen(job, self.retries or 0)]

    def _repeats(self, recent: Sequence[Known], old: float, now: float) -> Met | None:
        """Return the recent job that this call repeats; one opened before ``old`` is not new."""
        if self.retries:
            return _retried(recent, self.retries)
        for one in recent:
            # A call side by side with the one that opened a job would not have come so late.
            late = self.retries is None and one.job.created_at <= old
            if not one.weaker and _uncalled(one.job, now - (0 if late else CALLED_SECONDS)):
                return Met(one.job, "handed over")
        if self.retries is None:
            return _joined(one for one in recent if one.job.created_at <= old and not one.weaker)
        return None


def _retried(recent: Sequence[Known], count: int) -> Met | None:
    """Return the job that a retry of this count most likely is.

    One that failed and may be bought anew is none. With more retries than jobs, some share: a
    picture too few is asked for again, one too many is paid for.
    """
    mine = [one for one in recent if not one.job.worth_repeating()]
    waiting = [one for one in mine if not one.job.delivered]
    left = next((one for one in waiting if one.left), None)
    if left:
        return _met(left, max(left.served, count))
    for among in (waiting, mine):
        free = next((one for one in among if one.served < count), None)
        if free:
            return _met(free, count)
    last = (waiting or mine)[-1:]
    return _met(last[0], last[0].served) if last else None


def _met(one: Known, served: int) -> Met:
    return Met(one.job, "retry", served, one.joined)


def _uncalled(job: Job, before: float) -> bool:
    """Whether the job has images since then that nobody received, and nobody still waits for."""
    ended = job.status == "succeeded" and not job.delivered
    return ended and (job.finished_at or 0) <= before


def _joined(old: Iterable[Known]) -> Met | None:
    """Return the open job that a caller who counts no retries joins: the least met, the oldest."""
    among = (one for one in old if one.job.open)
    one = min(among, key=lambda one: one.served + one.joined, default=None)
    return Met(one.job, "joined", one.served, one.joined + 1) if one else None
