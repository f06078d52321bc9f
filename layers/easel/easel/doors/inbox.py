"""The inbox: an object under ``inbox/{tenant}/`` starts an edit.

A picture whose metadata carries ``prompt`` (ASCII or RFC 2047) is edited; further metadata may
name the model and its parameters. The answer lies at ``outbox/{tenant}/{same path}.{kind}`` and
``….json``. Whoever can write under a tenant's prefix may spend that tenant's money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from easel import outbox, telemetry
from easel.doors import queue
from easel.doors.calls import tenancy
from easel.errors import EaselError, NotFound
from easel.inputs import Inputs
from easel.jobs import Identity

if TYPE_CHECKING:
    from easel.bootstrap import Easel


def answer(easel: Easel, event: Mapping[str, Any]) -> dict[str, Any]:
    """Open a job for every picture the messages tell of."""

    def handle(record: SQSRecord) -> None:
        for put in json.loads(record.body).get("Records", ()):
            _handle(easel, put["s3"]["object"])

    return queue.each(event, handle)


def _handle(easel: Easel, put: Mapping[str, Any]) -> None:
    key = unquote_plus(put["key"])
    _, tenant, path = key.split("/", 2)
    version = put.get("versionId")
    found = easel.bucket.find(key, version)
    if found is None or "prompt" not in found.metadata:
        telemetry.logger.info("nothing to do for an object in the inbox", extra={"tenant": tenant})
        return
    reply_to = f"outbox/{tenant}/{path}"
    identity = Identity(idempotency_key=f"{key} {version or put['eTag']} {put['sequencer']}")
    try:
        _open(easel, tenant, found.metadata, found.data, identity, reply_to)
    except EaselError as error:
        outbox.refuse(easel.bucket, reply_to, error)


def _open(
    easel: Easel,
    tenant: str,
    metadata: Mapping[str, str],
    picture: bytes,
    identity: Identity,
    reply_to: str,
) -> None:
    if easel.tenants.named(tenant) is None:
        raise NotFound(f"There is no tenant {tenant!r}.", param="tenant")
    texts = {name: _text(value) for name, value in metadata.items()}
    fields = easel.reader.known(easel.reader.of_texts(texts))
    today = easel.lifecycle.today()
    inputs = Inputs(images=(picture,))
    asked = easel.reader.read("edit", tenancy(easel, tenant), fields, inputs, today=today)
    easel.lifecycle.open(tenant, asked.request, asked.uploads, identity, reply_to=reply_to)


def _text(value: str) -> str:
    """Return metadata as it was meant: S3 hands back what is not ASCII as RFC 2047."""
    return str(make_header(decode_header(value)))
