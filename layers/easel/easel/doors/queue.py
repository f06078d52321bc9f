"""The work queue: each message names a job to look at.

The message of a job that must wait for its turn counts as failed, and stays hidden until then. The
function sends none itself: Lambda stops one that keeps feeding its own queue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from easel import telemetry

if TYPE_CHECKING:
    from easel.lifecycle import Lifecycle


class Waits(Exception):
    """The message shall come again, and nothing is wrong with it."""


def work(event: Mapping[str, Any], lifecycle: Lifecycle, until: float) -> dict[str, Any]:
    """Run each message's job until Unix time ``until``; report the messages that come again."""

    def run(record: SQSRecord) -> None:
        message = json.loads(record.body)
        job = lifecycle.worker.run(message["tenant"], message["job"], until)
        if job and job.status == "queued" and lifecycle.put_off(record.receipt_handle, job):
            raise Waits

    return each(event, run)


def each(event: Mapping[str, Any], handle: Callable[[SQSRecord], None]) -> dict[str, Any]:
    """Handle every record by itself; name those that shall come again, as Lambda wants it.

    docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    again = [
        record.message_id for record in map(SQSRecord, event["Records"]) if _again(record, handle)
    ]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}


def _again(record: SQSRecord, handle: Callable[[SQSRecord], None]) -> bool:
    """Handle the record; return whether its message shall come again."""
    try:
        handle(record)
    except Waits:
        return True
    except Exception as error:
        telemetry.unexpected(error)
        return True
    return False
