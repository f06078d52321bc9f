"""What a work message says."""

from __future__ import annotations

import json

from easel.aws import clients
from easel.aws.queue import Queue


def test_a_message_names_the_job_and_no_more(environ: dict[str, str]) -> None:
    queue = Queue(clients.sqs(), environ["WORK_QUEUE_URL"])
    assert queue.send("demo", "job_1") is True
    [message] = queue.client.receive_message(QueueUrl=queue.url)["Messages"]
    assert json.loads(message["Body"]) == {"tenant": "demo", "job": "job_1"}


def test_a_message_that_was_not_sent_is_told(environ: dict[str, str]) -> None:
    missing = Queue(clients.sqs(), environ["WORK_QUEUE_URL"] + "-of-another-name")
    assert missing.send("demo", "job_1") is False
