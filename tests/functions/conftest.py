"""Each handler in this process: AWS by moto, OpenAI by the stand-in."""

from __future__ import annotations

import importlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from easel.aws import clients
from local.standin import Standin
from local.template import ROOT
from tests import deployment


@dataclass
class Context:
    """What Lambda hands to a handler."""

    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_name: str = "easel"
    ends_at: float = field(default_factory=lambda: time.time() + 900)

    def get_remaining_time_in_millis(self) -> int:
        return int((self.ends_at - time.time()) * 1000)


@dataclass
class Clock:
    """The time, and what was slept besides, in no time."""

    slept: float = 0

    def __call__(self) -> float:
        return time.time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@dataclass
class Deployed:
    """A deployment in this process."""

    environ: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    standin: Standin

    @property
    def now(self) -> float:
        return time.time()

    def set(self, **variables: str) -> None:
        """Change the functions' environment, before they are loaded."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def handler(self, function: str) -> Callable[[dict[str, Any], Context], Any]:
        """Return the handler of functions/{function}/app.py, initialised afresh."""
        name = f"functions.{function}.app"
        sys.modules.pop(name, None)
        handler: Callable[[dict[str, Any], Context], Any] = importlib.import_module(name).handler
        return handler

    def event(self, function: str, door: str, **changes: Any) -> dict[str, Any]:
        """Return events/{function}/{door}.json, with changes at its top level."""
        path = ROOT / "events" / function / f"{door}.json"
        return {**json.loads(path.read_text()), **changes}

    def tenant(self, name: str = "demo", key: str = "easel-local") -> None:
        """Make a tenant that the functions know."""
        from easel.aws.tenants import Tenants
        from easel.tenants import Tenant

        tenants = Tenants(clients.dynamodb(), self.environ["TENANTS_TABLE"])
        tenants.create(Tenant(name=name), time.time())
        tenants.add_key(name, key, time.time())

    def messages(self) -> list[dict[str, Any]]:
        """Take what is in the work queue, as the events Lambda would make of it."""
        url = self.environ["WORK_QUEUE_URL"]
        sqs = clients.sqs()
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for one in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        record = self.event("worker", "queue")["Records"][0]
        return [{"Records": [{**record, "body": one["Body"]}]} for one in got]

    def rows(self, table: str, tenant: str = "demo") -> dict[str, dict[str, Any]]:
        """Return a tenant's items of the jobs or the ledger table, by sort key."""
        items: Any = boto3.resource("dynamodb").Table(self.environ[table]).scan()["Items"]
        return {item["sk"]: item for item in items if item["tenant"] == tenant}

    def object(self, key: str) -> bytes:
        """Return an object of the bucket."""
        return boto3.client("s3").get_object(Bucket=self.environ["BUCKET"], Key=key)["Body"].read()


@pytest.fixture(scope="session")
def standin_server() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


@pytest.fixture
def standin(standin_server: Standin) -> Standin:
    standin_server.reset()
    standin_server.rate(None)
    return standin_server


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, standin: Standin) -> Iterator[Deployed]:
    with deploy(monkeypatch, standin) as deployed:
        yield deployed


@contextmanager
def deploy(monkeypatch: pytest.MonkeyPatch, standin: Standin) -> Iterator[Deployed]:
    """Have a deployment in this process while the block runs."""
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_METRICS_NAMESPACE": "Easel",
    }.items():
        monkeypatch.setenv(name, value)
    clients.session.cache_clear()
    with mock_aws():
        environ = deployment.create()
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        secret = {"api_key": "sk-standin", "base_url": standin.base_url}
        boto3.client("secretsmanager").put_secret_value(
            SecretId=environ["UPSTREAM_SECRET"], SecretString=json.dumps(secret)
        )
        yield Deployed(environ, monkeypatch, standin)


@pytest.fixture
def hurried(deployed: Deployed) -> Deployed:
    """A deployment whose doors do not wait."""
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    return deployed


@pytest.fixture
def inline(deployed: Deployed) -> Deployed:
    """A deployment whose doors run their jobs themselves."""
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="")
    return deployed


@pytest.fixture
def context() -> Context:
    return Context()


def fail(
    client: Any,
    operation: str,
    error: str | Exception,
    *,
    times: int = 999,
    when: Callable[[dict[str, Any]], bool] = lambda _: True,
    **more: Any,
) -> list[dict[str, Any]]:
    """Let DynamoDB's first answers be this error, by botocore's hook; return the calls it sees."""
    seen: list[dict[str, Any]] = []

    def answer(params: dict[str, Any], **_: Any) -> Any:
        body = json.loads(params["body"])
        if not when(body):
            return None
        seen.append(body)
        if len(seen) > times:
            return None
        if isinstance(error, Exception):
            raise error
        return SimpleNamespace(status_code=400), {"Error": {"Code": error}, **more}

    client.meta.events.register(f"before-call.dynamodb.{operation}", answer)
    return seen
