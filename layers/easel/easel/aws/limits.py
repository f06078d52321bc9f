"""Tenants' rates in the jobs table, for all functions together.

| sk | attributes |
|---|---|
| ``rate#requests``, ``rate#images`` | full_at: when it is full again, in Unix microseconds |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easel.aws.items import plain, read, values
from easel.limits import Rate

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Limits:
    """Takes from what a tenant may ask for in a minute."""

    client: DynamoDBClient
    table: str
    clock: Callable[[], float]

    def take(self, tenant: str, rate: Rate, count: int) -> dict[str, str]:
        """Take so many of the tenant's allowance; return what is left, as headers.

        Raises RateLimited where so many are not in it now, InvalidRequest where they never are.
        """
        key = {"tenant": tenant, "sk": f"rate#{rate.what}"}
        while True:
            now = int(self.clock() * 1_000_000)
            cost, latest = rate.cost(count), rate.latest(count, now)
            if latest < now:
                raise rate.never(count)
            full_at = self._added(key, cost, now, latest) or self._begun(key, cost, now)
            if full_at:
                return rate.headers(full_at, now)
            full_at = self._full_at(key)
            # Otherwise another call began a full allowance between the two writes.
            if full_at > latest:
                raise rate.refusal(count, full_at, now)

    def _added(self, key: dict[str, str], cost: int, now: int, latest: int) -> int | None:
        """Take from an allowance that is not full."""
        bound = {":cost": cost, ":now": now, ":latest": latest}
        return self._write(key, "ADD full_at :cost", "full_at BETWEEN :now AND :latest", bound)

    def _begun(self, key: dict[str, str], cost: int, now: int) -> int | None:
        """Take from a full allowance."""
        full = "attribute_not_exists(full_at) OR full_at < :now"
        return self._write(key, "SET full_at = :then", full, {":now": now, ":then": now + cost})

    def _write(
        self, key: dict[str, str], update: str, condition: str, bound: dict[str, int]
    ) -> int | None:
        """Return when the allowance is full again; None where the condition does not hold."""
        try:
            got: Any = self.client.update_item(
                TableName=self.table,
                Key=values(key),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values(bound),
                ReturnValues="ALL_NEW",
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return None
        return int(plain(got["Attributes"])["full_at"])

    def _full_at(self, key: dict[str, str]) -> int:
        item = read(self.client, self.table, key) or {}
        return int(item.get("full_at", 0))
