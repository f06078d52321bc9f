"""The jobs table, but for money: what is read of it, and what is noted of callers and answers.

``aws.ledger`` says what lies in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

from easel.aws.items import plain, read, values
from easel.aws.transactions import update
from easel.errors import EaselError
from easel.identity import Seen
from easel.jobs import Job

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_DAY_SECONDS = 86_400
_JSON = ("request", "attempts", "answer", "error")


class Pointer(NamedTuple):
    """Which jobs a key or a request was last seen to be, oldest first."""

    fingerprint: str
    text: str
    """As it lies there: what it is compared by."""

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The jobs, by their ids."""
        return tuple(Seen(*one) for one in json.loads(self.text))


@dataclass(frozen=True, slots=True)
class Jobs:
    """Reads the jobs table, notes who was told. ``sleep`` is what a conflict waits with."""

    client: DynamoDBClient
    jobs_table: str
    retention_days: int
    sleep: Callable[[float], None]

    def job(self, tenant: str, job_id: str) -> Job | None:
        """Return the tenant's job, if it has one of this id."""
        item = self._get(tenant, f"job#{job_id}")
        return of_item(item) if item else None

    def jobs(self, tenant: str, after: str | None, page: int) -> Iterator[Job]:
        """Yield the tenant's jobs, newest first, read so many at a time.

        ``after`` is the id that the first one comes after, whether or not there is such a job.
        """
        start: dict[str, Any] = {}
        if after:
            start["ExclusiveStartKey"] = values({"tenant": tenant, "sk": f"job#{after}"})
        pages = self.client.get_paginator("query").paginate(
            TableName=self.jobs_table,
            KeyConditionExpression="tenant = :tenant AND begins_with(sk, :job)",
            ExpressionAttributeValues=values({":tenant": tenant, ":job": "job#"}),
            ScanIndexForward=False,
            ConsistentRead=True,
            PaginationConfig={"PageSize": page},
            **start,
        )
        for found in pages:
            yield from map(of_item, map(plain, found["Items"]))

    def pointer(self, tenant: str, sk: str) -> Pointer | None:
        """Return what the key or the fingerprint points to."""
        item = self._get(tenant, sk)
        return Pointer(item["fingerprint"], item["seen"]) if item else None

    def due(self, now: int) -> Iterator[tuple[str, str]]:
        """Yield (tenant, id) of all that is due, longest due first: jobs, and what waits."""
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

    def remember(self, tenant: str, pointer: str, before: Pointer, seen: Iterable[Seen]) -> bool:
        """Let the pointer, which was ``before``, say ``seen``; False where it has moved."""
        expressions = unmoved_since(before)
        # Ours already: an earlier try worked, and only its answer was lost.
        expressions["ExpressionAttributeValues"] |= values(
            {":now": to_text(seen), ":me": token_hex(8)}
        )
        try:
            update(
                self.client,
                self.sleep,
                TableName=self.jobs_table,
                Key=values({"tenant": tenant, "sk": pointer}),
                UpdateExpression="SET seen = :now, mover = :me",
                ConditionExpression="seen = :seen OR mover = :me",
                **expressions,
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def delivered(self, job: Job) -> bool:
        """Note that a caller is told the closed job's end; False where one has been before."""
        return self._noted(
            job,
            UpdateExpression="SET delivered = :yes, receiver = :me",
            ConditionExpression="delivered = :no OR receiver = :me",
            ExpressionAttributeValues=values({":yes": True, ":no": False, ":me": token_hex(8)}),
        )

    def join(self, job: Job) -> Job | None:
        """Keep the open job from being cancelled from now on; return it as it then is."""
        until = job.created_at + self.retention_days * _DAY_SECONDS
        update(
            self.client,
            self.sleep,
            TableName=self.jobs_table,
            Key=values({"tenant": job.tenant, "sk": f"joined#{job.id}"}),
            UpdateExpression="SET expires_at = :until",
            ExpressionAttributeValues=values({":until": until}),
        )
        return self.job(job.tenant, job.id)

    def told(self, job: Job) -> None:
        """Note that the closed job's end has been told; nothing where it is open again, or gone."""
        self._noted(
            job,
            UpdateExpression="REMOVE #open, untold",
            ConditionExpression="finished_at = :finished",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues=values({":finished": job.finished_at}),
        )

    def put_off(self, job: Job, due_at: int) -> None:
        """Let the sweep look at the closed job, whose event is owing, at Unix time ``due_at``."""
        self._noted(
            job,
            UpdateExpression="SET due_at = :at, replied = :yes",
            ConditionExpression="attribute_exists(#open) AND finished_at = :finished",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues=values(
                {":at": due_at, ":yes": True, ":finished": job.finished_at}
            ),
        )

    def look_later(self, job: Job, due_at: int) -> None:
        """Let the sweep look at the job at Unix time ``due_at``, if no worker has had it yet."""
        self._noted(
            job,
            UpdateExpression="SET due_at = :at",
            ConditionExpression="#status = :queued AND attribute_not_exists(started_at)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=values({":at": due_at, ":queued": "queued"}),
        )

    def _noted(self, job: Job, **expressions: Any) -> bool:
        """Change some attributes of the job, if the condition holds; tell whether it did."""
        try:
            self._update(job.tenant, job.id, **expressions)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _update(self, tenant: str, job_id: str, **expressions: Any) -> dict[str, Any]:
        key = values({"tenant": tenant, "sk": f"job#{job_id}"})
        return update(self.client, self.sleep, TableName=self.jobs_table, Key=key, **expressions)

    def _get(self, tenant: str, sk: str) -> dict[str, Any] | None:
        return read(self.client, self.jobs_table, {"tenant": tenant, "sk": sk})


def unmoved_since(before: Pointer) -> dict[str, Any]:
    """Return what ``seen = :seen`` compares a pointer with."""
    return {"ExpressionAttributeValues": values({":seen": before.text})}


def to_text(seen: Iterable[Seen]) -> str:
    """Return what a pointer keeps of the jobs."""
    # Of three fields where that is all, as they were once: a release that is taken back reads them.
    return json.dumps([one if one.joined else one[:3] for one in seen], separators=(",", ":"))


def wordless(job: Job) -> Job:
    """Return the closed job without its caller's and upstream's words."""
    error = job.error and {**job.error, "message": EaselError.from_record(job.error).unquoted()}
    return job.model_copy(
        update={
            "request": job.request.wordless(),
            "answer": job.answer and job.answer.model_copy(update={"revised_prompts": ()}),
            "error": error and {**error, "quotes": None},
        }
    )


def to_item(job: Job) -> dict[str, Any]:
    """Return the job as DynamoDB's values."""
    fields = job.model_dump(mode="json", exclude_none=True)
    fields["sk"] = f"job#{fields.pop('id')}"
    for name in _JSON:
        if name in fields:
            fields[name] = json.dumps(fields[name], ensure_ascii=False, separators=(",", ":"))
    return values(fields)


def of_item(item: dict[str, Any]) -> Job:
    """Return the job of an item's plain values."""
    fields = {**item, "id": item["sk"].removeprefix("job#")}
    for name in _JSON:
        if name in fields:
            fields[name] = json.loads(fields[name])
    return Job.model_validate(fields)
