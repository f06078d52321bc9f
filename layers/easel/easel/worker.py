"""The worker's part in the life of a job: from the lease to the charge.

    lease ─> settle what a dead worker left ─> begin attempt k ─> call ─> keep the images ─> close
                                                   ^                │
                                                   └── back off <───┘ surely not billed

An answer that is complete in the bucket closes its job unpaid. A call whose outcome nobody knows
is charged at its hold, and not repeated beyond ``max_paid_attempts``. Money is micro-dollars.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import sleep, time
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from easel import images, telemetry
from easel.errors import (
    BudgetExceeded,
    EaselError,
    Gone,
    InvalidRequest,
    Overloaded,
    UpstreamBusy,
    UpstreamFailure,
    UpstreamUnknown,
)
from easel.inputs import Image, described
from easel.jobs import LEASE_SECONDS, Answer, Job, LeaseLost
from easel.sources import Sources

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.ledger import Ledger
    from easel.catalogue import Catalogue
    from easel.notifications import Notifier
    from easel.rendered import Rendered
    from easel.settings import Settings
    from easel.upstream import Upstream

_LONGEST_CALL_SECONDS = 840
_LAST_SECONDS = 5
"""What is left of a worker's time for storing and closing."""
_SHORTEST_CALL_SECONDS = 300
"""With less time left than a slow picture takes, a worker gives its job back."""
_SHORTEST_INLINE_SECONDS = 30
"""The same for a job that nobody brings again."""
_LONGEST_SLEEP_SECONDS = 20
"""A worker that must wait longer than this gives its job back."""
_LONGEST_BACKOFF_SECONDS = 60
_TRIES_OF_THE_FAILING = 4
"""How often a job calls an upstream that answers 5xx; a 429 is ridden out until the job is old."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Runs jobs, one at a time."""

    settings: Settings
    catalogue: Catalogue
    ledger: Ledger
    bucket: Bucket
    notifier: Notifier
    upstream: Callable[[], Upstream]
    """Made at need: a door that only opens jobs never loads OpenAI's SDK."""
    gives_back: bool
    """Whether a queue and a sweep bring a job again."""
    clock: Callable[[], float] = field(default=time)
    sleep: Callable[[float], None] = field(default=sleep)
    renew_seconds: float = LEASE_SECONDS / 3

    def run(self, tenant: str, job_id: str, until: float) -> Job | None:
        """Work on the job until Unix time ``until``; return it as this worker leaves it.

        None where it is another worker's, or there is no such job.
        """
        job = self._leased(tenant, job_id)
        if job is None:
            return self._answered(tenant, job_id)
        try:
            with self._renewed(job), Sources(self.bucket, job.request) as sources:
                job = self._settled(job)
                while job.open and job.lease:
                    job = self._tried(job, sources, until)
        except LeaseLost:
            return None
        return self._told(job)

    def expire(self, tenant: str, job_id: str) -> None:
        """End a job that is too old, unless a worker is busy with it."""
        job = self._leased(tenant, job_id)
        if job is not None:
            self._told(self._settled(job))

    def _leased(self, tenant: str, job_id: str) -> Job | None:
        return self.ledger.lease(tenant, job_id, secrets.token_hex(8), int(self.clock()))

    def _answered(self, tenant: str, job_id: str) -> Job | None:
        """Return the job if it is closed, its end told even if its worker died before."""
        job = self.ledger.job(tenant, job_id)
        return self._told(job) if job and not job.open else None

    @contextmanager
    def _renewed(self, job: Job) -> Iterator[None]:
        """Keep the lease while the block runs, however long upstream takes."""
        done = threading.Event()

        def renew() -> None:
            pause = self.renew_seconds
            while not done.wait(pause):
                try:
                    self.ledger.renew(job, int(self.clock()))
                except LeaseLost:
                    return
                # Whatever it is, giving up would hand a job that is being paid for to another.
                except Exception as error:
                    telemetry.unexpected(error, job=job.id)
                    pause = self.renew_seconds / 10
                else:
                    pause = self.renew_seconds

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _settled(self, job: Job) -> Job:
        """Settle what an earlier worker left behind, and fail what is too old to begin."""
        if job.pending:
            left = self._left(job)
            if left:
                return self._succeed(job, left)
            job = self._lose(job, UpstreamUnknown(_DIED))
        if job.open and job.older_than(self.settings.max_job_age_seconds, self.clock()):
            return self._fail(job, Overloaded(_TOO_OLD, retry_after=1))
        return job

    def _left(self, job: Job) -> Answer | None:
        """Return the answer that an earlier worker completed in the bucket, if it can be read."""
        found = self.bucket.find(f"{job.prefix}answer.json")
        try:
            return Answer.model_validate_json(found.data) if found else None
        except ValidationError:
            return None

    def _tried(self, job: Job, sources: Sources, until: float) -> Job:
        """Make one call to upstream, and draw the consequence."""
        if until - self.clock() < self._least_seconds():
            return self._too_late(job)
        try:
            inputs = sources.opened()
            upstream = self.upstream()
            job = self._begin(job)
        except (Gone, InvalidRequest, BudgetExceeded) as refused:
            return self._fail(job, refused)
        try:
            answer = self._kept(job, self._rendered(job, upstream, inputs, until))
        except UpstreamBusy as busy:
            return self._back_off(job.refuse(), busy, until)
        except UpstreamUnknown as unknown:
            return self._lose(job, unknown)
        except UpstreamFailure as failure:
            return self._fail(self._update(job.refuse()), failure)
        return self._succeed(job, answer)

    def _least_seconds(self) -> float:
        """Return how much time a call to upstream must have, or it would be paid for in vain."""
        return _SHORTEST_CALL_SECONDS if self.gives_back else _SHORTEST_INLINE_SECONDS

    def _begin(self, job: Job) -> Job:
        # Moderation of the prompt and the inputs, and upstream's pace, are asked here.
        free = job.hold - sum(attempt.hold for attempt in job.attempts)
        if free > 0:  # the first attempt's hold was taken at open, a refused one's is still there
            return self._update(job.begin(free))
        hold = job.attempts[-1].hold  # by today's catalogue the model may have no price
        return self.ledger.begin(self._fresh(job.begin(hold)), hold)

    def _rendered(
        self, job: Job, upstream: Upstream, inputs: Mapping[str, IO[bytes]], until: float
    ) -> Rendered:
        left = min(until - self.clock() - _LAST_SECONDS, _LONGEST_CALL_SECONDS)
        with telemetry.called(job, self.clock):
            return upstream.render(job.request, inputs, timeout=max(1, left))

    def _kept(self, job: Job, rendered: Rendered) -> Answer:
        """Store each image, then the answer beside them: what is complete is never rebought."""
        kept = tuple(self._keep(job, index, data) for index, data in enumerate(rendered.pictures()))
        answer = Answer(
            images=kept,
            revised_prompts=tuple(datum.revised_prompt for datum in rendered.data),
            **rendered.model_dump(exclude={"data"}),
        )
        self.bucket.put(
            f"{job.prefix}answer.json", answer.model_dump_json().encode(), "application/json"
        )
        return answer

    def _keep(self, job: Job, index: int, data: bytes) -> Image:
        try:
            if job.request.resample:
                data = images.resize(data, *job.request.resample)
            header = images.sniff(data)
        except InvalidRequest:
            raise UpstreamUnknown("Upstream answered with bytes that are no image.") from None
        key = f"{job.prefix}{index}.{header.kind}"
        self.bucket.put(key, data, images.CONTENT_TYPES[header.kind])
        return described(data, header, key, images.digest(data))

    def _back_off(self, job: Job, busy: UpstreamBusy, until: float) -> Job:
        """Wait here if that is short, else give the job back, else fail it: nothing was billed."""
        pause = _pause(job.refusals, busy.retry_after)
        ready = self.clock() + pause
        job = self._update(job)
        spent = busy.status >= 500 and job.refusals >= _TRIES_OF_THE_FAILING
        if spent or job.older_than(self.settings.max_job_age_seconds, ready):
            return self._fail(job, busy)
        late = ready + self._least_seconds() > until
        if self.gives_back and (late or pause > _LONGEST_SLEEP_SECONDS):
            return self._give_back(job, ready)
        if late:
            return self._fail(job, busy)
        self.sleep(pause)
        return job

    def _too_late(self, job: Job) -> Job:
        """Leave the job to another worker, or to its caller's repeat; fail it where neither is."""
        if self.gives_back or job.reply_to is None:
            return self._give_back(job, self.clock())
        return self._fail(job, Overloaded(_NO_TIME))

    def _give_back(self, job: Job, due_at: float) -> Job:
        lease = job.lease
        change = {"status": "queued", "lease": None, "due_at": int(due_at)}
        return self.ledger.update(job.model_copy(update=change), lease)

    def _lose(self, job: Job, unknown: UpstreamUnknown) -> Job:
        """Charge the pending attempt at its hold; go on only where the operator permits another."""
        job = job.end(job.attempts[-1].lose())
        if len(job.attempts) < self.settings.max_paid_attempts:
            return self._update(job)
        return self._fail(job, unknown)

    def _succeed(self, job: Job, answer: Answer) -> Job:
        attempt = job.attempts[-1]
        job = job.end(attempt.settle(self._charge(job, answer)))
        return self._close(job.close("succeeded", self.clock(), answer=answer), job.lease)

    def _charge(self, job: Job, answer: Answer) -> int:
        """Return what the answer cost; its hold, where upstream did not say what it used."""
        try:
            model = self.catalogue.model(job.request.model)
            return model.charge(answer.usage or {}, answer.svg_usage)
        # Usage that is none, or of a model that has left the catalogue.
        except (ValueError, TypeError, AttributeError, LookupError):
            return job.attempts[-1].hold

    def _fail(self, job: Job, error: EaselError) -> Job:
        return self._close(job.close("failed", self.clock(), error=error), job.lease)

    def _close(self, job: Job, lease: str | None) -> Job:
        job = self.ledger.close(job, lease)
        telemetry.closed(job)
        return job

    def _update(self, job: Job) -> Job:
        return self.ledger.update(self._fresh(job), job.lease)

    def _fresh(self, job: Job) -> Job:
        """Return the job with its lease renewed: rewriting an item must not shorten it."""
        return job.model_copy(update={"due_at": int(self.clock()) + LEASE_SECONDS})

    def _told(self, job: Job) -> Job:
        self.notifier.notify(job)
        return job


_DIED = (
    "The worker died while upstream was called. The call may have been billed, so it is not "
    "repeated by itself: ask again to buy anew."
)
_TOO_OLD = "The job waited too long for its turn; nothing was bought. Ask again."

_NO_TIME = "The function's time was over before upstream was called; nothing was bought. Ask again."


def _pause(refusals: int, asked: float | None) -> float:
    """Return the seconds to wait: what upstream asked, or exponential with full jitter."""
    backoff = random.uniform(0, min(2**refusals, _LONGEST_BACKOFF_SECONDS))
    return asked + backoff / 4 if asked is not None else backoff
