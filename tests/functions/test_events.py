"""Every event of events/ passes through its own handler."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from easel.tenants import Tenant
from local.template import ROOT
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import picture
from tests.unit.examples import DEMO

EVENTS = sorted((ROOT / "events").glob("*/*.json"))


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_event_passes_through_its_handler(path: Any, deployed: Deployed) -> None:
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="")
    boto3.client("s3").put_object(
        Bucket="easel",
        Key="inbox/demo/a cat.png",
        Body=picture(),
        Metadata={"prompt": "a hat for the cat"},
    )
    manifest = {"prompt": "a hat for each cat", "images": ["a cat.png", "a cat.png"]}
    boto3.client("s3").put_object(
        Bucket="easel", Key="inbox/demo/two cats.json", Body=json.dumps(manifest)
    )
    event = deployed.event(path.parent.name, path.stem)
    answer = deployed.handler(path.parent.name)(event, Context())
    assert EXPECTED[f"{path.parent.name}/{path.stem}"](answer, deployed)


def made(answer: dict[str, Any], deployed: Deployed) -> bool:
    body = json.loads(answer["body"]) if "body" in answer else answer
    return body["data"][0]["url"].startswith("https://") and len(deployed.standin.calls()) == 1


EXPECTED = {
    "authorizer/https": lambda answer, _: (
        Tenant.model_validate_json(answer["context"]["tenant"]) == DEMO
    ),
    "edit/direct": made,
    "edit/https": made,
    "edit/manifest": lambda _, deployed: bool(deployed.object("outbox/demo/two cats.json.png")),
    "edit/inbox": lambda _, deployed: bool(deployed.object("outbox/demo/a cat.png.png")),
    "generate/direct": made,
    "generate/https": made,
    "inputs/https": lambda answer, _: (
        json.loads(answer["body"])["fields"]["Content-Type"] == "image/png"
    ),
    "jobs/cancel": lambda answer, _: answer["statusCode"] == 404,
    "jobs/list": lambda answer, _: json.loads(answer["body"])["data"] == [],
    "jobs/usage": lambda answer, _: json.loads(answer["body"])["group_by"] == "model",
    "jobs/https": lambda answer, _: answer["statusCode"] == 404,
    "models/https": lambda answer, _: len(json.loads(answer["body"])["data"]) > 5,
    "models/preflight": lambda answer, _: answer["statusCode"] == 404,
    "sweep/schedule": lambda answer, _: answer == {"due": 0},
    "variation/direct": made,
    "variation/https": made,
    "worker/queue": lambda answer, _: answer == {"batchItemFailures": []},
}


def test_every_event_is_expected() -> None:
    assert {f"{path.parent.name}/{path.stem}" for path in EVENTS} == set(EXPECTED)
