"""What a work message says."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from easel.aws import clients
from easel.aws.queue import Queue


def received(queue: Queue, **options: Any) -> list[Any]:
    return queue.client.receive_message(QueueUrl=queue.url, **options).get("Messages", [])


def test_a_message_names_the_job_and_no_more(environ: dict[str, str]) -> None:
    queue = Queue(cache(clients.sqs), environ["WORK_QUEUE_URL"])
    assert queue.send("demo", "job_1") is True
    [message] = received(queue, AttributeNames=["MessageGroupId"])
    assert json.loads(message["Body"]) == {"tenant": "demo", "job": "job_1"}
    assert message["Attributes"] == {"MessageGroupId": "demo"}, "SQS is fair between tenants"


def test_a_message_is_hidden_and_comes_again(environ: dict[str, str]) -> None:
    queue = Queue(cache(clients.sqs), environ["WORK_QUEUE_URL"])
    queue.send("demo", "job_1")
    [message] = received(queue, VisibilityTimeout=60)
    assert queue.hide(message["ReceiptHandle"], 0) is True
    [again] = received(queue)
    assert again["MessageId"] == message["MessageId"]
    assert queue.hide(again["ReceiptHandle"], 100_000) is True
    assert received(queue) == []
    assert queue.hide("no receipt", 5) is False


def test_a_message_that_was_not_sent_is_told(environ: dict[str, str]) -> None:
    missing = Queue(cache(clients.sqs), environ["WORK_QUEUE_URL"] + "-of-another-name")
    assert missing.send("demo", "job_1") is False
