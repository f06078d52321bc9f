"""The operator's command as it is typed: AWS by moto, OpenAI by the stand-in."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
import botocore.handlers
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse

from cli import ROOT, stack
from cli.__main__ import main
from easel.aws import clients
from easel.aws.tenants import Tenants
from local.standin import Standin
from tests import deployment

BASE_URL = "https://a1b2c3.execute-api.us-east-1.amazonaws.com/v1"
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


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudFormation]:
    """An empty AWS of one region, and CloudFormation in it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    found = CloudFormation()
    hook = ("before-send.cloudformation.DescribeStacks", found)
    monkeypatch.setattr(
        botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS, hook]
    )
    with mock_aws(config={"core": {"passthrough": {"services": ["cloudformation"]}}}):
        yield found


@pytest.fixture
def outputs(cloudformation: CloudFormation, standin: Standin) -> dict[str, str]:
    """A whole stack, its right key in the secret; what its outputs say."""
    made = deployment.create()
    inbox = boto3.client("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    cloudformation.outputs = {
        "BaseUrl": BASE_URL,
        "BucketName": made["BUCKET"],
        "JobsTableName": made["JOBS_TABLE"],
        "LedgerTableName": made["LEDGER_TABLE"],
        "TenantsTableName": made["TENANTS_TABLE"],
        "WorkQueueUrl": made["WORK_QUEUE_URL"],
        "InboxQueueUrl": inbox,
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
    tenant = Tenants(clients.dynamodb(), outputs["TenantsTableName"]).of_key(key.strip())
    return tenant.name if tenant else None


def test_a_tenant_gets_a_key_that_speaks_for_it(easel: Run, outputs: dict[str, str]) -> None:
    code, out, err = easel("tenants", "create", "blue-fox")
    assert code == 0
    assert re.fullmatch(r"ek-[\w-]{43}\n", out)
    assert whose(outputs, out) == "blue-fox"
    assert f"OPENAI_BASE_URL={BASE_URL}" in err


def test_a_tenant_may_have_a_response_format_of_its_own(
    easel: Run, outputs: dict[str, str]
) -> None:
    tenants = Tenants(clients.dynamodb(), outputs["TenantsTableName"])
    key = easel("tenants", "create", "wiki", "--response-format", "b64_json")[1]
    made = tenants.of_key(key.strip())
    assert made
    assert made.response_format == "b64_json"
    assert easel("tenants", "create", "other", "--response-format", "jpeg")[0] != 0
    assert tenants.named("other") is None


def test_another_key_leaves_the_first_valid(easel: Run, outputs: dict[str, str]) -> None:
    first = easel("tenants", "create", "demo")[1]
    code, second, _ = easel("keys", "issue", "demo", "--stack-name", "easel")
    assert code == 0
    assert first != second
    assert [whose(outputs, key) for key in (first, second)] == ["demo", "demo"]


def test_a_name_is_taken_once(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "demo")
    assert easel("tenants", "create", "demo") == (
        1,
        "",
        "easel: There is a tenant 'demo' already.",
    )


def test_no_key_without_a_tenant(easel: Run, outputs: dict[str, str]) -> None:
    code, out, err = easel("keys", "issue", "nobody")
    assert (code, out) == (1, "")
    assert err == "easel: There is no tenant 'nobody'; create it first."


@pytest.mark.parametrize("name", ["Demo", "a/b", "", "x" * 64])
def test_a_bad_name_asks_nothing_of_aws(
    easel: Run, cloudformation: CloudFormation, name: str
) -> None:
    code, out, err = easel("tenants", "create", name)
    assert (code, out) == (1, "")
    assert err.startswith("easel: A tenant's name is 1 to 63 lower-case letters")


def test_a_whole_stack_passes(easel: Run, outputs: dict[str, str]) -> None:
    code, out, _ = easel("check")
    assert code == 0
    lines = out.splitlines()
    assert [line[:4] for line in lines[:7]] == ["ok  "] * 7
    assert f"base URL  {BASE_URL}" in lines
    assert f"curl -L {BASE_URL}/images/generations" in out


def test_a_check_as_json(easel: Run, outputs: dict[str, str]) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=outputs["InboxQueueUrl"])
    code, out, _ = easel("--region", "us-east-1", "check", "--json")
    report = json.loads(out)
    assert code == 1
    assert (report["ok"], report["base_url"]) == (False, BASE_URL)
    assert [c["name"] for c in report["checks"] if not c["ok"]] == ["inbox queue"]


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ({"api_key": "sk-wrong"}, "Upstream refused the operator's key."),
        ('{"api_kee": "sk-secret"}', "The upstream secret holds no key."),
        ("{sk-secret", "The upstream secret holds no key."),
        ({"api_key": "schlüssel"}, "The upstream secret holds no key."),
        ({"api_key": "sk-standin", "base_url": "http://127.0.0.1:1/v1"}, "cannot be reached"),
    ],
)
def test_a_key_that_upstream_does_not_take(
    easel: Run, outputs: dict[str, str], standin: Standin, secret: dict[str, str] | str, says: str
) -> None:
    put(outputs, secret if isinstance(secret, str) else {"base_url": standin.base_url, **secret})
    code, out, _ = easel("check")
    failures = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert code == 1
    assert len(failures) == 1
    assert says in failures[0]
    assert f"put-secret-value --secret-id {outputs['UpstreamSecretArn']}" in failures[0]
    assert "sk-secret" not in out


