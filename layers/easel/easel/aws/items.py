"""DynamoDB's items and plain dictionaries: of texts, whole numbers, yes and no, and lists of them.

boto3 has these, for all that DynamoDB knows; to load it takes each cold start longer than botocore,
which is all else that is used of it, needs for a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


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


def _to_value(value: object) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case list() | tuple():
            return {"L": [_to_value(each) for each in value]}
    raise TypeError(f"DynamoDB is given no {type(value).__name__}")


def _from_value(value: Mapping[str, Any]) -> Any:
    [(kind, held)] = value.items()
    match kind:
        case "S" | "BOOL":
            return held
        case "N":
            return int(held)
        case "L":
            return [_from_value(each) for each in held]
    raise TypeError(f"nothing of Easel's is of DynamoDB's type {kind}")
