"""DynamoDB's items and plain dictionaries."""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

_to_value = TypeSerializer().serialize
_from_value = TypeDeserializer().deserialize


def values(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as DynamoDB's values; None is left out."""
    return {name: _to_value(value) for name, value in fields.items() if value is not None}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item's values as Python's."""
    return {name: _from_value(value) for name, value in item.items()}
