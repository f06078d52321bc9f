"""MiniStack in AWS's place: started, deployed to by ``sam deploy``, its gaps closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3

from local.template import ROOT, gateway_responses, load

VENV = ROOT / ".local" / "venv"
PYTHON = VENV / "ministack/bin/python"
"""With what Lambda's runtime brings, but for AWS's runtime client."""
# A function inherits the emulator's environment, so that gets no more than a process needs.
PASSED_ON = ("PATH", "LANG", "TZ", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def command(logs: Path) -> list[str]:
    """Return what starts MiniStack; what IAM decides is written into ``iam.log`` among the logs."""
    return [str(PYTHON), "-P", str(ROOT / "local/ministack.py"), str(logs / "iam.log")]


def environment(port: int, scratch: Path) -> dict[str, str]:
    """Return what MiniStack runs with; it writes to ``scratch`` alone."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "LAMBDA_EXECUTOR": "local",
        "AUTH": "true",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_WORKER_THREADS": "256",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
    }


def lead_to(port: int) -> dict[str, str]:
    """Let this process, and what it runs, know no other AWS; return the variables that do it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    aws = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(aws, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    return aws


def deploy(parameters: Sequence[str], log: Path) -> dict[str, str]:
    """Deploy what was built; return the physical name of each resource and each output's value."""
    overrides = [
        f"Architecture={'x86_64' if os.uname().machine in ('x86_64', 'amd64') else 'arm64'}",
        f"AwsEndpointUrl={os.environ['AWS_ENDPOINT_URL']}",
        "LedgerDeletionProtection=false",
        *parameters,
    ]
    command = [
        *(str(VENV / "sam/bin/sam"), "deploy", "--stack-name", "easel"),
        *("--template-file", str(ROOT / ".local/build/template.yaml"), "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"),
        *("--parameter-overrides", *overrides),
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    if done.returncode:
        sys.exit(log.read_text())
    cloudformation = boto3.client("cloudformation")
    resources = cloudformation.describe_stack_resources(StackName="easel")["StackResources"]
    outputs = cloudformation.describe_stacks(StackName="easel")["Stacks"][0]["Outputs"]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources} | {
        o["OutputKey"]: o["OutputValue"] for o in outputs
    }


def close_gaps(api_id: str, bucket: str, key_ttl: str, *, cors: bool) -> None:
    """Set, by AWS's public APIs, what MiniStack leaves out of a deployment or cannot have."""
    gateway: Any = boto3.client("apigateway")
    for kind, response in gateway_responses(load(), cors=cors).items():
        headers = response["ResponseParameters"]["Headers"].items()
        gateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers},
            responseTemplates=response["ResponseTemplates"],
            **({"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}),
        )
    # SAM, which resolves this one, is given the parameters' defaults alone.
    [authorizer] = gateway.get_authorizers(restApiId=api_id)["items"]
    ttl = {"op": "replace", "path": "/authorizerResultTtlInSeconds", "value": key_ttl}
    gateway.update_authorizer(
        restApiId=api_id, authorizerId=authorizer["id"], patchOperations=[ttl]
    )
    gateway.create_deployment(restApiId=api_id, stageName="v1")
    # It speaks no TLS, which is all the policy allows.
    boto3.client("s3").delete_bucket_policy(Bucket=bucket)
    # A condition that joins a list always holds there.
    if not cors:
        boto3.client("s3").delete_bucket_cors(Bucket=bucket)
    # A concurrency that comes from a parameter stays a string in it and stops the poller.
    functions = boto3.client("lambda")
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        concurrency = int(source["ScalingConfig"]["MaximumConcurrency"])
        functions.update_event_source_mapping(
            UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": concurrency}
        )
