"""Whose key it is: all that the authorizer reads of the tenants table (``aws.tenants``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easel.aws.items import read
from easel.keys import digest

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class Keys:
    """Looks a key up, then its tenant."""

    client: DynamoDBClient
    table: str

    def tenant(self, key: str) -> dict[str, Any] | None:
        """Return the fields of the tenant whose key it is, as they lie; None for an unknown one.

        The doors make a ``tenants.Tenant`` of them: to load what checks it costs a cold start more
        than all the rest of the authorizer.
        """
        item = self._get(f"key#{digest(key)}")
        return self._get(f"tenant#{item['tenant']}") if item else None

    def _get(self, item_id: str) -> dict[str, Any] | None:
        return read(self.client, self.table, {"id": item_id}, consistently=False)
