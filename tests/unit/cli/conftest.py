"""The operator's command as it is typed: AWS by moto, OpenAI by the stand-in."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
import botocore.handlers
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse

from cli.__main__ import main
from easel.aws import clients
from easel.aws.keys import Keys
from easel.aws.tenants import Tenants
from local.standin import Standin
from tests import deployment

Run = Callable[..., tuple[int, str, str]]


class CloudFormation:
    """DescribeStacks, on the wire; moto's needs some twenty packages more."""

    def __init__(self) -> None:
        self.outputs: dict[str, str] = {}
        self.refuses: tuple[int, str, str] | None = None

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        name = parse_qs(str(request.body))["StackName"][0]
        if self.refuses:
            status, code, message = self.refuses
        elif (name, request.url) != ("easel", "https://cloudformation.us-east-1.amazonaws.com/"):
            status, code, message = 400, "ValidationError", f"Stack with id {name} does not exist"
        else:
            return self._answer(request, 200, self._stack())
        return self._answer(
            request,
            status,
            f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            "</ErrorResponse>",
        )

    def _stack(self) -> str:
        outputs = "".join(
            f"<member><OutputKey>{k}</OutputKey><OutputValue>{escape(v)}</OutputValue></member>"
            for k, v in self.outputs.items()
        )
        return (
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
            "<StackName>easel</StackName><StackStatus>CREATE_COMPLETE</StackStatus>"
            f"<Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult>"
            "</DescribeStacksResponse>"
        )

    @staticmethod
    def _answer(request: AWSPreparedRequest, status: int, body: str) -> AWSResponse:
        return AWSResponse(str(request.url), status, HTTPHeaders(), MockRawResponse(body.encode()))


@pytest.fixture(scope="module")
def standin() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The base URL of an API that is well."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/healthz" else 404)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudFormation]:
    """An empty AWS of one region, and CloudFormation in it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    clients.session.cache_clear()
    found = CloudFormation()
    hook = ("before-send.cloudformation.DescribeStacks", found)
    monkeypatch.setattr(
        botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, hook]
    )
    with mock_aws(config={"core": {"passthrough": {"services": ["cloudformation"]}}}):
        yield found


@pytest.fixture
def outputs(cloudformation: CloudFormation, standin: Standin, api: str) -> dict[str, str]:
    """A whole stack, its right key in the secret; what its outputs say."""
    made = deployment.create()
    inbox, *dead = (
        boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        for name in ("inbox", "work-dead", "inbox-dead")
    )
    cloudformation.outputs = {
        "BaseUrl": api,
        "BucketName": made["BUCKET"],
        "JobsTableName": made["JOBS_TABLE"],
        "LedgerTableName": made["LEDGER_TABLE"],
        "TenantsTableName": made["TENANTS_TABLE"],
        "KeyTtlSeconds": "60",
        "WorkQueueUrl": made["WORK_QUEUE_URL"],
        "InboxQueueUrl": inbox,
        "WorkDeadLettersUrl": dead[0],
        "InboxDeadLettersUrl": dead[1],
        "UpstreamSecretArn": made["UPSTREAM_SECRET"],
        "LogGroupName": "one that the command needs not",
    }
    put(cloudformation.outputs, {"api_key": "sk-standin", "base_url": standin.base_url})
    return cloudformation.outputs


@pytest.fixture
def easel(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line; return its exit code, stdout and stderr as a shell would see them."""

    def run(*tokens: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(tokens)
        said = capsys.readouterr()
        if isinstance(left.value.code, str):
            return 1, said.out, said.err + left.value.code
        return left.value.code or 0, said.out, said.err

    return run


def put(outputs: dict[str, str], secret: dict[str, str] | str) -> None:
    text = secret if isinstance(secret, str) else json.dumps(secret)
    boto3.client("secretsmanager").put_secret_value(
        SecretId=outputs["UpstreamSecretArn"], SecretString=text
    )


def whose(outputs: dict[str, str], key: str) -> str | None:
    tenant = keys_of(outputs).tenant(key.strip())
    return tenant["name"] if tenant else None


def keys_of(outputs: dict[str, str]) -> Keys:
    return Keys(clients.dynamodb(), outputs["TenantsTableName"])


class Terminal(StringIO):
    """Who sits at the terminal, by what they type."""

    def isatty(self) -> bool:
        return True


def tenants_of(outputs: dict[str, str]) -> Tenants:
    return Tenants(clients.dynamodb(), outputs["TenantsTableName"])
