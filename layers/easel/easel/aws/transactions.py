"""Writes to DynamoDB that are tried again where another write was in the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from easel.aws.items import values
from easel.errors import EaselError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_FAILED = "ConditionalCheckFailed"
_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_PASSING_ERRORS = {
    "TransactionInProgressException",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "InternalServerError",
}

Sleep = Callable[[float], None]
Write = dict[str, Any]


def put(table: str, item: dict[str, Any], condition: str, **expressions: Any) -> Write:
    """Return a write of a whole item, if the condition holds."""
    return {
        "Put": {"TableName": table, "Item": item, "ConditionExpression": condition} | expressions
    }


def add(
    table: str, key: dict[str, Any], amounts: dict[str, int], most: tuple[str, int] | None = None
) -> Write:
    """Return a write that adds to an item's numbers, all zero where there is none.

    ``most``: a number of it, and the most it may be before, for anything to be added.
    """
    write: Write = {
        "TableName": table,
        "Key": values(key),
        "UpdateExpression": "ADD " + ", ".join(f"#{name} :{name}" for name in amounts),
        "ExpressionAttributeNames": {f"#{name}": name for name in amounts},
        "ExpressionAttributeValues": values({f":{name}": n for name, n in amounts.items()}),
    }
    if most:
        name, limit = most
        write["ConditionExpression"] = f"attribute_not_exists({name}) OR {name} <= :most"
        write["ExpressionAttributeValues"] |= values({":most": limit})
    return {"Update": write}


def absent(table: str, key: dict[str, Any]) -> Write:
    """Return a condition on another item: that there is none."""
    condition = "attribute_not_exists(tenant)"
    return {
        "ConditionCheck": {
            "TableName": table,
            "Key": values(key),
            "ConditionExpression": condition,
        }
    }


def transact(client: DynamoDBClient, writes: list[Write], sleep: Sleep) -> set[int]:
    """Write all or nothing; return the indices of the writes whose condition failed.

    A conflict or throttling is tried again with jitter, for a few seconds, then it is an EaselError
    of status 503. What was written although DynamoDB said that it failed is not written twice: its
    token is the same until a transaction was cancelled, which writes nothing.
    """
    token = uuid4().hex
    for pause in pauses():
        try:
            client.transact_write_items(
                TransactItems=writes,  # type: ignore[arg-type]  # plain dicts
                ClientRequestToken=token,
            )
        except ClientError as error:
            failed, passing = _reasons(error)
            if failed and not passing:
                return failed
            if not passing:
                raise
            if "CancellationReasons" in error.response:
                token = uuid4().hex
        else:
            return set()
        sleep(pause)
    raise busy()


def update(client: DynamoDBClient, sleep: Sleep, **request: Any) -> dict[str, Any]:
    """Update one item; a transaction on it is waited for, as above. Returns the response."""
    for pause in pauses():
        try:
            return dict(client.update_item(**request))
        except client.exceptions.TransactionConflictException:
            sleep(pause)
    raise busy()


def pauses() -> Iterator[float]:
    """Yield how long to wait before each further try, for a few seconds in all."""
    for step in range(8):
        yield random.uniform(0, 0.05 * 2**step)


def busy() -> EaselError:
    """Return the error of a write that others were always in the way of."""
    return EaselError("The ledger is busy; try again.", status=503, retry=True, retry_after=1)


def _reasons(error: ClientError) -> tuple[set[int], bool]:
    """Return which conditions failed, and whether the same write may work in a moment.

    Whoever is in the way of a write may change what the conditions of the later ones decide.
    """
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = [reason.get("Code", "None") for reason in reasons]
    failed = {index for index, code in enumerate(codes) if code == _FAILED}
    passing = error.response["Error"]["Code"] in _PASSING_ERRORS
    before = codes[: min(failed, default=None)]
    return failed, passing or bool(_PASSING.intersection(before))
