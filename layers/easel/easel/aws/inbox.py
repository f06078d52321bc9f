"""What the inbox and the outbox remember, in the jobs table.

Key (``tenant``, ``sk``), TTL ``expires_at``; all digests are SHA-256 of a key in the bucket:

| sk | what | attributes |
|---|---|---|
| ``inbox#manifest#{digest}`` | a manifest that waits for pictures | pictures, missing, late |
| ``inbox#picture#{digest}`` | a picture that waits for a manifest | see below |
| the same | the content of it that a manifest has used | used, expires_at |
| ``outbox#{digest}`` | whose answer lies there | sequencer, version, job or refusal, expires_at |

What waits has the attributes of its ``questions.Question``; ``open`` and ``due_at`` put it into the
index that the sweep looks at. A tenant's waiting manifests are few: they are found by a Query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from easel.aws.items import plain, read, values
from easel.keys import digest
from easel.questions import WAITING, Claim, Question, Waiting

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_MANIFESTS, _PICTURES = f"{WAITING}manifest#", f"{WAITING}picture#"
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads and writes what waits, what was used, and whose answer stands."""

    client: DynamoDBClient
    jobs_table: str
    retention_days: int

    def wait(self, waiting: Waiting) -> None:
        """Let it wait, unless a newer version of it does, or a manifest has used this content."""
        asked = waiting.question
        lists = {"pictures": list(waiting.pictures), "missing": list(waiting.missing)}
        self._put(
            asked.tenant,
            _sk(asked),
            {**asdict(asked), **lists, "content": asked.content, "open": "open"},
            "attribute_not_exists(sk) OR sequencer <= :sequencer "
            "OR (attribute_exists(used) AND used <> :content)",
            sequencer=asked.sequencer,
            content=asked.content,
        )

    def waiting(self, tenant: str, sk: str) -> Waiting | None:
        """Return what waits under this key, if it still does."""
        item = self._get(tenant, sk)
        return _waiting(item) if item and "due_at" in item else None

    def wait_on(self, question: Question, due_at: int) -> None:
        """Let what waits do so, once, until Unix time ``due_at``."""
        with suppress(self.client.exceptions.ConditionalCheckFailedException):
            self.client.update_item(
                TableName=self.jobs_table,
                Key=values({"tenant": question.tenant, "sk": _sk(question)}),
                UpdateExpression="SET due_at = :at, late = :yes",
                ConditionExpression="sequencer = :sequencer AND attribute_exists(due_at)",
                ExpressionAttributeValues=values(
                    {":at": due_at, ":yes": True, ":sequencer": question.sequencer}
                ),
            )

    def naming(self, picture: Question) -> Iterator[Question]:
        """Yield the waiting manifests that name the picture."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.jobs_table,
            ConsistentRead=True,
            KeyConditionExpression="tenant = :tenant AND begins_with(sk, :manifests)",
            FilterExpression="contains(pictures, :picture)",
            ExpressionAttributeValues=values(
                {
                    ":tenant": picture.tenant,
                    ":manifests": _MANIFESTS,
                    ":picture": picture.key,
                }
            ),
        )
        for page in pages:
            yield from (_waiting(plain(item)).question for item in page["Items"])

    def use(self, tenant: str, contents: Mapping[str, str], now: float) -> None:
        """Note the contents, by key, of the pictures that a manifest uses: they need not wait."""
        for key, content in contents.items():
            self._put(
                tenant,
                f"{_PICTURES}{digest(key)}",
                {"used": content, "expires_at": self._kept_until(now)},
                "attribute_not_exists(due_at) OR content = :content",
                content=content,
            )

    def done(self, question: Question) -> None:
        """Forget that the question waits; a newer version of it waits on."""
        try:
            self.client.delete_item(
                TableName=self.jobs_table,
                Key=values({"tenant": question.tenant, "sk": _sk(question)}),
                ConditionExpression="attribute_not_exists(sk) OR sequencer <= :sequencer",
                ExpressionAttributeValues=values({":sequencer": question.sequencer}),
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return

    def claim(self, tenant: str, place: str, claim: Claim, now: float) -> Claim:
        """Claim a place of the outbox; return whose it is now, which may be a newer version's.

        A refusal yields to a job of the same version. An unknown order claims from anybody.
        """
        older = "attribute_not_exists(sequencer) OR sequencer < :sequencer"
        equal = "sequencer = :sequencer"
        if claim.refusal:
            equal += " AND attribute_not_exists(job)"
        fields = {**claim._asdict(), "expires_at": self._kept_until(now)}
        sk = f"outbox#{digest(place)}"
        if not claim.ordered:
            self._put(tenant, sk, fields)
        elif not self._put(tenant, sk, fields, f"{older} OR ({equal})", sequencer=claim.sequencer):
            return self.claimed(tenant, place) or claim
        return claim

    def claimed(self, tenant: str, place: str) -> Claim | None:
        """Return whose answer belongs there, if anybody's."""
        item = self._get(tenant, f"outbox#{digest(place)}")
        return Claim(**{name: item.get(name) for name in Claim._fields}) if item else None

    def _kept_until(self, now: float) -> int:
        return int(now) + self.retention_days * _DAY_SECONDS

    def _put(
        self,
        tenant: str,
        sk: str,
        fields: dict[str, Any],
        condition: str | None = None,
        **compared: Any,
    ) -> bool:
        """Write the item, if the condition holds; tell whether it did."""
        expressions: dict[str, Any] = {}
        if condition:
            expressions["ConditionExpression"] = condition
            expressions["ExpressionAttributeValues"] = values(
                {f":{name}": value for name, value in compared.items()}
            )
        item = values({"tenant": tenant, "sk": sk, **fields})
        try:
            self.client.put_item(TableName=self.jobs_table, Item=item, **expressions)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _get(self, tenant: str, sk: str) -> dict[str, Any] | None:
        return read(self.client, self.jobs_table, {"tenant": tenant, "sk": sk})


def _sk(question: Question) -> str:
    return f"{_MANIFESTS if question.manifest else _PICTURES}{digest(question.key)}"


def _waiting(item: dict[str, Any]) -> Waiting:
    question = Question(
        key=item["key"],
        etag=item["etag"],
        version=item.get("version"),
        sequencer=item["sequencer"],
        due_at=int(item["due_at"]),
    )
    lists = tuple(item["pictures"]), tuple(item["missing"])
    return Waiting(question, *lists, late=item.get("late", False))
