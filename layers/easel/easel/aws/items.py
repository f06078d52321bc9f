"""DynamoDB's items and plain dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_to_value = TypeSerializer().serialize
_from_value = TypeDeserializer().deserialize


def values(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as DynamoDB's values; None is left out."""
    return {name: _to_value(value) for name, value in fields.items() if value is not None}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item's values as Python's."""
    return {name: _from_value(value) for name, value in item.items()}


def read(
    client: DynamoDBClient, table: str, key: dict[str, Any], *, consistently: bool = True
) -> dict[str, Any] | None:
    """Return the table's item under the key, as plain values; None where there is none."""
    got = client.get_item(TableName=table, Key=values(key), ConsistentRead=consistently)
    return plain(got["Item"]) if "Item" in got else None
