"""The work queue: messages that say which job to look at, never what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_LONGEST_HIDDEN_SECONDS = 11 * 3600
"""SQS hides a message for at most 12 hours."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Sends work messages. Duplicates are harmless: the ledger decides who works."""

    connect: Callable[[], SQSClient]
    """Makes the client, or returns the one it made: who only reads jobs sends nothing."""
    url: str

    @property
    def client(self) -> SQSClient:
        """SQS."""
        return self.connect()

    def send(self, tenant: str, job_id: str) -> bool:
        """Ask some worker to look at the job; tell whether the message surely went off."""
        body = json.dumps({"tenant": tenant, "job": job_id})
        try:
            # By its group SQS knows whose messages fill the queue, and lets others' pass them.
            self.client.send_message(QueueUrl=self.url, MessageBody=body, MessageGroupId=tenant)
        except (BotoCoreError, ClientError):
            return False
        return True

    def hide(self, receipt: str, seconds: int) -> bool:
        """Let the message come again after so long; tell whether it surely will."""
        try:
            self.client.change_message_visibility(
                QueueUrl=self.url,
                ReceiptHandle=receipt,
                VisibilityTimeout=min(seconds, _LONGEST_HIDDEN_SECONDS),
            )
        except (BotoCoreError, ClientError):
            return False
        return True
