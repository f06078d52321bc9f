"""Repeats: the job that a call turns out to be, found in the ledger and claimed there.

``identity`` decides. Here is read what it decides by, and written what the next call must know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, get_args

from easel import telemetry
from easel.errors import Conflict
from easel.identity import Identity, Known, Met
from easel.jobs import Job
from easel.keys import digest
from easel.requests import Request
from easel.tenants import Moderation, Tenant, day

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.jobs import Pointer
    from easel.aws.ledger import Ledger
    from easel.settings import Settings

_DAY_SECONDS = 86_400


class Found(NamedTuple):
    """What the ledger knows of a call."""

    pointer: str
    """Where it remembers which jobs the call's key, or its request, was seen to be."""
    before: Pointer | None
    """What it remembered, when it was read."""
    known: list[Known]
    """Those jobs as they are now, but the ones long gone."""
    met: Met | None
    """The one that the call is; None: a new one."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Finds and claims the jobs that calls repeat."""

    settings: Settings
    ledger: Ledger
    bucket: Bucket
    clock: Callable[[], float]

    def find(self, tenant: Tenant, request: Request, identity: Identity) -> Found:
        """Return what is known of the call, having done nothing.

        Raises Conflict where its idempotency key was used for another request.
        """
        key, fingerprint = identity.idempotency_key, request.fingerprint()
        pointer = _of_key(key) if key else f"same#{fingerprint}"
        before = self.ledger.pointer(tenant.name, pointer)
        if before and before.fingerprint != fingerprint:
            raise Conflict(
                "This Idempotency-Key was used for another request; use a new one.",
                code="idempotency_key_reused",
            )
        policy = tenant.moderation or self.settings.moderation_policy
        known = [
            one._replace(weaker=self._weaker(one.job, policy))
            for one in self._known(tenant.name, before)
        ]
        unasked = self.settings.cache_ttl_seconds if tenant.cache_ttl is None else tenant.cache_ttl
        ttl = identity.cache.ttl(unasked, longest=self.settings.retention_days * _DAY_SECONDS)
        return Found(pointer, before, known, self._met(known, identity, ttl))

    def bound(self, tenant: str, key: str) -> Job | None:
        """Return the job that the idempotency key is bound to, whatever it was asked."""
        pointer = self.ledger.pointer(tenant, _of_key(key))
        return next((one.job for one in self._known(tenant, pointer)), None)

    def claim(self, found: Found) -> Met | None:
        """Write down whose job the met one is now; None if another call was faster."""
        met, before = found.met, found.before
        if met is None or before is None:
            return None
        if met.by == "handed over":
            return met if self.ledger.delivered(met.job) else None
        if met.cached:
            return self._hit(met)
        after = [met.remembered(one) for one in before.seen]
        moved = after != list(before.seen)
        if moved and not self.ledger.remember(met.job.tenant, found.pointer, before, after):
            return None
        return self._joined(met) if met.by == "joined" else met

    def _known(self, tenant: str, pointer: Pointer | None) -> list[Known]:
        seen = pointer.seen if pointer else ()
        found = [(self.ledger.job(tenant, one.job), one) for one in seen]
        return [Known(job, one.served, one.left, one.joined) for job, one in found if job]

    def _met(self, known: Sequence[Known], identity: Identity, ttl: int) -> Met | None:
        window = self.settings.retry_window_seconds
        patience = self.settings.integration_timeout_millis / 1000
        met = identity.meets(
            known, now=int(self.clock()), window=window, patience=patience, ttl=ttl
        )
        if met and met.cached and self._gone(met.job):
            others = [one for one in known if one.job.id != met.job.id]
            return self._met(others, identity, ttl)
        return met

    def _weaker(self, job: Job, policy: Moderation) -> bool:
        """Whether the job was opened under a policy that judges less than this one."""
        strictness = get_args(Moderation).index
        return strictness(job.moderation or self.settings.moderation_policy) < strictness(policy)

    def _gone(self, job: Job) -> bool:
        """Whether the job's images were taken out of the bucket; the first stands for all."""
        return job.answer is not None and not self.bucket.has(job.answer.images[0].key)

    def _joined(self, met: Met) -> Met | None:
        """Return the open job, which from now on nobody cancels; None if somebody just has."""
        job = self.ledger.join(met.job)
        return replace(met, job=job) if job and job.status != "cancelled" else None

    def _hit(self, met: Met) -> Met | None:
        """Count the hit; join the job that is still at work. None if there will be no images."""
        joined = self._joined(met) if met.job.open else met
        if joined is None or not (joined.job.open or joined.job.answer):
            return None
        telemetry.hit(joined.job)
        try:
            self.ledger.hit(joined.job, day(self.clock()))
        # The answer is as good uncounted.
        except Exception as error:
            telemetry.unexpected(error, job=joined.job.id)
        return joined


def _of_key(key: str) -> str:
    return f"key#{digest(key)}"
