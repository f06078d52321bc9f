"""The inbox: an object under ``inbox/{tenant}/`` starts an edit or a variation.

A picture whose metadata carries ``prompt`` (ASCII or RFC 2047) is edited; further metadata may
name the model and its parameters. A ``*.json`` is a manifest that names its pictures
(``doors.manifests``); a picture without a prompt waits for one. The answer lies at
``outbox/{tenant}/{same path}.{kind}`` and ``….json``, and so does what refuses a question. Whoever
can write under a tenant's prefix may spend that tenant's money.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from easel import telemetry
from easel.doors import manifests, queue
from easel.doors.references import BEGINNING_BYTES, tenancy
from easel.errors import Conflict, EaselError, InvalidRequest, NotFound
from easel.identity import Identity
from easel.inputs import Inputs, begun
from easel.jobs import Job
from easel.questions import PREFIX, Question, Waiting
from easel.requests import Asked

if TYPE_CHECKING:
    from easel.aws.bucket import Found
    from easel.bootstrap import Easel
    from easel.tenants import Tenant

_MANIFESTS = {"operation", "images", "mask", "markup"}
_MOST_RECEIVES = 3
"""A question that has failed so often is told so, although its message still comes again."""


def answer(easel: Easel, event: Mapping[str, Any], until: float) -> dict[str, Any]:
    """Open a job for every question the messages tell of; without a work queue, run it, too."""

    def handle(record: SQSRecord) -> None:
        last = int(record.attributes.approximate_receive_count) >= _MOST_RECEIVES
        due_at = easel.clock() + easel.settings.inbox_wait_seconds
        for put in json.loads(record.body).get("Records", ()):
            told = put["s3"]["object"]
            question = Question.of_event(told, due_at)
            folder = question.key.endswith("/") and told.get("size") == 0
            if question.key.startswith(PREFIX) and not folder:
                _handle(easel, question, until, last)

    return queue.each(event, handle)


def _handle(easel: Easel, question: Question, until: float, last: bool) -> None:
    """Answer the question, and the manifests that have waited for this picture."""
    with _told(easel, question, last):
        _answer(easel, question, until)
        waiting = [] if question.manifest else list(easel.inbox.naming(question))
    for manifest in waiting:
        with _told(easel, manifest, last):
            _answer(easel, manifest, until)


@contextmanager
def _told(easel: Easel, question: Question, last: bool) -> Iterator[None]:
    """Tell the question that it fails again and again, if this was its ``last`` time."""
    try:
        yield
    except Exception:
        if last:
            error = EaselError("The server had an error, again and again. Tell the operator.")
            easel.outbox.refuse(question, error)
        raise


def _answer(easel: Easel, question: Question, until: float) -> None:
    """Open the question's job, refuse it, or let it wait. Raises EaselError to be tried again."""
    job = None
    try:
        job = _bound(easel, question) or _opened(easel, question)
    except EaselError as error:
        if error.retry:
            raise
        easel.outbox.refuse(question, error)
    else:
        if job is None:
            return
    if question.manifest:
        easel.inbox.done(question)
    if job and easel.lifecycle.queue is None:
        _run(easel, job, until)


def _run(easel: Easel, job: Job, until: float) -> None:
    if job.open:
        easel.lifecycle.wait(job, until)
    else:  # Its answer may still be owing, if whoever closed it died.
        easel.lifecycle.worker.run(job.tenant, job.id, until)


def _bound(easel: Easel, question: Question) -> Job | None:
    """Return the job that was opened when the event came before."""
    return easel.lifecycle.repeats.bound(question.tenant, question.idempotency_key)


def _opened(easel: Easel, question: Question) -> Job | None:
    """Return the question's job, new; None where it waits. Raises EaselError."""
    if not question.name:
        raise NotFound("The object lies under no tenant's prefix; put it under inbox/{tenant}/.")
    tenant = easel.tenants.payer(question.tenant)
    read = manifests.asked if question.manifest else _asked
    asked = read(easel, tenant, question)
    if asked is None:
        telemetry.logger.info("an object in the inbox waits", extra={"tenant": question.tenant})
        return None
    identity = Identity(idempotency_key=question.idempotency_key)
    try:
        return easel.lifecycle.open(
            tenant, asked.request, asked.uploads, identity, question=question
        ).job
    except Conflict:  # The event came twice at once, and a picture has changed between.
        return _bound(easel, question)


def _asked(easel: Easel, tenant: Tenant, question: Question) -> Asked | None:
    """Return what the picture's metadata asks for; None where it waits. Raises EaselError."""
    found = easel.bucket.find(question.key, question.version, first=BEGINNING_BYTES)
    if found is None:
        raise manifests.gone()
    question = replace(question, version=found.version)
    if "prompt" in found.metadata:
        return _edit(easel, tenant, question, found)
    begun(found.data, found.length, question.key, found.etag, "image")
    current = easel.bucket.find(question.key, first=1)
    if current and current.content == found.content:  # else another event tells of it
        easel.inbox.wait(Waiting(question))
    return None


def _edit(easel: Easel, tenant: Tenant, question: Question, found: Found) -> Asked:
    texts = {
        # what HTTP's headers are called has no "_"
        name.replace("-", "_"): _text(name, value)
        for name, value in found.metadata.items()
    }
    for name in _MANIFESTS & texts.keys():
        raise InvalidRequest(
            f"{name!r} is no metadata of a picture: put a manifest that says it.", param=name
        )
    fields = easel.reader.known(easel.reader.of_texts(texts))
    for name in "quote", "stream":
        fields.pop(name, None)
    inputs = Inputs(images=(manifests.kept(easel, question, found, "image"),))
    whose = tenancy(easel, tenant)
    return easel.reader.read("edit", whose, fields, inputs, today=easel.lifecycle.today())


def _text(name: str, value: str) -> str:
    """Return metadata as it was meant: S3 hands back what is not ASCII as RFC 2047."""
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError, MessageError):
        raise InvalidRequest(f"The metadata {name!r} is not RFC 2047.", param=name) from None
