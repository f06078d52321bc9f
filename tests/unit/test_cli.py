"""The operator's command as it is typed: AWS by moto, OpenAI by the stand-in."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
import botocore.handlers
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse

from cli import ROOT, jobs, stack
from cli.__main__ import main
from easel.aws import clients
from easel.aws.keys import Keys
from easel.aws.ledger import Ledger
from easel.aws.tenants import Tenants
from easel.catalogue import Catalogue
from easel.errors import Overloaded, UpstreamRefused
from easel.jobs import Job
from easel.keys import digest
from easel.tenants import Tenant
from local.standin import Standin
from tests import deployment
from tests.unit.examples import answer, job, request

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
    clients.session.cache_clear()
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
    inbox, *dead = (
        boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        for name in ("inbox", "work-dead", "inbox-dead")
    )
    cloudformation.outputs = {
        "BaseUrl": BASE_URL,
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
    assert whose(outputs, key) == "wiki"
    made = tenants.existing("wiki")
    assert (made.response_format, made.month_budget) == ("b64_json", 25_000_000)
    assert easel("tenants", "create", "other", "--response-format", "jpeg")[0] != 0
    assert tenants.named("other") is None


def test_a_tenant_may_have_a_moderation_of_its_own(easel: Run, outputs: dict[str, str]) -> None:
    def moderation() -> str | None:
        made = Tenants(clients.dynamodb(), outputs["TenantsTableName"]).named("wiki")
        assert made
        return made.moderation

    easel("tenants", "create", "wiki", "--moderation", "prompt+output")
    assert moderation() == "prompt+output"
    for typed, expected in ("off", "off"), ("prompt", "prompt"), ("none", None):
        assert easel("tenants", "set", "wiki", "--moderation", typed)[0] == 0
        assert moderation() == expected
    assert easel("tenants", "set", "wiki", "--moderation", "output")[0] != 0
    assert moderation() is None


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


class Terminal(StringIO):
    """Who sits at the terminal, by what they type."""

    def isatty(self) -> bool:
        return True


def tenants_of(outputs: dict[str, str]) -> Tenants:
    return Tenants(clients.dynamodb(), outputs["TenantsTableName"])


def test_a_tenant_is_made_as_it_is_wanted(easel: Run, outputs: dict[str, str]) -> None:
    budgets = ("--month-budget", "2.5", "--day-budget", "0.000001")
    models = ("--models", "gpt-image-1, gpt-image-2", "--default-model", "dall-e-3")
    assert easel("tenants", "create", "all", *budgets, *models, "--default-quality", "low")[0] == 0
    assert tenants_of(outputs).named("all") == Tenant(
        name="all",
        month_budget=2_500_000,
        day_budget=1,
        models=("gpt-image-1", "gpt-image-2"),
        default_model="dall-e-3",
        default_quality="low",
    )


def test_a_new_tenant_has_a_budget_of_a_month_unless_told_otherwise(
    easel: Run, outputs: dict[str, str]
) -> None:
    assert easel("tenants", "create", "free", "--month-budget", "none")[0] == 0
    assert easel("tenants", "create", "poor", "--month-budget", "0")[0] == 0
    assert easel("tenants", "create", "plain")[0] == 0
    made = {one.name: one for one in tenants_of(outputs).all()}
    assert made["plain"] == Tenant(name="plain", month_budget=25_000_000)
    assert made["free"] == Tenant(name="free")
    assert made["poor"].month_budget == 0


@pytest.mark.parametrize("rate", ["0", "-1", "1.5", "07", "1000000", "", "ten", "\u0665"])
@pytest.mark.parametrize("option", ["--requests-per-minute", "--images-per-minute"])
def test_what_is_no_rate_is_one_line(
    easel: Run, outputs: dict[str, str], option: str, rate: str
) -> None:
    code, out, err = easel("tenants", "create", "shop", f"{option}={rate}")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {rate!r} is no rate: write how many a minute")
    assert tenants_of(outputs).named("shop") is None


AMOUNTS = ("-1", "-0.01", "1e3", "nan", "inf", "1,5", "1_000", "$5", "5 USD", "", " 5", "+5", ".5")


@pytest.mark.parametrize("amount", [*AMOUNTS, "5.", "0.0000001", "1234567890", "\u0665"])
@pytest.mark.parametrize("option", ["--month-budget", "--day-budget"])
def test_what_is_no_amount_is_one_line(
    easel: Run, outputs: dict[str, str], option: str, amount: str
) -> None:
    code, out, err = easel("tenants", "create", "shop", f"{option}={amount}")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {amount!r} is no amount: write USD as 25 or 2.50")
    assert tenants_of(outputs).named("shop") is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--models", "gpt-image-2,dall-e-9"), "The model 'dall-e-9' does not exist. Available:"),
        (("--models", " , "), "Name models as a,b"),
        (("--cache-ttl", "1h"), "'1h' is no time: write seconds, as 3600, or none."),
        (("--default-model", "dall-e-9"), "The model 'dall-e-9' does not exist. Available:"),
        (
            ("--models", "gpt-image-2", "--default-model", "gpt-image-2.5-flare"),
            "The default model gpt-image-2.5-flare is none of: gpt-image-2.",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    easel: Run, outputs: dict[str, str], options: tuple[str, ...], says: str
) -> None:
    easel("tenants", "create", "there")
    for command in ("create", "shop"), ("set", "there"):
        code, out, err = easel("tenants", *command, *options)
        assert (code, out) == (1, "")
        assert err.startswith(f"easel: {says}")
    assert [one.models for one in tenants_of(outputs).all()] == [()]


def test_what_is_not_named_stays_as_it_is(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "shop", "--models", "gpt-image-2", "--response-format", "url")
    code, out, err = easel("tenants", "set", "shop", "--day-budget", "1.25")
    assert code == 0
    assert "day budget       1.25 USD\n" in out
    assert err == "Its keys know within 60 s.\n"
    made = tenants_of(outputs).named("shop")
    wanted = {"day_budget": 1_250_000, "month_budget": 25_000_000, "response_format": "url"}
    assert made == Tenant.model_validate({"name": "shop", "models": ["gpt-image-2"], **wanted})
    assert "cache ttl        90 s\n" in easel("tenants", "set", "shop", "--cache-ttl", "90")[1]
    assert easel("tenants", "set", "shop", "--requests-per-minute=60")[0] == 0
    assert getattr(tenants_of(outputs).named("shop"), "requests_per_minute", None) == 60
    rates = ("requests-per-minute", "images-per-minute", "cache-ttl")
    options = ("month-budget", "day-budget", "models", "default-model", "response-format", *rates)
    cleared = [word for each in options for word in (f"--{each}", "none")]
    assert easel("tenants", "set", "shop", *cleared, "--default-quality=none")[0] == 0
    assert tenants_of(outputs).named("shop") == Tenant(name="shop")


def test_a_default_is_held_to_the_models_it_has_already(
    easel: Run, outputs: dict[str, str]
) -> None:
    easel("tenants", "create", "shop", "--models", "gpt-image-2")
    code, _, err = easel("tenants", "set", "shop", "--default-model", "gpt-image-2.5-flare")
    assert code == 1
    assert "is none of: gpt-image-2." in err
    assert easel("tenants", "set", "shop", "--default-model", "gpt-image-2")[0] == 0


def test_nothing_to_set_is_told(easel: Run, cloudformation: CloudFormation) -> None:
    code, out, err = easel("tenants", "set", "shop")
    assert (code, out) == (1, "")
    assert err == "easel: Say what to change; `easel tenants set --help` lists it."


SHOWN = """\
tenant           shop
class            standard
suspended        no
month budget     2.5 USD
day budget       no limit
requests/min     no limit
images/min       7
models           all
default model    gpt-image-2
default quality  the deployment's
moderation       the deployment's
cache ttl        the deployment's
response format  both
"""


PLAIN = ("--default-model", "gpt-image-2")


def test_a_tenant_is_shown(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "shop", "--month-budget", "2.50", *PLAIN, "--images-per-minute=7")
    assert easel("tenants", "show", "shop")[:2] == (0, SHOWN)
    assert json.loads(easel("tenants", "show", "shop", "--json")[1]) == {
        "name": "shop",
        "tenant_class": "standard",
        "suspended": False,
        "month_budget_usd": 2.5,
        "day_budget_usd": None,
        "requests_per_minute": None,
        "images_per_minute": 7,
        "models": [],
        "default_model": "gpt-image-2",
        "default_quality": None,
        "moderation": None,
        "cache_ttl": None,
        "response_format": None,
    }


def test_tenants_are_listed(easel: Run, outputs: dict[str, str]) -> None:
    assert easel("tenants", "list")[1].startswith("There is no tenant")
    assert json.loads(easel("tenants", "list", "--json")[1]) == {"tenants": []}
    easel("tenants", "create", "shop", "--day-budget", "0.5")
    easel("tenants", "create", "a", "--month-budget", "none")
    easel("tenants", "suspend", "a", "--yes")
    assert easel("tenants", "list")[1].splitlines() == [
        "a     a month: no limit, a day: no limit, suspended",
        "shop  a month: 25 USD, a day: 0.5 USD",
    ]
    listed = json.loads(easel("tenants", "list", "--json")[1])["tenants"]
    shown = [json.loads(easel("tenants", "show", one, "--json")[1]) for one in ("a", "shop")]
    assert listed == shown


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "show"),
        ("tenants", "set", "--day-budget=1"),
        ("tenants", "suspend", "--yes"),
        ("tenants", "resume"),
        ("keys", "list"),
        ("keys", "issue"),
        ("keys", "revoke", "--yes"),
    ],
)
def test_nobody_is_not_found(easel: Run, outputs: dict[str, str], command: tuple[str, ...]) -> None:
    key_id = ["0123456789ab"] if "revoke" in command else []
    code, out, err = easel(*command[:2], "nobody", *key_id, *command[2:])
    assert (code, out, err) == (1, "", "easel: There is no tenant 'nobody'; create it first.")


def test_a_suspended_tenant_has_its_keys_still(easel: Run, outputs: dict[str, str]) -> None:
    key = easel("tenants", "create", "shop")[1]
    code, out, _ = easel("tenants", "suspend", "shop", "--yes")
    assert code == 0
    assert "The keys of shop (1) will be refused within 60 s" in out
    assert whose(outputs, key) == "shop"
    made = tenants_of(outputs).existing("shop")
    assert made.suspended
    assert easel("tenants", "resume", "shop")[0] == 0
    assert tenants_of(outputs).named("shop") == made.model_copy(update={"suspended": False})


def test_a_key_is_revoked_by_its_id(easel: Run, outputs: dict[str, str]) -> None:
    first, second = (easel(*words)[1] for words in (("tenants", "create", "shop"), ISSUE))
    shown = json.loads(easel("keys", "list", "shop", "--json")[1])["keys"]
    ids = {key: digest(key.strip())[:12] for key in (first, second)}
    assert {one["id"] for one in shown} == set(ids.values())
    assert all(0 <= time.time() - one["created_at"] < 600 for one in shown)
    code, out, _ = easel("keys", "revoke", "shop", ids[first], "--yes")
    assert code == 0
    assert "It is revoked, and stops within 60 s." in out
    assert [whose(outputs, key) for key in (first, second)] == [None, "shop"]
    assert re.fullmatch(rf"{ids[second]}  issued 20\S+Z\n", easel("keys", "list", "shop")[1])
    assert easel("keys", "revoke", "shop", ids[second][:8], "--yes")[0] == 0
    assert easel("keys", "list", "shop")[1] == (
        "shop has no key; `easel keys issue shop` prints one.\n"
    )


ISSUE = ("keys", "issue", "shop")


@pytest.mark.parametrize(
    ("key_id", "says"),
    [("abc", "A key's id is 8 or more"), ("00000000", "The tenant 'shop' has no key 00000000.")],
)
def test_no_other_key_is_revoked(
    easel: Run, outputs: dict[str, str], key_id: str, says: str
) -> None:
    key = easel("tenants", "create", "shop")[1]
    code, out, err = easel("keys", "revoke", "shop", key_id, "--yes")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {says}")
    assert whose(outputs, key) == "shop"


@pytest.mark.parametrize(("typed", "done"), [("y\n", True), ("n\n", False), ("", None)])
def test_what_cannot_be_undone_is_asked_first(
    easel: Run,
    outputs: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    done: bool | None,
) -> None:
    key = easel("tenants", "create", "shop")[1]
    key_id = digest(key.strip())[:8]
    for command in ("tenants", "suspend", "shop"), ("keys", "revoke", "shop", key_id):
        monkeypatch.setattr(sys, "stdin", StringIO() if done is None else Terminal(typed))
        code, _, err = easel(*command)
        assert (code, "say --yes" in err) == (int(done is None), done is None)
    tenant = tenants_of(outputs).named("shop")
    assert tenant
    assert tenant.suspended is bool(done)
    assert (whose(outputs, key) is None) is bool(done)


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


# ---- The inbox ----


class Desk:
    """Whoever answers what is put into the inbox: with a document, and perhaps pictures."""

    def __init__(self) -> None:
        self.manifests: dict[str, dict[str, Any]] = {}
        self.error: dict[str, str] | None = None
        self.endings = [".png"]

    def __call__(self, params: dict[str, Any], **_: Any) -> None:
        key = params["Key"]
        if not re.fullmatch(r"inbox/.*\.json", key):
            return
        self.manifests[key] = json.loads(params["Body"])
        place = f"out{key.removeprefix('in')}"
        made = [] if self.error else [f"{place}{ending}" for ending in self.endings]
        document = {"id": "job_0123456789", "cost_usd": 0.013, "images": made, "error": self.error}
        for each, body in ((f"{place}.json", json.dumps(document)), *((one, one) for one in made)):
            boto3.client("s3").put_object(Bucket="easel", Key=each, Body=body)


@pytest.fixture
def desk(outputs: dict[str, str]) -> Desk:
    desk = Desk()
    emitter = clients.session().get_component("event_emitter")
    emitter.register("provide-client-params.s3.PutObject", desk)
    return desk


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    file = tmp_path / "a cat.png"
    file.write_bytes(b"a cat")
    return file


def test_a_file_goes_in_and_its_pictures_come_out(easel: Run, desk: Desk, cat: Path) -> None:
    desk.endings = ["-0.png", "-1.png"]
    out = cat.parent / "made"
    said = easel("inbox", "put", str(cat), "n=2", "--prompt", "Schnee, 雪", "--out", str(out))
    paths = [out / "a cat-23456789-0.png", out / "a cat-23456789-1.png"]
    assert said == (0, "".join(f"{path}\n" for path in paths), "cost_usd 0.013, job_0123456789\n")
    [(key, manifest)] = desk.manifests.items()
    assert [path.read_bytes().decode() for path in paths] == [
        f"outbox/{key.removeprefix('inbox/')}-{index}.png" for index in (0, 1)
    ]
    assert manifest == {"prompt": "Schnee, 雪", "n": 2, "images": ["a cat.png"]}
    assert key.startswith("inbox/demo/")
    beside = key.replace("a cat.json", "a cat.png")
    assert boto3.client("s3").get_object(Bucket="easel", Key=beside)["Body"].read() == b"a cat"


def test_a_mask_of_the_same_name_goes_along(easel: Run, desk: Desk, cat: Path) -> None:
    mask = cat.parent / "masks" / cat.name
    mask.parent.mkdir()
    mask.write_bytes(b"a mask")
    words = (
        "--mask",
        str(mask),
        "--size",
        "512x512",
        "--tenant",
        "shop",
        "--out",
        str(mask.parent),
    )
    assert easel("inbox", "put", str(cat), "operation=variation", *words)[0] == 0
    [(key, manifest)] = desk.manifests.items()
    assert manifest == {
        "operation": "variation",
        "size": "512x512",
        "images": ["a cat.png"],
        "mask": "mask/a cat.png",
    }
    assert key.startswith("inbox/shop/")
    found = boto3.client("s3").get_object(
        Bucket="easel", Key=key[: -len("a cat.json")] + manifest["mask"]
    )
    assert found["Body"].read() == b"a mask"


def test_no_put_takes_anothers_answer(easel: Run, desk: Desk, cat: Path) -> None:
    for _ in range(2):
        easel("inbox", "put", str(cat), "--prompt", "x", "--out", str(cat.parent))
    assert len(desk.manifests) == 2


def test_an_error_in_the_outbox_is_one_line(easel: Run, desk: Desk, cat: Path) -> None:
    desk.error = {"message": "The image is GIF.", "code": "invalid_image_file"}
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x")
    assert (code, out) == (1, "")
    assert err.startswith("easel: The image is GIF. (invalid_image_file, s3://easel/outbox/demo/")


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(
    easel: Run, outputs: dict[str, str], cat: Path
) -> None:
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x", "--wait", "1")
    assert (code, out) == (1, "")
    assert err.startswith("easel: No answer within 1 s. It will lie at s3://easel/outbox/demo/")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["high"], "easel: Write parameters as name=value"),
        (["--tenant", "a/b"], "easel: A tenant's name is"),
    ],
)
def test_a_bad_word_puts_nothing(
    easel: Run, desk: Desk, cat: Path, words: list[str], told: str
) -> None:
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x", *words)
    assert (code, out) == (1, "")
    assert err.startswith(told)
    assert boto3.client("s3").list_objects_v2(Bucket="easel")["KeyCount"] == 0


# ---- What is stuck ----


class Desolate:
    """A stack whose queues and tables are looked at, and filled."""

    def __init__(self, outputs: dict[str, str]) -> None:
        self.outputs = outputs
        self.sqs = boto3.client("sqs")
        tables = outputs["JobsTableName"], 30, time.sleep, outputs["LedgerTableName"]
        self.ledger = Ledger(clients.dynamodb(), *tables)
        self.backlog = jobs.Backlog.of(stack.Stack.model_validate(outputs))

    def dead(self, one: Job) -> None:
        """Give up a message of the job."""
        self.put("WorkDeadLettersUrl", {"tenant": one.tenant, "job": one.id})

    def put(self, queue: str, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.outputs[queue], MessageBody=text)

    def bodies(self, queue: str) -> list[Any]:
        """Return what a consumer sees in the queue, at once; at most ten, and none is taken."""
        got = self.sqs.receive_message(
            QueueUrl=self.outputs[queue], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [json.loads(one["Body"]) for one in got.get("Messages", ())]

    def opened(self, age: int = 0, **changes: Any) -> Job:
        made = job(hold=700, now=int(time.time()) - age, **changes)
        assert self.ledger.open(made, f"same#{made.id}", None, ())
        return made

    def ended(self, status: str = "failed", *, bought: bool = False) -> Job:
        """Return a job that has ended long ago."""
        running = self.ledger.lease("demo", self.opened(4000).id, "me", int(time.time()))
        assert running
        if bought:
            running = running.begin(700)
            running = running.end(running.attempts[0].lose())
        error = Overloaded("Too old.") if status == "failed" else None
        made = answer() if status == "succeeded" else None
        return self.ledger.close(
            running.close(status, time.time() - 300, error=error, answer=made), "me"
        )

    def job(self, one: Job) -> Job:
        found = self.ledger.job(one.tenant, one.id)
        assert found
        return found

    def committed(self) -> int:
        found = boto3.resource("dynamodb").Table(self.outputs["LedgerTableName"]).scan()["Items"]
        months = [row for row in found if row["sk"].startswith("month#")]
        return sum(int(row["committed"]) for row in months)


@pytest.fixture
def desolate(outputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Desolate:
    monkeypatch.setattr(jobs, "_WAIT_SECONDS", 0)  # moto has one server, and would truly wait
    return Desolate(outputs)


HOLD = request().ceiling(Catalogue.load())
"""What such a picture is held at today, in micro-dollars."""


def s3_tells_of(*keys: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"object": {"key": key}}} for key in keys]}


def test_nothing_is_stuck(easel: Run, desolate: Desolate) -> None:
    desolate.opened(age=60)
    assert easel("jobs", "stuck") == (0, "Nothing is stuck.\n", "")
    assert json.loads(easel("jobs", "stuck", "--json")[1]) == {"jobs": [], "dead_letters": []}
    code, out, _ = easel("redrive")
    assert code == 0
    assert out.startswith("Dead letters: 0.")


def test_a_job_that_two_sweeps_have_left_is_stuck(easel: Run, desolate: Desolate) -> None:
    late, untold = desolate.opened(age=600), desolate.opened(age=600, untold=True)
    desolate.ledger.close(untold.close("cancelled", time.time() - 300), None)
    desolate.opened(age=170)
    code, out, _ = easel("jobs", "stuck")
    assert code == 0
    lines = [
        f"overdue  demo {late.id}: queued, 10 min old, attempts 0, hold 0.000700 USD",
        f"overdue  demo {untold.id}: cancelled, 10 min old, attempts 0, hold 0.000000 USD",
    ]
    assert out.splitlines() == lines
    first, _ = json.loads(easel("jobs", "stuck", "--json")[1])["jobs"]
    assert 600 <= first.pop("age_seconds") < 660
    assert first == {
        "tenant": "demo",
        "id": late.id,
        "status": "queued",
        "attempts": 0,
        "hold_usd": 0.0007,
    }


FATES: dict[str, tuple[Callable[[Desolate], Job], str, str]] = {
    # a job; what has become of it, and what is done with its dead letter
    "open": (Desolate.opened, "open", "send"),
    "unbilled": (Desolate.ended, "failed upstream_overloaded", "reopen"),
    "billed": (lambda it: it.ended(bought=True), "failed upstream_overloaded", "drop"),
    "succeeded": (lambda it: it.ended("succeeded"), "succeeded", "drop"),
    "cancelled": (lambda it: it.ended("cancelled"), "cancelled", "drop"),
    "gone": (lambda _: job(), "gone", "drop"),
}


@pytest.mark.parametrize(("made", "state", "redrive"), FATES.values(), ids=list(FATES))
def test_a_dead_letter_is_judged_by_its_job(
    easel: Run, desolate: Desolate, made: Callable[[Desolate], Job], state: str, redrive: str
) -> None:
    one = made(desolate)
    desolate.dead(one)
    before = desolate.ledger.job("demo", one.id), desolate.committed()
    [said] = json.loads(easel("jobs", "stuck", "--json")[1])["dead_letters"]
    hold = HOLD if redrive == "reopen" else 0
    assert said.pop("message")
    assert said == {
        "queue": "work",
        "tenant": "demo",
        "job": one.id,
        "state": state,
        "redrive": redrive,
        "hold_usd": hold / 1_000_000,
    }
    assert f"work     demo {one.id}: {state}; redrive: {redrive}" in easel("jobs", "stuck")[1]
    assert (desolate.ledger.job("demo", one.id), desolate.committed()) == before

    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 done, 0 failed")
    assert f"ok    demo {one.id}: {state}; " in out
    assert f"with new holds of {hold / 1_000_000:.6f} USD in all" in out
    assert desolate.bodies("WorkDeadLettersUrl") == []
    message = {"tenant": "demo", "job": one.id}
    assert desolate.bodies("WorkQueueUrl") == ([] if redrive == "drop" else [message])
    assert desolate.committed() == before[1] + hold
    if redrive == "reopen":
        again = desolate.job(one)
        assert (again.status, again.hold, again.error) == ("queued", HOLD, None)
        assert again.created_at >= time.time() - 60
    else:
        assert desolate.ledger.job("demo", one.id) == before[0]


def test_a_model_that_is_gone_is_not_bought_again(easel: Run, desolate: Desolate) -> None:
    old = desolate.opened(request=request(model="dall-e-3"))
    desolate.ledger.close(old.close("failed", time.time(), error=UpstreamRefused("x")), None)
    desolate.dead(old)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert f"{old.id}: failed upstream_error, its model retired; dropped" in out


def test_all_of_a_queue_is_seen_and_nothing_taken(easel: Run, desolate: Desolate) -> None:
    made = [job() for _ in range(25)]
    for one in made:
        desolate.dead(one)
    for _ in range(2):
        letters = json.loads(easel("jobs", "stuck", "--json")[1])["dead_letters"]
        assert {one["job"] for one in letters} == {one.id for one in made}
        assert len(desolate.bodies("WorkDeadLettersUrl")) == 10
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "25 done, 0 failed")


def test_a_question_goes_to_the_inbox_again(easel: Run, desolate: Desolate) -> None:
    body = s3_tells_of("inbox/demo/a+cat.png", "inbox/demo/b.png")
    desolate.put("InboxDeadLettersUrl", body)
    line = "inbox    inbox/demo/a cat.png inbox/demo/b.png: not handled; redrive: send\n"
    assert easel("jobs", "stuck")[1] == line
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 done, 0 failed")
    assert desolate.bodies("InboxDeadLettersUrl") == []
    assert desolate.bodies("InboxQueueUrl") == [body]


@pytest.mark.parametrize("body", ["{", "[]", '{"job": "x"}', "null"])
@pytest.mark.parametrize("queue", ["Work", "Inbox"])
def test_what_easel_never_wrote_is_dropped(
    easel: Run, desolate: Desolate, queue: str, body: str
) -> None:
    desolate.put(f"{queue}DeadLettersUrl", body)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert re.search(r"^ok    message \S+: no message of Easel's; dropped$", out, re.M)
    assert desolate.bodies(f"{queue}QueueUrl") == []


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_an_operator_is_asked_first(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool
) -> None:
    one = desolate.ended()
    desolate.dead(one)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    code, out, _ = easel("redrive")
    assert code == 0
    assert f"To reopen, with new holds of {HOLD / 1_000_000:.6f} USD in all: 1;" in out
    assert desolate.job(one).open is agreed


def test_without_a_terminal_nothing_is_done_unasked(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = desolate.ended()
    desolate.dead(one)
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    code, _, err = easel("redrive")
    assert (code, err) == (
        1,
        "easel: Nothing was done. Where there is no terminal to ask on, say --yes.",
    )
    assert desolate.job(one) == one
    assert len(desolate.bodies("WorkDeadLettersUrl")) == 1


@pytest.mark.parametrize("dies", ["SendMessage", "DeleteMessage"])
def test_a_death_in_between_loses_nothing_and_holds_nothing_twice(
    easel: Run, desolate: Desolate, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    one = desolate.ended()
    desolate.dead(one)

    def die(**_: Any) -> None:
        raise ConnectionClosedError(endpoint_url="sqs")

    with monkeypatch.context() as patch:
        hook = (f"before-call.sqs.{dies}", die)
        hooked = [*botocore.handlers.BUILTIN_HANDLERS, hook]
        patch.setattr(botocore.handlers, "BUILTIN_HANDLERS", hooked)
        clients.session.cache_clear()
        code, out, _ = easel("redrive", "--yes")
    clients.session.cache_clear()
    assert (code, out.splitlines()[-1]) == (1, "0 done, 1 failed")
    assert f"FAIL  demo {one.id}: Connection was closed" in out
    assert (desolate.job(one).status, desolate.committed()) == ("queued", HOLD)
    code, out, _ = easel("redrive", "--yes")
    assert code == 0
    assert f"{one.id}: open; sent again" in out
    assert (desolate.job(one).status, desolate.committed()) == ("queued", HOLD)
    assert desolate.bodies("WorkDeadLettersUrl") == []
    assert desolate.bodies("WorkQueueUrl")[0] == {"tenant": "demo", "job": one.id}


def test_two_letters_of_one_job_hold_once(easel: Run, desolate: Desolate) -> None:
    one = desolate.ended()
    for _ in range(2):
        desolate.dead(one)
    code, out, _ = easel("redrive", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "2 done, 0 failed")
    assert f"new holds of {HOLD / 1_000_000:.6f} USD in all: 2" in out
    assert desolate.committed() == HOLD


def test_more_than_was_agreed_to_is_not_held(desolate: Desolate) -> None:
    one = desolate.opened()
    desolate.dead(one)
    planned = [verdict for _, verdict in desolate.backlog.judged()]
    desolate.ledger.close(one.close("failed", time.time(), error=Overloaded("x")), None)
    desolate.dead(desolate.ended())  # came after the plan
    [outcome] = desolate.backlog.redrive(planned)
    assert outcome.failure == "It has changed meanwhile; redrive again."
    assert desolate.committed() == 0
    assert len(desolate.bodies("WorkDeadLettersUrl")) == 2


def test_what_somebody_else_has_taken_is_said(desolate: Desolate) -> None:
    one = desolate.ended()
    desolate.dead(one)
    planned = [verdict for _, verdict in desolate.backlog.judged()]
    assert [outcome.failure for outcome in desolate.backlog.redrive(planned)] == [None]
    [outcome] = desolate.backlog.redrive(planned)
    assert str(outcome).startswith(f"FAIL  demo {one.id}: It is no longer there")


def test_the_template_says_what_the_command_reads() -> None:
    read = {field.alias for field in stack.Stack.model_fields.values()}
    assert read <= deployment.template()["Outputs"].keys()


@pytest.mark.parametrize("queue", ["Work", "Inbox"])
def test_an_alarm_names_the_command(queue: str) -> None:
    told = deployment.resource(f"{queue}DeadLettersAlarm")["AlarmDescription"]
    assert "easel jobs stuck" in told
    assert "easel redrive" in told
