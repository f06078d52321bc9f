"""The ledger: the durable book of jobs and money, in two tables.

Jobs table, key (``tenant``, ``sk``), TTL ``expires_at``:

| sk | what | attributes |
|---|---|---|
| ``job#{id}`` | a job | see below |
| ``key#{sha256 of the key}`` | this idempotency key → its job | seen, fingerprint, expires_at |
| ``same#{fingerprint}`` | this request → its latest jobs | seen, fingerprint, expires_at |
| ``joined#{id}`` | another caller waits for the job, too: nobody cancels it | expires_at |
| ``inbox#…``, ``outbox#…`` | what the file door remembers | see ``aws.inbox`` |
| ``rate#requests``, ``rate#images`` | what is left of the tenant's rates | see ``aws.limits`` |
| ``pace#{model}``, of nobody | upstream's pace | see ``aws.pace`` |

``seen`` is a JSON list of [job, the highest retry count that met it, whether a caller was sent away
from it, and where any did, how many joined it], oldest first.

A job has the attributes of ``jobs.Job``, its request, attempts, answer and error as JSON; besides,
``open`` while there is something to do, and ``expires_at`` once it is closed.

Index ``open`` (``open``, ``due_at``): what the sweep looks at. ``open`` is always ``"open"``.

Ledger table, key (``tenant``, ``sk``), no TTL; all money in micro-dollars:

| sk | attributes |
|---|---|
| ``month#{2026-11}`` | committed (charges and the holds of open jobs), spent (charges) |
| ``day#{2026-11-22}`` | the same |
| ``charge#{job}#{attempt}`` | amount, estimated, month, day, model, operation, at |
| ``count#{day}#{model}#{operation}`` | jobs, images, spent, each job at its (last) end; hits |

``hits`` are calls of the day that were answered from another job. ``aws.books`` reads the table.

Every change of money is one transaction with the change of the job that causes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from easel.aws.books import Books
from easel.aws.items import plain, values
from easel.aws.jobs import Jobs, Pointer, of_item, to_item, to_text, unmoved_since, wordless
from easel.aws.transactions import Write, absent, add, put, transact, update
from easel.errors import BudgetExceeded
from easel.identity import Seen
from easel.jobs import LEASE_SECONDS, Attempt, Job, LeaseLost
from easel.tenants import exceeded

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Ledger(Jobs):
    """Reads and writes the book."""

    ledger_table: str
    keep_prompts: bool = True
    """Whether closed jobs keep their prompts, or only digests of them."""

    def open(self, job: Job, pointer: str, before: Pointer | None, seen: Iterable[Seen]) -> bool:
        """Claim the job and hold its ceiling, in one transaction.

        The pointer, which was ``before``, is to say ``seen``. False: it has moved meanwhile, and
        identity must be decided again. Raises BudgetExceeded.
        """
        claim = {
            "tenant": job.tenant,
            "sk": pointer,
            "seen": to_text(seen),
            "fingerprint": job.request.fingerprint(),
            # Longer than the job, which is done some time after it was opened.
            "expires_at": job.created_at + (self.retention_days + 1) * _DAY_SECONDS,
        }
        free = "attribute_not_exists(tenant)"
        unmoved = unmoved_since(before) if before else {}
        failed = self._held(
            job,
            job.hold,
            put(self.jobs_table, to_item(job) | values({"open": "open"}), free),
            put(
                self.jobs_table,
                values(claim),
                f"{free} OR seen = :seen" if before else free,
                **unmoved,
            ),
        )
        # Our own job already there: an earlier try worked, and only its answer was lost.
        return not failed or 0 in failed

    def lease(self, tenant: str, job_id: str, owner: str, now: int) -> Job | None:
        """Take a job that is queued, and due, or whose worker has lapsed; None where neither is."""
        try:
            got = self._update(
                tenant,
                job_id,
                UpdateExpression="SET #status = :running, lease = :owner, due_at = :until, "
                "started_at = if_not_exists(started_at, :now)",
                # Already ours: an earlier try worked, and only its answer was lost.
                # Given back, it is to come again when it is due, not before.
                ConditionExpression="(#status = :queued AND "
                "(attribute_not_exists(started_at) OR due_at <= :now)) OR "
                "(#status = :running AND (due_at <= :now OR lease = :owner))",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values(
                    {
                        ":running": "running",
                        ":queued": "queued",
                        ":owner": owner,
                        ":now": now,
                        ":until": now + LEASE_SECONDS,
                    }
                ),
                ReturnValues="ALL_NEW",
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return None
        return of_item(plain(got["Attributes"]))

    def renew(self, job: Job, now: int) -> None:
        """Keep the lease for another LEASE_SECONDS. Raises LeaseLost."""
        if not self._noted(
            job,
            UpdateExpression="SET due_at = :until",
            ConditionExpression="lease = :lease AND #status = :running",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values(
                {":lease": job.lease, ":running": "running", ":until": now + LEASE_SECONDS}
            ),
        ):
            raise LeaseLost

    def update(self, job: Job, lease: str | None) -> Job:
        """Write the open job as it shall be; ``lease`` is who held it. Raises LeaseLost."""
        self._conditionally([self._rewrite(job, lease)])
        return job

    def begin(self, job: Job, hold: int) -> Job:
        """Write the leased job with a further attempt, its price held.

        Raises LeaseLost, or BudgetExceeded.
        """
        job = job.model_copy(update={"hold": job.hold + hold})
        if self._held(job, hold, self._rewrite(job, job.lease)):
            raise LeaseLost
        return job

    def close(self, job: Job, lease: str | None) -> Job:
        """End the job: its charges, the rest of its holds released. Raises LeaseLost.

        ``job`` is as it shall be; ``lease`` is who held it. The budget is not tested: what was
        bought is owed.
        """
        self._conditionally([self._rewrite(job, lease), *self._settlement(job)])
        return job

    def cancel(self, job: Job, now: float) -> Job:
        """End the queued job as close does. Raises LeaseLost where it is no longer as it was read.

        A worker may have had it meanwhile and given it back, its attempts and holds changed; or
        another caller has joined it.
        """
        item = to_item(job)
        read = {f":{name}": item[name] for name in ("attempts", "hold", "refusals")}
        cancelled = job.close("cancelled", now)
        queued = "#status = :queued AND attribute_not_exists(lease)"
        unchanged = "attempts = :attempts AND #hold = :hold AND refusals = :refusals"
        self._conditionally(
            [
                self._replace(
                    cancelled,
                    f"{queued} AND {unchanged}",
                    ExpressionAttributeNames={"#status": "status", "#hold": "hold"},
                    ExpressionAttributeValues=read | values({":queued": "queued"}),
                ),
                *self._settlement(cancelled),
                absent(self.jobs_table, {"tenant": job.tenant, "sk": f"joined#{job.id}"}),
            ]
        )
        return cancelled

    def reopen(self, before: Job, after: Job) -> None:
        """Let the unbilled job be open again, its new hold taken, its first end not counted.

        Raises LeaseLost where it is no longer as it was read ``before``, or BudgetExceeded.
        """
        item = to_item(before)
        read = {f":{name}": item[name] for name in ("status", "finished_at", "attempts")}
        replaced = self._replace(
            after,
            "#status = :status AND finished_at = :finished_at AND attempts = :attempts",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=read,
        )
        if self._held(after, after.hold, replaced, self._count(before, jobs=-1)):
            raise LeaseLost

    def hit(self, job: Job, day: str) -> None:
        """Count a call of the day, as ``2026-11-22``, that was answered from the job, unpaid."""
        count = self._count(job.model_copy(update={"day": day}), hits=1)
        update(self.client, self.sleep, **count["Update"])

    def _rewrite(self, job: Job, lease: str | None) -> Write:
        """Replace the open job's item, if the lease is still this one."""
        held = "lease = :lease" if lease else "attribute_not_exists(lease)"
        names = {":queued": "queued", ":running": "running"} | ({":lease": lease} if lease else {})
        return self._replace(
            job,
            f"#status IN (:queued, :running) AND {held}",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values(names),
        )

    def _replace(self, job: Job, condition: str, **expressions: Any) -> Write:
        extra: dict[str, Any] = {}
        if job.open or job.owing:
            extra["open"] = "open"
        if not job.open:
            extra["expires_at"] = (job.finished_at or 0) + self.retention_days * _DAY_SECONDS
            job = job if self.keep_prompts else wordless(job)
        return put(self.jobs_table, to_item(job) | values(extra), condition, **expressions)

    def _settlement(self, job: Job) -> list[Write]:
        """Return what the closed job does to the books."""
        made = len(job.answer.images) if job.answer else 0
        moved = {"committed": job.charge - job.hold, "spent": job.charge}
        return [
            *(self._add(job.tenant, period, **moved) for period, _ in job.periods),
            self._count(job, jobs=1, images=made, spent=job.charge),
            *(self._charge(job, attempt) for attempt in job.attempts),
        ]

    def _count(self, job: Job, **amounts: int) -> Write:
        sk = f"count#{job.day}#{job.request.model}#{job.request.operation}"
        return self._add(job.tenant, sk, **amounts)

    def _charge(self, job: Job, attempt: Attempt) -> Write:
        row = {
            "tenant": job.tenant,
            "sk": f"charge#{job.id}#{attempt.number}",
            "amount": attempt.charge,
            "estimated": attempt.state == "unknown",
            "month": job.month,
            "day": job.day,
            "model": job.request.model,
            "operation": job.request.operation,
            "at": job.finished_at,
        }
        return put(self.ledger_table, values(row), "attribute_not_exists(tenant)")

    def _add(self, tenant: str, sk: str, **amounts: int) -> Write:
        return add(self.ledger_table, {"tenant": tenant, "sk": sk}, amounts)

    def _held(self, job: Job, hold: int, *writes: Write) -> set[int]:
        """Write all, and hold so much; return the indices of the writes whose condition failed.

        Raises BudgetExceeded where only that is in the way.
        """
        for period, budget in job.periods:
            if budget is not None and hold > budget:  # the condition holds where nothing is yet
                raise self._exceeded(job, period, budget, hold)
        holds = [
            add(
                self.ledger_table,
                {"tenant": job.tenant, "sk": period},
                {"committed": hold},
                most=None if budget is None else ("committed", budget - hold),
            )
            for period, budget in job.periods
        ]
        failed = transact(self.client, [*writes, *holds], self.sleep)
        ours = {index for index in failed if index < len(writes)}
        if failed and not ours:
            period, budget = job.periods[min(failed) - len(writes)]
            raise self._exceeded(job, period, budget or 0, hold)
        return ours

    def _exceeded(self, job: Job, period: str, budget: int, hold: int) -> BudgetExceeded:
        committed, spent = Books(self.client, self.ledger_table).balance(job.tenant, period)
        return exceeded(period.partition("#")[2], budget, committed, spent, hold)

    def _conditionally(self, writes: list[Write]) -> None:
        if transact(self.client, writes, self.sleep):
            raise LeaseLost
