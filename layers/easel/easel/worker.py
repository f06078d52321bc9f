"""The worker's part in the life of a job: from the lease to the charge.

    lease ─> settle what a dead worker left ─> turn ─> moderate ─> begin attempt k ─> call ─> keep
                                                ^                                      │       │
                                                └─────────── back off <────────────────┘   moderate
                                                             surely not billed             └─> close

An answer that is complete in the bucket closes its job unpaid. A call whose outcome nobody knows
is charged at its hold, and not repeated beyond ``max_paid_attempts``. Money is micro-dollars.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import sleep, time
from typing import IO, TYPE_CHECKING

from easel import telemetry
from easel.answers import Answers, charged, hidden
from easel.errors import (
    BudgetExceeded,
    EaselError,
    Gone,
    InvalidRequest,
    ModerationBlocked,
    ModerationUnavailable,
    Overloaded,
    UpstreamBusy,
    UpstreamFailure,
    UpstreamUnknown,
)
from easel.jobs import LEASE_SECONDS, Answer, Job, LeaseLost
from easel.leases import renewed
from easel.moderation import UNJUDGED, Moderator
from easel.pace import Turn, backoff
from easel.sources import Sources

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.ledger import Ledger
    from easel.aws.pace import Paces
    from easel.catalogue import Catalogue
    from easel.notifications import Notifier
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
_JUDGE_AGAIN_SECONDS = 60
"""After this, what moderation could not be asked about is judged again."""
_REFUSED = (Gone, InvalidRequest, BudgetExceeded, ModerationBlocked, ModerationUnavailable)
"""What ends a job before anything is bought."""
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
    paces: Paces
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

    def _renewed(self, job: Job) -> AbstractContextManager[None]:
        """Keep the lease while the block runs, however long upstream takes."""
        return renewed(
            lambda: self.ledger.renew(job, int(self.clock())), self.renew_seconds, job.id
        )

    def _settled(self, job: Job) -> Job:
        """Settle what an earlier worker left behind, and fail what is too old to go on."""
        old = job.older_than(self.settings.max_job_age_seconds, self.clock())
        if job.pending or job.unjudged:
            left = self._answers.left(job)
            if left and not (old and hidden(left)):
                return self._succeed(job, left)
            if left or job.unjudged:  # it is paid for, and nobody could judge it
                job = charged(job, left, self.catalogue) if left else job
                return self._fail(job, ModerationUnavailable(UNJUDGED))
            job = self._lose(job, UpstreamUnknown(_DIED))
        if job.open and old:
            return self._fail(job, Overloaded(_TOO_OLD, retry_after=1))
        return job

    @property
    def _answers(self) -> Answers:
        return Answers(self.bucket, self.settings.keep_prompts)

    @property
    def _moderator(self) -> Moderator:
        return Moderator(self.settings, self.catalogue, self.upstream, self.clock, self.sleep)

    def _tried(self, job: Job, sources: Sources, until: float) -> Job:
        """Make one call to upstream when it is the job's turn, and draw the consequence."""
        spare = until - self.clock() - self._least_seconds()
        if spare < 0:
            return self._too_late(job)
        turn = self.paces.turn(job, math.inf if self.gives_back else spare)
        if turn.wait:
            return self._wait(job, turn, until)
        try:
            inputs = sources.opened()
            upstream = self.upstream()
            job = self._moderator.admit(job, inputs)
            if self._late(0, until):  # it took too long to load and to judge
                return self._too_late(job)
            job = self._begin(job)
        except _REFUSED as refused:
            return self._fail(job, refused)
        try:
            answer = self._bought(job, upstream, inputs, until)
        except UpstreamBusy as busy:
            return self._back_off(job.refuse(failed=busy.status >= 500), busy, until)
        except UpstreamUnknown as unknown:
            return self._lose(job, unknown)
        except UpstreamFailure as failure:
            return self._fail(self._update(job.refuse()), failure)
        return self._succeed(job, answer)

    def _least_seconds(self) -> float:
        """Return how much time a call to upstream must have, or it would be paid for in vain."""
        return _SHORTEST_CALL_SECONDS if self.gives_back else _SHORTEST_INLINE_SECONDS

    def _begin(self, job: Job) -> Job:
        free = job.hold - sum(attempt.hold for attempt in job.attempts)
        if free > 0:  # the first attempt's hold was taken at open, a refused one's is still there
            return self._update(job.begin(free))
        hold = job.attempts[-1].hold  # by today's catalogue the model may have no price
        return self.ledger.begin(self._fresh(job.begin(hold)), hold)

    def _bought(
        self, job: Job, upstream: Upstream, inputs: Mapping[str, IO[bytes]], until: float
    ) -> Answer:
        """Make the paid call, and keep what arrives of it: its line may be lost until the end."""
        judged = self._moderator.policy(job) == "prompt+output"
        left = min(until - self.clock() - _LAST_SECONDS, _LONGEST_CALL_SECONDS)
        with telemetry.called(job, self.clock):
            rendered = upstream.render(job.request, inputs, timeout=max(1, left))
            return self._answers.keep(job, rendered, hidden=judged)

    def _back_off(self, job: Job, busy: UpstreamBusy, until: float) -> Job:
        """Call again later, if that is not too late; nothing was billed."""
        job = self._update(job)
        pause = self._pause(job, busy)
        spent = busy.status >= 500 and job.failures >= _TRIES_OF_THE_FAILING
        old = job.older_than(self.settings.max_job_age_seconds, self.clock() + pause)
        if spent or old or (self._late(pause, until) and not self.gives_back):
            return self._fail(job, busy)
        # Where all are to wait, the job's turn says how long.
        return job if busy.shared else self._wait(job, Turn(pause, pause, job.place), until)

    def _pause(self, job: Job, busy: UpstreamBusy) -> float:
        """Return for how many seconds upstream is left alone, by all if it was said to all."""
        if not busy.shared:
            return backoff(job.refusals, busy.retry_after)
        pause = self.paces.refused(job.request.model, busy.retry_after)
        busy.retry_after = pause if busy.retry_after is None else busy.retry_after
        return pause

    def _wait(self, job: Job, turn: Turn, until: float) -> Job:
        """Wait here if that is short and few are before it, else give it back, else fail it."""
        job, late = job.model_copy(update={"place": turn.place}), self._late(turn.wait, until)
        short = turn.near and turn.again <= _LONGEST_SLEEP_SECONDS
        if self.gives_back and (late or not short):
            return self._give_back(job, self.clock() + turn.again)
        if late:
            return self._fail(job, Overloaded(_NO_TURN, retry_after=turn.wait))
        self.sleep(turn.again)
        return job

    def _late(self, wait: float, until: float) -> bool:
        """Whether after so many seconds no time is left for a call."""
        return self.clock() + wait + self._least_seconds() > until

    def _too_late(self, job: Job) -> Job:
        """Leave the job to another worker, or to its caller's repeat; fail it where neither is."""
        if self.gives_back or job.reply_to is None:
            return self._give_back(job, self.clock())
        return self._fail(job, Overloaded(_NO_TIME))

    def _give_back(self, job: Job, due_at: float) -> Job:
        due_at = min(due_at, job.created_at + self.settings.max_job_age_seconds + 1)
        change = {"status": "queued", "lease": None, "due_at": int(due_at)}
        return self.ledger.update(job.model_copy(update=change), job.lease)

    def _lose(self, job: Job, unknown: UpstreamUnknown) -> Job:
        """Charge the pending attempt at its hold; go on only where the operator permits another."""
        job = job.end(job.attempts[-1].lose())
        if len(job.attempts) < self.settings.max_paid_attempts:
            return self._update(job)
        return self._fail(job, unknown)

    def _succeed(self, job: Job, answer: Answer) -> Job:
        """Charge the attempt, and close the job with its images if they may be seen."""
        job = charged(job, answer, self.catalogue)
        try:
            if hidden(answer):
                self._moderator.release(job, self._answers.outputs(answer))
            released = self._answers.release(answer)
        except ModerationBlocked as blocked:
            return self._fail(job, blocked)
        except ModerationUnavailable as unavailable:
            return self._judge_later(job, unavailable)
        job = self._close(job.close("succeeded", self.clock(), answer=released), job.lease)
        self._answers.discard(answer)
        return job

    def _judge_later(self, job: Job, unavailable: ModerationUnavailable) -> Job:
        """Give the job back, its attempt charged, if it comes again before it is too old."""
        ready = self.clock() + _JUDGE_AGAIN_SECONDS
        old = job.older_than(self.settings.max_job_age_seconds, ready)
        if old or not (self.gives_back or job.reply_to is None):
            return self._fail(job, unavailable)
        return self._give_back(job, ready)

    def _fail(self, job: Job, error: EaselError) -> Job:
        if isinstance(error, Overloaded | UpstreamBusy) and job.attempts:
            error = UpstreamUnknown(_NO_OTHER)
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
_NO_OTHER = "A call to upstream may have been billed, and it is too late for another: ask again."
_TOO_OLD = "The job waited too long for its turn; nothing was bought. Ask again."
_NO_TURN = "Upstream takes no more calls for now; nothing was bought. Ask again."
_NO_TIME = "The function's time was over before upstream was called; nothing was bought. Ask again."