def test_a_secret_without_a_value(easel: Run, outputs: dict[str, str]) -> None:
    made = boto3.client("secretsmanager").create_secret(Name="empty")
    outputs["UpstreamSecretArn"] = made["ARN"]
    code, out, _ = easel("check")
    assert code == 1
    assert re.search(r"^FAIL  upstream key .*cannot be read.* put-secret-value", out, re.M)


def test_the_operators_own_openai_base_url_is_not_upstreams(
    easel: Run, outputs: dict[str, str], standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", standin.base_url)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # OpenAI itself is out of reach
    put(outputs, "sk-standin")
    code, out, _ = easel("check")
    assert code == 1
    assert "Upstream cannot be reached" in out


@pytest.mark.parametrize("table", ["JobsTable", "LedgerTable", "TenantsTable"])
def test_a_table_that_is_gone(easel: Run, outputs: dict[str, str], table: str) -> None:
    boto3.client("dynamodb").delete_table(TableName=table)
    code, out, _ = easel("check")
    failures = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert code == 1
    assert len(failures) == 1
    assert table in failures[0]
    assert failures[0].endswith("It is not there: deploy the stack again.")


def test_a_bucket_that_is_gone(easel: Run, outputs: dict[str, str]) -> None:
    outputs["BucketName"] = "another"
    code, out, _ = easel("check")
    assert code == 1
    assert re.search(r"^FAIL  bucket +another: .* deploy the stack again\.$", out, re.M)


@pytest.mark.parametrize("options", [("--stack-name", "other"), ("--region", "eu-west-1")])
def test_a_stack_that_is_not_there(
    easel: Run, outputs: dict[str, str], options: tuple[str, str]
) -> None:
    code, out, err = easel("check", *options)
    assert (code, out) == (1, "")
    assert re.fullmatch(r"easel: .*does not exist\. Deploy it, or say which.*", err)


def test_a_stack_that_is_no_easel(easel: Run, cloudformation: CloudFormation) -> None:
    cloudformation.outputs = {"BaseUrl": BASE_URL}
    code, _, err = easel("check")
    assert code == 1
    assert "lacks these outputs: BucketName, JobsTableName" in err


def test_an_endpoint_that_is_no_url(
    easel: Run, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:4566")
    code, _, err = easel("check")
    assert code == 1
    assert err.startswith(
        "easel: Invalid endpoint: localhost:4566. Check --region and AWS_ENDPOINT_URL"
    )


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        ((403, "AccessDenied", "User: x may not"), "Use an AWS identity that may do this."),
        ((403, "ExpiredToken", "The token has expired"), "Sign in to AWS"),
    ],
)
def test_what_aws_refuses_is_one_line(
    easel: Run, cloudformation: CloudFormation, refusal: tuple[int, str, str], says: str
) -> None:
    cloudformation.refuses = refusal
    code, out, err = easel("keys", "issue", "demo")
    assert (code, out) == (1, "")
    assert refusal[2] in err
    assert says in err
    assert "\n" not in err


def test_the_local_stacks_base_url_is_its_fronts(
    easel: Run, outputs: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    description = tmp_path / "stack.json"
    monkeypatch.setattr(stack, "_LOCAL", description)
    for endpoint, base_url in (
        ("https://cloudformation.us-east-1.amazonaws.com", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:4566", BASE_URL),
    ):
        local = {"aws": {"AWS_ENDPOINT_URL": endpoint}, "base_url": "http://127.0.0.1:8080/v1"}
        description.write_text(json.dumps(local))
        assert json.loads(easel("check", "--json")[1])["base_url"] == base_url


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ((), ("tenants", "keys", "check", "--stack-name", "--region")),
        (("tenants", "create"), ("easel tenants create", "NAME", "--stack-name")),
        (("check",), ("--json", "exit code 1")),
    ],
)
def test_help(easel: Run, tokens: tuple[str, ...], says: tuple[str, ...]) -> None:
    code, out, _ = easel(*tokens, "--help")
    assert code == 0
    assert all(one in out for one in says)


def test_it_runs_from_a_clone_and_says_so_without_credentials(tmp_path: Any) -> None:
    """As a process: nothing installed, no AWS_ variable, and no traceback."""
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "cli", "check"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("easel: Unable to locate credentials. Sign in to AWS")
