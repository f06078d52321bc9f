"""What SAM makes of the template, which is what CloudFormation gets."""

import subprocess
from typing import Any

import pytest
import yaml

from local.licences import SHIPPED, pinned
from local.template import ROOT

TRANSFORM = """
import sys
from types import SimpleNamespace
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

template = yaml_parse(open("template.yaml").read())
policies = SimpleNamespace(load=dict)
validator = SamTemplateValidator(template, policies, region="us-east-1")
sys.stdout.write(validator.get_translated_template_if_valid())
"""


SAM = ROOT / ".local/venv/sam/bin"


@pytest.fixture(scope="module")
def transformed() -> str:
    command = [str(SAM / "python"), "-c", TRANSFORM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resources(transformed: str, kind: str) -> list[dict[str, Any]]:
    found = yaml.safe_load(transformed)["Resources"].values()
    return [each["Properties"] for each in found if each["Type"] == kind]


def test_it_passes_cfn_lint(transformed, tmp_path):
    (tmp_path / "transformed.yaml").write_text(transformed)
    command = [str(SAM / "cfn-lint"), str(tmp_path / "transformed.yaml")]
    lint = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout


def test_only_this_api_and_this_schedule_may_invoke_functions(transformed):
    permissions = resources(transformed, "AWS::Lambda::Permission")
    assert len(permissions) > 10
    for permission in permissions:
        assert permission["Action"] == "lambda:InvokeFunction"
        assert permission["Principal"] in ("apigateway.amazonaws.com", "events.amazonaws.com")
        source = permission["SourceArn"]
        assert "__ApiId__" in str(source) or source["Fn::GetAtt"][1] == "Arn"


def test_a_role_is_lambdas_alone_and_has_no_policy_of_aws_but_the_two_that_are_taken_back(
    transformed,
):
    roles = resources(transformed, "AWS::IAM::Role")
    attached = {
        arn["Fn::Sub"] if isinstance(arn, dict) else arn
        for role in roles
        for arn in role["ManagedPolicyArns"]
    }
    assert {arn.rpartition("/")[2] for arn in attached} == {
        "AWSLambdaBasicExecutionRole",
        "AWSLambdaSQSQueueExecutionRole",
    }
    for role in roles:
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": ["lambda.amazonaws.com"]}


def test_the_layer_ships_what_is_pinned():
    shipped = pinned(SHIPPED.read_text())
    folders = (ROOT / ".local/build/Dependencies/python").glob("*.dist-info")
    built = [folder.name.removesuffix(".dist-info").rpartition("-") for folder in folders]
    assert {name.replace("_", "-"): version for name, _, version in built} == shipped
