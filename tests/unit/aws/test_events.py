"""What an event says, and whether it went off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from easel.aws import clients
from easel.aws.events import Events, detail
from easel.errors import UpstreamRefused
from easel.jobs import Job
from tests import deployment
from tests.unit.examples import NOW, image, job, request, succeeded

SECRETS = "a secret fox"


def ended() -> Iterator[Job]:
    asked = request(prompt=SECRETS)
    yield succeeded(image("images/demo/j/1/0.png"), image("images/demo/j/1/1.png"), request=asked)
    refused = UpstreamRefused(SECRETS, status=400, code="moderation_blocked")
    yield job(request=asked).close("failed", NOW, error=refused)
    yield job(request=asked).close("cancelled", NOW)


@pytest.fixture
def events(environ: dict[str, str]) -> Events:
    return Events(clients.events, "default", "pictures")


def test_a_detail_says_what_came_of_the_job() -> None:
    made, failed, cancelled = ended()
    assert detail(made, "pictures") == {
        "tenant": "demo",
        "job": made.id,
        "operation": "generate",
        "status": "succeeded",
        "model": "gpt-image-2.5-flare",
        "cost_usd": 0.013,
        "bucket": "pictures",
        "images": ["images/demo/j/1/0.png", "images/demo/j/1/1.png"],
        "error": None,
    }
    said = detail(failed, "pictures")
    assert (said["status"], said["error"], said["images"]) == ("failed", "moderation_blocked", [])
    assert detail(cancelled, "pictures")["status"] == "cancelled"


def test_no_event_says_the_prompt_or_a_message() -> None:
    for one in ended():
        assert SECRETS not in json.dumps(detail(one, "pictures"))


def test_a_rule_for_easel_gets_it(events: Events) -> None:
    sqs, bus = deployment.client("sqs"), events.connect()
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    bus.put_rule(Name="easel", EventPattern='{"source": ["easel"]}')
    target = {"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}
    bus.put_targets(Rule="easel", Targets=[target])
    made = next(ended())
    assert events.finished(made) is True
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    event = json.loads(message["Body"])
    assert (event["source"], event["detail-type"]) == ("easel", "easel.job.finished")
    assert event["detail"] == detail(made, "pictures")


FAILURES: dict[str, Any] = {
    "the service": ({"Error": {"Code": "InternalFailure"}}, 400),
    "the entry": ({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}, 200),
    "the line": (EndpointConnectionError(endpoint_url="https://events"), 0),
}


@pytest.mark.parametrize(("answer", "status"), FAILURES.values(), ids=list(FAILURES))
def test_an_event_that_may_not_have_gone_off_is_told(
    environ: dict[str, str], answer: Any, status: int
) -> None:
    client = clients.events()

    def answered(**_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return type("Response", (), {"status_code": status})(), answer

    client.meta.events.register("before-call.eventbridge.PutEvents", answered)
    assert Events(lambda: client, "default", "pictures").finished(next(ended())) is False
