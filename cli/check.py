"""Whether a stack answers, is whole, and upstream takes its key: free, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import NamedTuple
from urllib.request import urlopen

from cli.stack import Failure, Stack, explained
from easel.aws import clients
from easel.aws.secrets import Secrets
from easel.errors import UpstreamFailure

_PUT = (
    "To set the key, write it to FILE: "
    "aws secretsmanager put-secret-value --secret-id {} --secret-string file://FILE"
)


class Finding(NamedTuple):
    """What one check found; of a failure, what to do next too."""

    name: str
    ok: bool
    detail: str


def findings(stack: Stack) -> Iterator[Finding]:
    """Yield one finding per check, as they are made."""
    for name, probe, resource in (
        ("API", _api, stack.base_url),
        ("upstream key", _key, stack.upstream_secret_arn),
        ("bucket", _bucket, stack.bucket_name),
        ("jobs table", _table, stack.jobs_table_name),
        ("ledger table", _table, stack.ledger_table_name),
        ("tenants table", _table, stack.tenants_table_name),
        ("work queue", _queue, stack.work_queue_url),
        ("inbox queue", _queue, stack.inbox_queue_url),
    ):
        yield _found(name, probe, resource)


def _found(name: str, probe: Callable[[str], None], resource: str) -> Finding:
    try:
        with explained():
            probe(resource)
    except Failure as failure:
        return Finding(name, False, f"{resource}: {failure}")
    return Finding(name, True, resource)


def _api(base_url: str) -> None:
    """Ask a function that loads what all of them are built of."""
    try:
        with urlopen(f"{base_url}/healthz", timeout=30) as answer:
            json.load(answer)
    except (OSError, HTTPException, ValueError) as error:
        raise Failure(
            f"It does not answer: {error}. See the stack's log group, and whether the template's "
            "Architecture is the one it was built for."
        ) from None


def _bucket(name: str) -> None:
    clients.s3().head_bucket(Bucket=name)


def _table(name: str) -> None:
    clients.dynamodb().describe_table(TableName=name)


def _queue(url: str) -> None:
    clients.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])


def _key(arn: str) -> None:
    """Show upstream the key, as a function would."""
    from easel.upstream import Upstream

    try:
        Upstream(Secrets(clients.secrets(), arn).upstream).check()
    except UpstreamFailure as error:
        raise Failure(f"{error.message} {_PUT.format(arn)}") from None
