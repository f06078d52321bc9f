"""The ledger: the durable book of jobs and money, in two tables.

Jobs table, key (``tenant``, ``sk``), TTL ``expires_at``:

| sk | what | attributes |
|---|---|---|
| ``job#{id}`` | a job | see below |
| ``key#{sha256 of the key}`` | this idempotency key → its job | job, fingerprint, expires_at |
| ``same#{fingerprint}`` | this request → its latest job | job, fingerprint, expires_at |

A job has the attributes of ``jobs.Job``, its request, attempts, answer and error as JSON; besides,
``open`` while there is something to do, and ``expires_at`` once it is closed.

Index ``open`` (``open``, ``due_at``): jobs the sweep looks at. ``open`` is always ``"open"``.

Ledger table, key (``tenant``, ``sk``), no TTL; all money in micro-dollars:

| sk | attributes |
|---|---|
| ``month#{2026-11}`` | committed (charges and the holds of open jobs), spent (charges) |
| ``charge#{job}#{attempt}`` | amount, estimated, month, day, model, operation, at |
| ``count#{day}#{model}#{operation}`` | jobs, images, spent |

Every change of money is one transaction with the change of the job that causes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from easel.aws.items import plain, values
from easel.aws.transactions import Write, add, put, transact, update
from easel.jobs import LEASE_SECONDS, Attempt, Job, LeaseLost

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_JSON = ("request", "attempts", "answer", "error")
_DAY_SECONDS = 86_400


class Pointer(NamedTuple):
    """Which job a key or a request was last seen to be."""

    job: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and writes the book. ``sleep`` is what a conflict waits with."""

    client: DynamoDBClient
    jobs_table: str
    ledger_table: str
    retention_days: int
    sleep: Callable[[float], None] = field(default=time.sleep)

    def job(self, tenant: str, job_id: str) -> Job | None:
        """Return the tenant's job, if it has one of this id."""
        item = self._get(tenant, f"job#{job_id}")
        return _job(item) if item else None

    def pointer(self, tenant: str, sk: str) -> Pointer | None:
        """Return what the key or the fingerprint points to."""
        item = self._get(tenant, sk)
        return Pointer(item["job"], item["fingerprint"]) if item else None

    def open(self, job: Job, pointer: str, *, stale: str | None) -> bool:
        """Claim the job and hold its ceiling, in one transaction.

        ``stale`` is the job the pointer may be taken from. False: the pointer has moved meanwhile,
        and identity must be decided again.
        """
        claim = {
            "tenant": job.tenant,
            "sk": pointer,
            "job": job.id,
            "fingerprint": job.request.fingerprint(),
            "expires_at": job.created_at + self.retention_days * _DAY_SECONDS,
        }
        free = "attribute_not_exists(tenant)"
        takeover = {"ExpressionAttributeValues": values({":stale": stale})} if stale else {}
        failed = transact(
            self.client,
            [
                put(self.jobs_table, _item(job) | values({"open": "open"}), free),
                put(
                    self.jobs_table,
                    values(claim),
                    f"{free} OR job = :stale" if stale else free,
                    **takeover,
                ),
                # Budgets are tested here: refused where committed would pass the budget.
                self._add(job.tenant, f"month#{job.month}", committed=job.hold),
            ],
            self.sleep,
        )
        # Our own job already there: an earlier try worked, and only its answer was lost.
        return not failed or 0 in failed

    def lease(self, tenant: str, job_id: str, owner: str, now: int) -> Job | None:
        """Take a job that is queued, or whose worker has lapsed; None where neither is so."""
        try:
            got = self._update(
                tenant,
                job_id,
                UpdateExpression="SET #status = :running, lease = :owner, due_at = :until, "
                "started_at = if_not_exists(started_at, :now)",
                # Already ours: an earlier try worked, and only its answer was lost.
                ConditionExpression="#status = :queued OR "
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
        return _job(plain(got["Attributes"]))

    def renew(self, job: Job, now: int) -> None:
        """Keep the lease for another LEASE_SECONDS. Raises LeaseLost."""
        try:
            self._update(
                job.tenant,
                job.id,
                UpdateExpression="SET due_at = :until",
                ConditionExpression="lease = :lease AND #status = :running",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values(
                    {":lease": job.lease, ":running": "running", ":until": now + LEASE_SECONDS}
                ),
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            raise LeaseLost from None

    def update(self, job: Job, lease: str | None) -> Job:
        """Write the open job as it shall be; ``lease`` is who held it. Raises LeaseLost."""
        self._conditionally([self._rewrite(job, lease)])
        return job

    def begin(self, job: Job, hold: int) -> Job:
        """Write the leased job with a further attempt, its price held. Raises LeaseLost."""
        job = job.model_copy(update={"hold": job.hold + hold})
        self._conditionally(
            [
                self._rewrite(job, job.lease),
                self._add(job.tenant, f"month#{job.month}", committed=hold),
            ]
        )
        return job

    def close(self, job: Job, lease: str | None) -> Job:
        """End the job: its charges, the rest of its holds released. Raises LeaseLost.

        ``job`` is as it shall be; ``lease`` is who held it. The budget is not tested: what was
        bought is owed.
        """
        made = len(job.answer.images) if job.answer else 0
        count = f"count#{job.day}#{job.request.model}#{job.request.operation}"
        self._conditionally(
            [
                self._rewrite(job, lease),
                self._add(
                    job.tenant,
                    f"month#{job.month}",
                    committed=job.charge - job.hold,
                    spent=job.charge,
                ),
                self._add(job.tenant, count, jobs=1, images=made, spent=job.charge),
                *(self._charge(job, attempt) for attempt in job.attempts),
            ]
        )
        return job

    def replied(self, job: Job) -> None:
        """Note that the closed job's answer lies in the outbox."""
        self._update(
            job.tenant,
            job.id,
            UpdateExpression="REMOVE #open, reply_to",
            ConditionExpression="attribute_exists(tenant)",
            ExpressionAttributeNames={"#open": "open"},
        )

    def due(self, now: int) -> Iterator[tuple[str, str]]:
        """Yield (tenant, job id) of all that is due, longest due first."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.jobs_table,
            IndexName="open",
            KeyConditionExpression="#open = :open AND due_at <= :now",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues=values({":open": "open", ":now": now}),
        )
        for page in pages:
            for item in map(plain, page["Items"]):
                yield item["tenant"], item["sk"].removeprefix("job#")

    def _get(self, tenant: str, sk: str) -> dict[str, Any] | None:
        got = self.client.get_item(
            TableName=self.jobs_table,
            Key=values({"tenant": tenant, "sk": sk}),
            ConsistentRead=True,
        )
        return plain(got["Item"]) if "Item" in got else None

    def _update(self, tenant: str, job_id: str, **expressions: Any) -> dict[str, Any]:
        key = values({"tenant": tenant, "sk": f"job#{job_id}"})
        return update(self.client, self.sleep, TableName=self.jobs_table, Key=key, **expressions)

    def _rewrite(self, job: Job, lease: str | None) -> Write:
        """Replace the open job's item, if the lease is still this one."""
        extra: dict[str, Any] = {}
        if job.open or job.reply_to:
            extra["open"] = "open"
        if not job.open:
            extra["expires_at"] = (job.finished_at or 0) + self.retention_days * _DAY_SECONDS
        held = "lease = :lease" if lease else "attribute_not_exists(lease)"
        names = {":queued": "queued", ":running": "running"} | ({":lease": lease} if lease else {})
        return put(
            self.jobs_table,
            _item(job) | values(extra),
            f"#status IN (:queued, :running) AND {held}",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values(names),
        )

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

    def _conditionally(self, writes: list[Write]) -> None:
        if transact(self.client, writes, self.sleep):
            raise LeaseLost


def _item(job: Job) -> dict[str, Any]:
    fields = job.model_dump(mode="json", exclude_none=True)
    fields["sk"] = f"job#{fields.pop('id')}"
    for name in _JSON:
        if name in fields:
            fields[name] = json.dumps(fields[name], ensure_ascii=False, separators=(",", ":"))
    return values(fields)


def _job(item: dict[str, Any]) -> Job:
    fields = {**item, "id": item["sk"].removeprefix("job#")}
    for name in _JSON:
        if name in fields:
            fields[name] = json.loads(fields[name])
    return Job.model_validate(fields)
