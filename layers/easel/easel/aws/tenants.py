"""The tenants table: whose key it is, and what the tenant is allowed.

| id | attributes |
|---|---|
| ``key#{sha256 of the key}`` | tenant, created_at |
| ``tenant#{name}`` | name, created_at, response_format, month_budget, day_budget |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easel.aws.items import plain, values
from easel.errors import Conflict, NotFound
from easel.tenants import Tenant, digest

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Tenants:
    """Reads and writes tenants."""

    client: DynamoDBClient
    table: str

    def of_key(self, key: str) -> Tenant | None:
        """Return whose key it is; None for an unknown one."""
        item = self._get(f"key#{digest(key)}")
        return self.named(item["tenant"]) if item else None

    def named(self, name: str) -> Tenant | None:
        """Return the tenant of this name, if there is one."""
        item = self._get(f"tenant#{name}")
        return Tenant.model_validate(item) if item else None

    def create(self, tenant: Tenant, now: float) -> None:
        """Write a new tenant. Raises Conflict where the name is taken."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item=values(
                    {**tenant.model_dump(), "id": f"tenant#{tenant.name}", "created_at": int(now)}
                ),
                ConditionExpression="attribute_not_exists(id)",
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            raise Conflict(f"There is a tenant {tenant.name!r} already.") from None

    def add_key(self, name: str, key: str, now: float) -> None:
        """Let the key speak for the tenant. Only its digest is stored. Raises NotFound."""
        if self.named(name) is None:
            raise NotFound(f"There is no tenant {name!r}; create it first.")
        self.client.put_item(
            TableName=self.table,
            Item=values({"id": f"key#{digest(key)}", "tenant": name, "created_at": int(now)}),
        )

    def _get(self, key: str) -> dict[str, Any] | None:
        got = self.client.get_item(TableName=self.table, Key={"id": {"S": key}}).get("Item")
        return plain(got) if got else None
