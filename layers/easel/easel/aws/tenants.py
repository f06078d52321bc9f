"""The tenants table: whose key it is, and what the tenant is allowed.

| id | attributes |
|---|---|
| ``key#{sha256 of the key}`` | tenant, created_at |
| ``tenant#{name}`` | created_at, and the fields of ``tenants.Tenant``; None is left out |

A call looks up its key, then its tenant (``aws.keys``). Only the operator lists, and the table is
small: a scan does, and there is no index to keep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easel.aws.items import plain, read, values
from easel.errors import Conflict, Forbidden, InvalidRequest, NotFound
from easel.keys import Key, digest
from easel.tenants import Tenant, is_name

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEY_ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Tenants:
    """Reads and writes tenants."""

    client: DynamoDBClient
    table: str

    def named(self, name: str, *, consistently: bool = False) -> Tenant | None:
        """Return the tenant of this name, if there is one."""
        key = f"tenant#{name}"
        item = self._get(key, consistently=consistently) if is_name(name) else None
        return Tenant.model_validate(item) if item else None

    def existing(self, name: str) -> Tenant:
        """Return the tenant of this name. Raises NotFound."""
        tenant = self.named(name, consistently=True)  # it may have been created just now
        if tenant is None:
            raise _unknown(name)
        return tenant

    def payer(self, name: str) -> Tenant:
        """Return the tenant that is to pay. Raises NotFound, or Forbidden if it is suspended."""
        tenant = self.existing(name)
        if tenant.suspended:
            raise Forbidden(
                f"The tenant {name!r} is suspended. Ask the operator.",
                code="tenant_suspended",
                param="tenant",
            )
        return tenant

    def all(self) -> Iterator[Tenant]:
        """Yield every tenant, by name."""
        found = self._scan("begins_with(id, :kind)", kind="tenant#")
        for item in sorted(found, key=lambda item: str(item["name"])):
            yield Tenant.model_validate(item)

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

    def change(self, name: str, changes: Mapping[str, Any]) -> Tenant:
        """Set some of a tenant's fields, None to what it says; return the tenant as it is then.

        Fields that are not named keep what somebody else may set meanwhile. Raises NotFound.
        """
        given = values(dict(changes))
        sets = ", ".join(f"#{field} = :{field}" for field in given)
        removes = ", ".join(f"#{field}" for field in changes if field not in given)
        update = [f"SET {sets}"] if sets else []
        update += [f"REMOVE {removes}"] if removes else []
        bound: dict[str, Any] = {}
        if given:
            bound["ExpressionAttributeValues"] = {f":{each}": given[each] for each in given}
        try:
            changed = self.client.update_item(
                TableName=self.table,
                Key={"id": {"S": f"tenant#{name}"}},
                UpdateExpression=" ".join(update),
                ConditionExpression="attribute_exists(id)",
                ExpressionAttributeNames={f"#{field}": field for field in changes},
                ReturnValues="ALL_NEW",
                **bound,
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            raise _unknown(name) from None
        return Tenant.model_validate(plain(changed["Attributes"]))

    def add_key(self, name: str, key: str, now: float) -> None:
        """Let the key speak for the tenant. Only its digest is stored. Raises NotFound."""
        self.existing(name)
        self.client.put_item(
            TableName=self.table,
            Item=values({"id": f"key#{digest(key)}", "tenant": name, "created_at": int(now)}),
        )

    def keys(self, name: str) -> list[Key]:
        """Return the tenant's keys, oldest first. Raises NotFound."""
        self.existing(name)
        found = self._scan("begins_with(id, :kind) AND tenant = :name", kind="key#", name=name)
        kept = (Key(item["id"].removeprefix("key#"), int(item["created_at"])) for item in found)
        return sorted(kept, key=lambda key: (key.created_at, key.digest))

    def key(self, name: str, key_id: str) -> Key:
        """Return the tenant's one key whose digest begins so: with 8 hex digits or more.

        Raises InvalidRequest, NotFound, or Conflict where several do.
        """
        if not _KEY_ID.fullmatch(key_id):
            raise InvalidRequest(
                "A key's id is 8 or more of its digest's hexadecimal digits; "
                "`easel keys list` shows 12.",
                param="key_id",
            )
        found = [key for key in self.keys(name) if key.digest.startswith(key_id)]
        if not found:
            raise NotFound(f"The tenant {name!r} has no key {key_id}.", param="key_id")
        if len(found) > 1:
            raise Conflict(f"{len(found)} keys of {name!r} begin with {key_id}; say more of it.")
        return found[0]

    def revoke(self, key: Key) -> None:
        """Let the key speak for nobody."""
        self.client.delete_item(TableName=self.table, Key={"id": {"S": f"key#{key.digest}"}})

    def _scan(self, condition: str, **bound: str) -> Iterator[dict[str, Any]]:
        """Yield the items that meet the condition, read consistently."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.table,
            ConsistentRead=True,
            FilterExpression=condition,
            ExpressionAttributeValues={f":{name}": {"S": text} for name, text in bound.items()},
        )
        for page in pages:
            yield from map(plain, page["Items"])

    def _get(self, key: str, *, consistently: bool = False) -> dict[str, Any] | None:
        return read(self.client, self.table, {"id": key}, consistently=consistently)


def _unknown(name: str) -> NotFound:
    named = repr(name[:80])
    return NotFound(
        f"There is no tenant {named}; create it first.",
        param="tenant",
        quotes=None if is_name(name) else named,
    )
