"""Who carries messages astray: S3's events to the inbox queue, and work messages, on any path."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.stack.chaos.proxy import TENANT
from tests.stack.running import Running


class Courier:
    """Carries S3's events in the bucket's own notification's place, each as its trial wants it."""

    def __init__(self, running: Running, dice: random.Random) -> None:
        self._sqs = running.aws("sqs")
        self._names = running.names
        self._dice = dice
        self._copies: dict[str, str | None] = {}
        self._stopped = threading.Event()
        queue = self._sqs.create_queue(QueueName=f"chaos-{int(time.time())}")["QueueUrl"]
        self._divert(running, queue)
        self._thread = threading.Thread(target=self._carry, args=(queue,), daemon=True)
        self._thread.start()

    def expect(self, tenant: str, copies: str | None) -> None:
        """Carry the tenant's events so."""
        self._copies[tenant] = copies

    def send(self, tenant: str, job: str, copies: str) -> None:
        """Send work messages for a job as doors and the sweep send them."""
        body = json.dumps({"tenant": tenant, "job": job})
        self._astray(self._names["WorkQueue"], body, copies)

    def close(self) -> None:
        """Carry nothing any more."""
        self._stopped.set()
        self._thread.join(30)

    def _divert(self, running: Running, queue: str) -> None:
        asked = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
        arn = self._sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        may = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}}
        policy = {"Statement": [{**may, "Action": "sqs:SendMessage", "Resource": arn}]}
        self._sqs.set_queue_attributes(
            QueueUrl=queue, Attributes={"Policy": json.dumps({"Version": "2012-10-17", **policy})}
        )
        s3, bucket = running.aws("s3"), {"Bucket": running.bucket}
        (told,) = s3.get_bucket_notification_configuration(**bucket)["QueueConfigurations"]
        s3.put_bucket_notification_configuration(
            **bucket, NotificationConfiguration={"QueueConfigurations": [told | {"QueueArn": arn}]}
        )

    def _carry(self, queue: str) -> None:
        while not self._stopped.is_set():
            for body in self._received(queue):
                found = TENANT.search(body.encode())
                copies = self._copies.get(found[0].decode()) if found else None
                self._astray(self._names["InboxQueue"], body, copies)

    def _received(self, queue: str) -> Iterator[str]:
        asked: dict[str, Any] = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1}
        for message in self._sqs.receive_message(**asked).get("Messages", ()):
            self._sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            yield message["Body"]

    def _astray(self, queue: str, body: str, copies: str | None) -> None:
        """Send once, or three times within seconds, or late: whoever comes later may be first."""
        delays = {
            "doubled": (0, 0, self._dice.randint(1, 20)),
            "delayed": (self._dice.randint(10, 40),),
            "reordered": (self._dice.randint(0, 8), self._dice.randint(0, 8)),
        }.get(copies or "", (0,))
        for delay in delays:
            self._sqs.send_message(QueueUrl=queue, MessageBody=body, DelaySeconds=delay)
