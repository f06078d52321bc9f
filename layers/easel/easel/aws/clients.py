"""Clients as Easel wants them: with time-outs, and SigV4 for presigned URLs.

They are botocore's, as boto3's own are: boto3 would add what nobody here uses, and a seventh to the
time that a client takes from its import on.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
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


class _Any(list[str]):
    """Every service that one may ask for."""

    def __contains__(self, service: object) -> bool:
        return isinstance(service, str)


class _Unsearched(Loader):
    """What botocore knows of AWS, without a look at all there is.

    Whether a service is there it would see in its folders of all four hundred, twice, before it
    makes a client; without it, it is not found when its own folder is looked for.
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 # botocore's
        return _Any()


@cache
def session() -> Session:
    """Return what all clients share: what is known of AWS, read once."""
    made = get_session()
    made.register_component("data_loader", _Unsearched())
    return made


def _client(service: str, **more: Any) -> Any:
    return session().create_client(service, config=Config(**_PATIENCE, **more))


def cloudformation() -> CloudFormationClient:
    """Return a CloudFormation client, for the operator's command."""
    client: CloudFormationClient = _client("cloudformation")
    return client


def dynamodb() -> DynamoDBClient:
    """Return a DynamoDB client.

    What it is given is not looked over before it is sent, which takes a tenth of a call: DynamoDB
    says itself what it does not take, and our types say it before.
    """
    client: DynamoDBClient = _client("dynamodb", parameter_validation=False)
    return client


def events() -> EventBridgeClient:
    """Return an EventBridge client."""
    client: EventBridgeClient = _client("events")
    return client


def secrets() -> SecretsManagerClient:
    """Return a Secrets Manager client."""
    client: SecretsManagerClient = _client("secretsmanager")
    return client


def sqs() -> SQSClient:
    """Return an SQS client."""
    client: SQSClient = _client("sqs")
    return client


def s3() -> S3Client:
    """Return an S3 client that presigns with SigV4 on the bucket's own host.

    Its default presigner is still SigV2 in the oldest regions.
    """
    client: S3Client = _client("s3", signature_version="s3v4", s3={"addressing_style": "virtual"})
    return client
