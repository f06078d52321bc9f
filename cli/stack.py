"""A deployed stack, found by its CloudFormation outputs; and errors, told to the operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from cli import ROOT
from easel.aws import clients
from easel.errors import EaselError

_LOCAL = ROOT / ".local" / "stack.json"
_SIGN_IN = "Sign in to AWS (`aws login`, AWS_PROFILE or AWS_ACCESS_KEY_ID)."
_DENIED = "Use an AWS identity that may do this."
_ABSENT = "It is not there: deploy the stack again."
_NEXT = {
    "ValidationError": "Deploy it, or say which and where: --stack-name, --region, AWS_PROFILE.",
    **dict.fromkeys(("403", "AccessDenied", "AccessDeniedException"), _DENIED),
    **dict.fromkeys(("404", "NoSuchBucket", "ResourceNotFoundException"), _ABSENT),
    **dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), _ABSENT),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId"), _SIGN_IN),
    **dict.fromkeys(("SignatureDoesNotMatch", "UnrecognizedClientException"), _SIGN_IN),
}


class Failure(Exception):
    """What went wrong and what to do next, in one line."""


class Stack(BaseModel):
    """The template's outputs, by their names."""

    model_config = ConfigDict(alias_generator=to_pascal, frozen=True, extra="ignore")

    base_url: str
    bucket_name: str
    jobs_table_name: str
    ledger_table_name: str
    tenants_table_name: str
    key_ttl_seconds: int
    """How long a key that was revoked may still work."""
    work_queue_url: str
    inbox_queue_url: str
    work_dead_letters_url: str
    inbox_dead_letters_url: str
    upstream_secret_arn: str

    @classmethod
    def find(cls, name: str, region: str | None) -> Self:
        """Read a stack's outputs. A given region is that of all later calls. Raises Failure."""
        with explained():
            if region:
                clients.session().set_config_variable("region", region)
            try:
                client = clients.cloudformation()
            except ValueError as error:
                raise Failure(
                    f"{error}. Check --region and AWS_ENDPOINT_URL, a whole URL."
                ) from None
            stack = client.describe_stacks(StackName=name)["Stacks"][0]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        try:
            return cls.model_validate({**outputs, **_local(client.meta.endpoint_url)})
        except ValidationError as error:
            missing = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise Failure(
                f"The stack {name} is {stack['StackStatus']} and lacks these outputs: {missing}. "
                "Wait until it is deployed, deploy it again, or name another with --stack-name."
            ) from None


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Easel and AWS raise into Failure."""
    try:
        yield
    except EaselError as error:
        raise Failure(error.message) from error
    except (ClientError, BotoCoreError) as error:
        raise Failure(f"{' '.join(str(error).split()).rstrip('.')}. {_next(error)}") from error


def _next(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return _NEXT.get(error.response["Error"]["Code"], "Try again.")
    if isinstance(error, NoCredentialsError):
        return _SIGN_IN
    return "Check the network, --region and the AWS_ variables of the environment."


def _local(endpoint: str) -> dict[str, str]:
    """Return the local stack's own base URL, if that is where we are: its output is AWS's."""
    if not _LOCAL.exists():
        return {}
    local = json.loads(_LOCAL.read_text())
    return {"BaseUrl": local["base_url"]} if local["aws"]["AWS_ENDPOINT_URL"] == endpoint else {}
