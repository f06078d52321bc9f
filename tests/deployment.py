"""The template as the tests read it, and its resources made by moto."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3

from local.template import load


@cache
def client(service: Any) -> Any:
    """Return one client for all tests: to make one costs more than to use it."""
    return boto3.client(service)


@cache
def template() -> dict[str, Any]:
    """Return template.yaml as data."""
    return load()


def resource(name: str) -> dict[str, Any]:
    """Return a resource's properties."""
    properties: dict[str, Any] = template()["Resources"][name]["Properties"]
    return properties


def create() -> dict[str, str]:
    """Make the tables, the bucket, the queues and the secret; return the functions' environment."""
    tables = {name: _table(name) for name in ("JobsTable", "LedgerTable", "TenantsTable")}
    client("s3").create_bucket(Bucket="easel")
    client("s3").put_bucket_versioning(
        Bucket="easel",
        VersioningConfiguration=resource("Bucket")["VersioningConfiguration"],
    )
    queue = client("sqs").create_queue(QueueName="work")["QueueUrl"]
    secret = client("secretsmanager").create_secret(Name="upstream", SecretString="none")
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
    client("dynamodb").create_table(TableName=name, **properties)
    return name
