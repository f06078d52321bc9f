"""The ledger table, read: what was counted, committed and spent.

``aws.ledger`` says what lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from easel.aws.items import plain, read, values
from easel.usage import Balance, Count

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Books:
    """Reads money; all of it in micro-dollars."""

    client: DynamoDBClient
    table: str

    def counts(self, tenant: str, first: str, last: str) -> Iterator[Count]:
        """Yield what the tenant's days count, from ``first`` to ``last`` (2026-11-22), both in."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            # What follows a day is "#"; "$" is the character after that.
            KeyConditionExpression="tenant = :tenant AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues=values(
                {":tenant": tenant, ":first": f"count#{first}#", ":last": f"count#{last}$"}
            ),
            ConsistentRead=True,
        )
        for page in pages:
            for item in map(plain, page["Items"]):
                _, day, model, operation = item["sk"].split("#")
                amounts = (int(item.get(of, 0)) for of in ("jobs", "images", "hits", "spent"))
                yield Count(day, model, operation, *amounts)

    def balance(self, tenant: str, period: str) -> Balance:
        """Return what stands in ``month#2026-11`` or ``day#2026-11-22``."""
        item = read(self.client, self.table, {"tenant": tenant, "sk": period}) or {}
        return Balance(int(item.get("committed", 0)), int(item.get("spent", 0)))
