"""The life of a job, from the call that opens it to the charge that closes it.

    open   inputs are stored by their content; then one transaction claims the job's identity,
           puts the job and holds its ceiling price. A call that turns out to be a repeat gets the
           job it repeats, or one of the cache (``repeats``). Then a message goes to the work
           queue; if it is lost, the sweep sends it.
    wait   look at the job, most closely when one like it is usually done (``latencies``), until it
           is done or the caller's deadline is near. Without a work queue the waiter runs the job
           itself: the same steps in one invocation.
    run    (``worker``) take the lease, settle what a dead worker left, call upstream, store the
           images.
    close  (``worker``) one transaction: status, charges, and the rest of the holds released. Then
           whoever is owed an answer or an event is told (``notifications``).
    cancel what is queued, and nobody else has joined, is closed unmade.
    sweep  every minute: whatever is due gets a message, whatever is too old is failed; so is what
           has waited in the inbox for too long (``outbox``).

Deaths, doubles and overlaps need nothing more: every step is conditional on the lease, and every
change of money is in one transaction with the change of the job.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from time import sleep, time
from typing import TYPE_CHECKING

from easel import telemetry
from easel.errors import Conflict, NotFound
from easel.formats import CONTENT_TYPES
from easel.identity import Identity, Met
from easel.jobs import ID, Job, LeaseLost
from easel.latencies import Latencies
from easel.questions import WAITING, Question
from easel.repeats import Repeats
from easel.requests import Request
from easel.tenants import Tenant

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.ledger import Ledger
    from easel.aws.queue import Queue
    from easel.catalogue import Catalogue
    from easel.outbox import Outbox
    from easel.settings import Settings
    from easel.worker import Worker

_LONGEST_ID = 64
_NEXT_LOOK_SECONDS = 300
"""After this the sweep takes the message that it has sent itself for lost."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Opens jobs, waits for them, and looks after those that nobody waits for."""

    settings: Settings
    catalogue: Catalogue
    ledger: Ledger
    bucket: Bucket
    queue: Queue | None
    worker: Worker
    outbox: Outbox
    clock: Callable[[], float] = field(default=time)
    sleep: Callable[[float], None] = field(default=sleep)
    latencies: Latencies = field(default_factory=Latencies)

    def today(self) -> date:
        """Return the UTC date that models live and end by."""
        return datetime.fromtimestamp(self.clock(), UTC).date()

    @property
    def repeats(self) -> Repeats:
        """What finds the job that a call repeats."""
        return Repeats(self.settings, self.ledger, self.bucket, self.clock)

    def open(
        self,
        tenant: Tenant,
        request: Request,
        uploads: Mapping[str, bytes],
        identity: Identity,
        *,
        delivered: bool = False,
        question: Question | None = None,
        admit: Callable[[int], None] | None = None,
    ) -> Met:
        """Return the call's job: a new one with its ceiling held, or the one it repeats.

        ``delivered``: the caller is given the job's id, and will come for its images. ``admit`` is
        asked once to let in a new job of so many images, and may raise. Raises Conflict where an
        idempotency key comes back with another request, or BudgetExceeded.
        """
        hold = request.ceiling(self.catalogue)
        while True:
            found = self.repeats.find(tenant, request, identity)
            if found.met:
                if met := self.repeats.claim(found):
                    return met
                continue
            if admit:
                admit(request.count)
                admit = None
            for upload, data in uploads.items():
                self.bucket.put(upload, data, CONTENT_TYPES[request.kind_of(upload)])
            uploads = {}
            job = Job.new(
                tenant.name,
                request,
                hold=hold,
                now=self.clock(),
                tenant_class=tenant.tenant_class,
                month_budget=tenant.month_budget,
                day_budget=tenant.day_budget,
                moderation=tenant.moderation or self.settings.moderation_policy,
                keyed=identity.idempotency_key is not None,
                no_store=identity.cache.no_store,
                delivered=delivered,
                question=question,
                untold=question is not None or bool(self.settings.event_bus),
            )
            seen = identity.opened(job.id, found.known)
            with telemetry.admitted(job):
                opened = self.ledger.open(job, found.pointer, found.before, seen)
            if opened:
                self._nudge(job)
                return Met(job, "opened")

    def leave(self, job: Job) -> None:
        """Note that the open job's caller is sent away, to ask again: its retry meets this job."""
        pointer = f"same#{job.request.fingerprint()}"
        while before := None if job.keyed else self.ledger.pointer(job.tenant, pointer):
            after = [one._replace(left=one.left or one.job == job.id) for one in before.seen]
            if self.ledger.remember(job.tenant, pointer, before, after):
                return

    def deliver(self, job: Job) -> None:
        """Note that a caller is told the closed job's end: nobody else is handed its images."""
        if not job.keyed and not job.delivered:
            self.ledger.delivered(job)

    def wait(self, job: Job, until: float) -> Job:
        """Return the job when it is done, or as it is at Unix time ``until``."""
        nudged, seen_open = False, job.open
        while job.open:
            if self.queue is None:
                job = self._run(job, until)
            elif job.lapsed(self.clock()) and not nudged:
                self._nudge(job)
                nudged = True
            left = until - self.clock()
            if left <= 0 or not job.open:
                break
            self.sleep(min(self.latencies.pause(job, self.clock()), left))
            job = self.find(job.tenant, job.id)
        if seen_open:
            self.latencies.learn(job, self.clock())
        return job

    def _run(self, job: Job, until: float) -> Job:
        """Run the job here. Who has no event that comes again would buy anew what is there."""
        try:
            return self.worker.run(job.tenant, job.id, until) or job
        except Exception as error:
            done = self.find(job.tenant, job.id)
            if done.open or done.reply_to is not None:
                raise
            telemetry.unexpected(error, job=job.id)
            return done

    def find(self, tenant: str, job_id: str) -> Job:
        """Return the tenant's job. Raises NotFound, the same for one that is another tenant's."""
        job = self.ledger.job(tenant, job_id) if re.fullmatch(ID, job_id) else None
        if job is None:
            raise NotFound(
                f"There is no job {job_id[:_LONGEST_ID]!r}.",
                code="job_not_found",
                param="id",
                quotes=repr(job_id[:_LONGEST_ID]),
            )
        return job

    def kept(self, tenant: str, after: str | None, page: int) -> Iterator[Job]:
        """Yield the tenant's jobs but those past their retention, as ``Ledger.jobs`` does."""
        now, days = self.clock(), self.settings.retention_days
        for job in self.ledger.jobs(tenant, after, page):
            if not job.expired(now, days):
                yield job

    def cancel(self, tenant: str, job_id: str) -> Job:
        """Return the tenant's job, cancelled now or before; what it held is released.

        Raises NotFound, or Conflict where a worker has begun the job or another caller has joined.
        """
        job = self.find(tenant, job_id)
        if job.status == "queued":
            try:
                return self._cancelled(job)
            except LeaseLost:
                job = self.find(tenant, job_id)
        if job.status != "cancelled":
            raise Conflict(
                f"{job.id} is {job.status}: only a job that is queued, and that nobody else waits "
                "for, can be cancelled.",
                code="job_not_cancellable",
            )
        return job

    def put_off(self, receipt: str, job: Job) -> bool:
        """Let the job's message come again when the job is due; else the sweep sends one."""
        seconds = max(0, job.due_at - int(self.clock())) + 1
        return self.queue is not None and self.queue.hide(receipt, seconds)

    def sweep(self) -> int:
        """Send a message for all that is due, fail what is too old; return how many were due."""
        count = 0
        for tenant, job_id in self.ledger.due(int(self.clock())):
            count += 1
            try:
                self._look_after(tenant, job_id)
            # One job's trouble must not keep the others waiting.
            except Exception as error:
                telemetry.unexpected(error, tenant=tenant, job=job_id)
        return count

    def _look_after(self, tenant: str, job_id: str) -> None:
        if job_id.startswith(WAITING):
            self.outbox.expire(tenant, job_id, self._bound)
            return
        job = self.ledger.job(tenant, job_id)
        if job is None:
            return
        if job.open and job.older_than(self.settings.max_job_age_seconds, self.clock()):
            self.worker.expire(tenant, job_id)
        elif self._nudge(job) and job.open and job.started_at is None:
            # Its message may be behind many others: one more in each minute would make it worse.
            oldest = job.created_at + self.settings.max_job_age_seconds + 1
            self.ledger.look_later(job, min(int(self.clock()) + _NEXT_LOOK_SECONDS, oldest))

    def _bound(self, question: Question) -> bool:
        return self.repeats.bound(question.tenant, question.idempotency_key) is not None

    def _cancelled(self, job: Job) -> Job:
        job = self.ledger.cancel(job, self.clock())
        telemetry.closed(job)
        if job.owing:
            self._nudge(job)
        return job

    def _nudge(self, job: Job) -> bool:
        """Ask a worker to look at the job. A message that is not sent is sent by the sweep."""
        if self.queue is None:
            return False
        sent = self.queue.send(job.tenant, job.id)
        if not sent:
            telemetry.logger.warning("message not sent", extra={"job": job.id})
        return sent
