"""`easel check`; whatever the command cannot do, in a line; its help."""

import json
import re
import subprocess
import sys
from typing import Any

import boto3
import pytest

from cli import ROOT, stack
from local.standin import Standin
from tests import deployment
from tests.unit.cli.conftest import CloudFormation, Run, put


def test_a_whole_stack_passes(easel: Run, outputs: dict[str, str]) -> None:
    code, out, _ = easel("check")
    assert code == 0
    lines = out.splitlines()
    assert [line[:4] for line in lines[:8]] == ["ok  "] * 8
    assert f"base URL  {outputs['BaseUrl']}" in lines
    assert f"curl -L {outputs['BaseUrl']}/images/generations" in out


def test_a_check_as_json(easel: Run, outputs: dict[str, str]) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=outputs["InboxQueueUrl"])
    code, out, _ = easel("--region", "us-east-1", "check", "--json")
    report = json.loads(out)
    assert code == 1
    assert (report["ok"], report["base_url"]) == (False, outputs["BaseUrl"])
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


@pytest.mark.parametrize("at", ["http://127.0.0.1:1/v1", "nothing here", "{api}/elsewhere"])
def test_an_api_that_does_not_answer(
    easel: Run, outputs: dict[str, str], api: str, at: str
) -> None:
    outputs["BaseUrl"] = at.format(api=api)
    code, out, _ = easel("check")
    assert code == 1
    [failure] = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert "It does not answer" in failure
    assert "log group" in failure


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
    cloudformation.outputs = {"BaseUrl": "https://x/v1"}
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
        ("http://127.0.0.1:4566", outputs["BaseUrl"]),
    ):
        local = {"aws": {"AWS_ENDPOINT_URL": endpoint}, "base_url": "http://127.0.0.1:8080/v1"}
        description.write_text(json.dumps(local))
        assert json.loads(easel("check", "--json")[1])["base_url"] == base_url


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ((), ("tenants", "keys", "check", "--stack-name", "--region")),
        (("tenants", "create"), ("easel tenants create", "NAME", "--stack-name", "has 25.")),
        (("tenants", "set"), ("--month-budget", "--models", "--default-quality", "none: all.")),
        (("keys", "revoke"), ("NAME KEY_ID", "easel keys list", "--yes")),
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


def test_the_template_says_what_the_command_reads() -> None:
    read = {field.alias for field in stack.Stack.model_fields.values()}
    assert read <= deployment.template()["Outputs"].keys()


@pytest.mark.parametrize("queue", ["Work", "Inbox"])
def test_an_alarm_names_the_command(queue: str) -> None:
    told = deployment.resource(f"{queue}DeadLettersAlarm")["AlarmDescription"]
    assert "easel jobs stuck" in told
    assert "easel redrive" in told
