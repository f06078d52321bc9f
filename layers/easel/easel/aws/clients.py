"""boto3 clients as Easel wants them: with time-outs, and SigV4 for presigned URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

_PATIENCE: dict[str, Any] = {
    # botocore else describes the machine anew with every call.
    "user_agent": "easel",
    "connect_timeout": 3,
    "read_timeout": 20,
    "retries": {"mode": "standard", "total_max_attempts": 4},
}


def dynamodb() -> DynamoDBClient:
    """Return a DynamoDB client."""
    return boto3.client("dynamodb", config=Config(**_PATIENCE))


def events() -> EventBridgeClient:
    """Return an EventBridge client."""
    return boto3.client("events", config=Config(**_PATIENCE))


def secrets() -> SecretsManagerClient:
    """Return a Secrets Manager client."""
    return boto3.client("secretsmanager", config=Config(**_PATIENCE))


def sqs() -> SQSClient:
    """Return an SQS client."""
    return boto3.client("sqs", config=Config(**_PATIENCE))


def s3() -> S3Client:
    """Return an S3 client that presigns with SigV4 on the bucket's own host.

    boto3's default presigner is still SigV2 in the oldest regions.
    """
    presigning = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    return boto3.client("s3", config=Config(**_PATIENCE).merge(presigning))
