"""The template as the tests read it, and its resources made by moto."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import boto3
import yaml

ROOT = Path(__file__).parents[1]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags."""


def _short(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _short)


@cache
def template() -> dict[str, Any]:
    """Return template.yaml as data."""
    return yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # a SafeLoader


def resource(name: str) -> dict[str, Any]:
    """Return a resource's properties."""
    return template()["Resources"][name]["Properties"]


def create() -> dict[str, str]:
    """Make the tables, the bucket, the queues and the secret; return the functions' environment."""
    tables = {name: _table(name) for name in ("JobsTable", "LedgerTable", "TenantsTable")}
    boto3.client("s3").create_bucket(Bucket="easel")
    boto3.client("s3").put_bucket_versioning(
        Bucket="easel",
        VersioningConfiguration=resource("Bucket")["VersioningConfiguration"],
    )
    queue = boto3.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    secret = boto3.client("secretsmanager").create_secret(Name="upstream", SecretString="none")
    return {
        "BUCKET": "easel",
        "JOBS_TABLE": tables["JobsTable"],
        "LEDGER_TABLE": tables["LedgerTable"],
        "TENANTS_TABLE": tables["TenantsTable"],
        "WORK_QUEUE_URL": queue,
        "UPSTREAM_SECRET": secret["ARN"],
    }


def _table(name: str) -> str:
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    properties = {key: value for key, value in resource(name).items() if key in wanted}
    boto3.client("dynamodb").create_table(TableName=name, **properties)
    return name
