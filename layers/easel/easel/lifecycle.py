"""The life of a job, from the call that opens it to the charge that closes it.

    open   inputs are stored by their content; then one transaction claims the job's identity,
           puts the job and holds its ceiling price. A call that turns out to be a repeat gets the
           job it repeats. Then a message goes to the work queue; if it is lost, the sweep sends it.
    wait   look at the job until it is done or the caller's deadline is near. Without a work queue
           the waiter runs the job itself: the same steps in one invocation.
    run    (``worker``) take the lease, settle what a dead worker left, call upstream, store the
           images.
    close  (``worker``) one transaction: status, charges, and the rest of the holds released.
    sweep  every minute: whatever is due gets a message, whatever is too old is failed.

Deaths, doubles and overlaps need nothing more: every step is conditional on the lease, and every
change of money is in one transaction with the change of the job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from time import sleep, time
from typing import TYPE_CHECKING

from easel import telemetry
from easel.errors import Conflict, NotFound
from easel.images import CONTENT_TYPES
from easel.jobs import Identity, Job
from easel.requests import Request
from easel.tenants import digest

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.ledger import Ledger
    from easel.aws.queue import Queue
    from easel.catalogue import Catalogue
    from easel.settings import Settings
    from easel.worker import Worker

_LONGEST_ID = 64

_POLL_SECONDS = (0.1, 1.0)
"""The first and the longest pause between two looks at a job."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Opens jobs, waits for them, and looks after those that nobody waits for."""

    settings: Settings
    catalogue: Catalogue
    ledger: Ledger
    bucket: Bucket
    queue: Queue | None
    worker: Worker
    clock: Callable[[], float] = field(default=time)
    sleep: Callable[[float], None] = field(default=sleep)

    def today(self) -> date:
        """Return the UTC date that models live and end by."""
        return datetime.fromtimestamp(self.clock(), UTC).date()

    def open(
        self,
        tenant: str,
        request: Request,
        uploads: Mapping[str, bytes],
        identity: Identity,
        *,
        reply_to: str | None = None,
    ) -> Job:
        """Return the call's job: a new one with its ceiling held, or the one it repeats.

        Raises Conflict where an idempotency key comes back with another request.
        """
        pointer = _pointer(request, identity)
        hold = request.ceiling(self.catalogue)
        for upload, data in uploads.items():
            self.bucket.put(upload, data, CONTENT_TYPES[request.kind_of(upload)])
        while True:
            known = self._pointed(tenant, pointer, request, identity)
            if isinstance(known, Job):
                return known
            job = Job.new(
                tenant,
                request,
                hold=hold,
                now=self.clock(),
                keyed=identity.idempotency_key is not None,
                reply_to=reply_to,
            )
            if self.ledger.open(job, pointer, stale=known):
                self._nudge(job)
                return job

    def repeated(self, tenant: str, request: Request, identity: Identity) -> Job | None:
        """Return the job the call would repeat, having done nothing. Raises Conflict."""
        known = self._pointed(tenant, _pointer(request, identity), request, identity)
        return known if isinstance(known, Job) else None

    def wait(self, job: Job, until: float) -> Job:
        """Return the job when it is done, or as it is at Unix time ``until``."""
        pause, longest = _POLL_SECONDS
        nudged = False
        while job.open:
            if self.queue is None:
                job = self.worker.run(job.tenant, job.id, until) or job
            elif job.lapsed(self.clock()) and not nudged:
                self._nudge(job)
                nudged = True
            left = until - self.clock()
            if left <= 0 or not job.open:
                break
            self.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)
            job = self.find(job.tenant, job.id)
        return job

    def find(self, tenant: str, job_id: str) -> Job:
        """Return the tenant's job. Raises NotFound, the same for one that is another tenant's."""
        job = self.ledger.job(tenant, job_id) if len(job_id) < _LONGEST_ID else None
        if job is None:
            raise NotFound(
                f"There is no job {job_id[:_LONGEST_ID]!r}.", code="job_not_found", param="id"
            )
        return job

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
        job = self.ledger.job(tenant, job_id)
        if job is None:
            return
        if job.open and job.older_than(self.settings.max_job_age_seconds, self.clock()):
            self.worker.expire(tenant, job_id)
        else:
            self._nudge(job)

    def _pointed(
        self, tenant: str, sk: str, request: Request, identity: Identity
    ) -> Job | str | None:
        """Return the job this call is, or the id of the stale one its pointer names, or None."""
        pointer = self.ledger.pointer(tenant, sk)
        if pointer is None:
            return None
        if pointer.fingerprint != request.fingerprint():
            raise Conflict(
                "This Idempotency-Key was used for another request; use a new one.",
                code="idempotency_key_reused",
            )
        job = self.ledger.job(tenant, pointer.job)
        window = self.settings.retry_window_seconds
        patience = self.settings.integration_timeout_millis / 1000
        now = int(self.clock())
        if job and identity.answered_by(job, now=now, window=window, patience=patience):
            return job
        return pointer.job

    def _nudge(self, job: Job) -> None:
        """Ask a worker to look at the job. A message that is lost is sent again by the sweep."""
        if self.queue is not None and not self.queue.send(job.tenant, job.id):
            telemetry.logger.warning("message not sent", extra={"job": job.id})


def _pointer(request: Request, identity: Identity) -> str:
    """Return where the ledger remembers which job this call was."""
    key = identity.idempotency_key
    return f"key#{digest(key)}" if key else f"same#{request.fingerprint()}"
