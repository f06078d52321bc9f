"""The inbox: an object under ``inbox/{tenant}/`` starts an edit.

A picture whose metadata carries ``prompt`` (ASCII or RFC 2047) is edited; further metadata may
name the model and its parameters. The answer lies at ``outbox/{tenant}/{same path}.{kind}`` and
``….json``. Whoever can write under a tenant's prefix may spend that tenant's money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from easel import outbox, telemetry
from easel.doors import queue
from easel.doors.references import tenancy
from easel.errors import EaselError, InvalidRequest, NotFound
from easel.inputs import Inputs
from easel.jobs import Identity, Job

if TYPE_CHECKING:
    from easel.aws.bucket import Found
    from easel.bootstrap import Easel


_LONGEST_KEY = 1_000
"""Bytes of an outbox key: S3's 1024, less its ending."""


def answer(easel: Easel, event: Mapping[str, Any], until: float) -> dict[str, Any]:
    """Open a job for every picture the messages tell of; without a work queue, run it, too."""

    def handle(record: SQSRecord) -> None:
        for put in json.loads(record.body).get("Records", ()):
            _handle(easel, put["s3"]["object"], until)

    return queue.each(event, handle)


def _handle(easel: Easel, put: Mapping[str, Any], until: float) -> None:
    key = unquote_plus(put["key"])
    version = put.get("versionId")
    _, _, path = key.partition("/")
    tenant, _, name = path.partition("/")
    reply_to = f"outbox/{path}"
    if not name or len(reply_to.encode()) > _LONGEST_KEY:
        telemetry.logger.warning("no answer can be given to a key in the inbox")
        return
    identity = Identity(idempotency_key=f"{key} {version or put['eTag']} {put.get('sequencer')}")
    try:
        found = easel.bucket.find(key, version)
        if found is None or "prompt" not in found.metadata:
            telemetry.logger.info(
                "nothing to do for an object in the inbox", extra={"tenant": tenant}
            )
            return
        job = _open(easel, tenant, found, identity, reply_to)
    except EaselError as error:
        if error.retry:
            raise
        outbox.refuse(easel.bucket, reply_to, error)
        return
    if easel.lifecycle.queue is None:
        easel.lifecycle.wait(job, until)


def _open(easel: Easel, tenant: str, found: Found, identity: Identity, reply_to: str) -> Job:
    if easel.tenants.named(tenant) is None:
        raise NotFound(f"There is no tenant {tenant!r}.", param="tenant")
    texts = {name: _text(name, value) for name, value in found.metadata.items()}
    fields = easel.reader.known(easel.reader.of_texts(texts))
    for name in "quote", "stream":
        fields.pop(name, None)
    inputs = Inputs(images=(found.data,))
    today = easel.lifecycle.today()
    asked = easel.reader.read("edit", tenancy(easel, tenant), fields, inputs, today=today)
    return easel.lifecycle.open(tenant, asked.request, asked.uploads, identity, reply_to=reply_to)


def _text(name: str, value: str) -> str:
    """Return metadata as it was meant: S3 hands back what is not ASCII as RFC 2047."""
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError, HeaderParseError):
        raise InvalidRequest(f"The metadata {name!r} is not RFC 2047.", param=name) from None
