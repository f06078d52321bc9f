"""What an HTTPS call can ask: make a picture, wait on for its job."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, time
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from easel import telemetry
from easel.aws.jobs import wordless
from easel.catalogue import WARNING
from easel.doors import bodies
from easel.doors.https import Call, Reply
from easel.doors.references import tenancy
from easel.errors import Overloaded
from easel.identity import Identity
from easel.jobs import Job
from easel.limits import Admission
from easel.requests import Asked, Delivery, Operation
from easel.responses import (
    LARGEST_ANSWER,
    Links,
    answer,
    answer_bytes,
    content_type,
    job_object,
    quote,
)

if TYPE_CHECKING:
    from easel.bootstrap import Easel
    from easel.tenants import Tenant

_COMPOSING_SECONDS = 8
"""What composing a large answer may take: with less left of the wait, the result hops on."""
MOST_HOPS = 8
"""Some clients stop at ten redirects; after these the caller's own retry goes on."""


def make(easel: Easel, operation: Operation, call: Call, ends_at: float) -> Reply:
    """Open the call's job, and wait for it. ``ends_at``: when the function itself must be done."""
    until = _deadline(easel, call, ends_at)
    admission = Admission(call.tenant, easel.limits.take)
    admission.call()
    reply = _made(easel, operation, call, admission, until)
    return replace(reply, headers={**reply.headers, **admission.headers})


def _made(
    easel: Easel, operation: Operation, call: Call, admission: Admission, until: float
) -> Reply:
    fields, inputs = bodies.parse(easel.reader, call.body, call.header("content-type"))
    tenant = call.tenant
    today = easel.lifecycle.today()
    asked = easel.reader.read(operation, tenancy(easel, tenant), fields, inputs, today=today)
    _refuse_unheard(easel, call)
    if asked.quote:
        return Reply(200, quoted(easel, tenant, asked, call.identity))
    later = call.preference("respond-async") is not None and easel.lifecycle.queue is not None
    met = easel.lifecycle.open(
        tenant,
        asked.request,
        asked.uploads,
        call.identity,
        delivered=later,
        admit=admission.images,
    )
    delivery = asked.delivery.model_copy(update={"cached": met.cached})
    if later:
        return _accepted(easel, call, met.job, delivery)
    return _waited(easel, call, met.job, delivery.default_of(tenant), until, hop=0)


def result(easel: Easel, call: Call, ends_at: float) -> Reply:
    """Wait on for a job that was opened before."""
    hop = _hop(call)
    job = easel.lifecycle.find(call.tenant.name, call.event.path_parameters["id"])
    delivery = call.delivery().default_of(call.tenant)
    return _waited(easel, call, job, delivery, _deadline(easel, call, ends_at), hop)


def links(easel: Easel) -> Links:
    """Return how images are reached from now on."""
    seconds = easel.settings.url_ttl_seconds
    return Links(
        url=lambda key: easel.bucket.url(key, seconds),
        read=easel.bucket.get,
        expires_at=int(easel.clock()) + seconds,
    )


def deliver(easel: Easel, job: Job) -> None:
    """Note that the caller is told the job's end. Without the note the answer is as good."""
    try:
        easel.lifecycle.deliver(job)
    except Exception as error:
        telemetry.unexpected(error, job=job.id)


def quoted(easel: Easel, tenant: Tenant, asked: Asked, identity: Identity) -> dict[str, Any]:
    """Return what the call would do, having done nothing."""
    met = easel.lifecycle.repeats.find(tenant, asked.request, identity).met
    ceiling = asked.request.ceiling(easel.catalogue)
    return quote(asked.request, ceiling, met.job if met else None, cached=bool(met and met.cached))


def _deadline(easel: Easel, call: Call, ends_at: float) -> float:
    if easel.lifecycle.queue is None:
        return ends_at
    settings = easel.settings
    integration = settings.integration_timeout_millis / 1000
    return min(ends_at, call.deadline(easel.clock(), settings.wait_seconds, integration))


def _refuse_unheard(easel: Easel, call: Call) -> None:
    """Buy nothing for a caller who is gone: its retry may have opened the job by now."""
    integration = easel.settings.integration_timeout_millis / 1000
    if easel.lifecycle.queue is not None and call.unheard(easel.clock(), integration):
        raise Overloaded("The call came too late to be answered; nothing was opened.")


def _waited(
    easel: Easel, call: Call, job: Job, delivery: Delivery, until: float, hop: int
) -> Reply:
    there = not job.open  # at once, so that no other call has more time left for the answer
    job = easel.lifecycle.wait(job, until)
    if job.open:
        return _elsewhere(easel, call, job, delivery, hop)
    deliver(easel, job)
    job.raise_error()
    if job.expired(easel.clock(), easel.settings.retention_days):
        raise job.gone()
    large = answer_bytes(job, delivery) > LARGEST_ANSWER
    late = not there and until - easel.clock() < _COMPOSING_SECONDS
    if large and late and hop < MOST_HOPS:
        return _elsewhere(easel, call, job, delivery, hop)
    headers = {"content-type": content_type(delivery), **_ending(easel, delivery)}
    if delivery.cached:
        headers["age"] = str(max(0, int(easel.clock()) - (job.finished_at or 0)))
    try:
        if large:
            return Reply(303, "", {"location": _composed(easel, job, delivery)})
        return Reply(200, "".join(answer(job, links(easel), delivery)), headers)
    except KeyError:
        raise job.gone() from None


def _ending(easel: Easel, delivery: Delivery) -> dict[str, str]:
    """Return the headers of a model that ends (RFC 9745, RFC 8594), or has ended."""
    today = easel.lifecycle.today()
    end = easel.catalogue.end(delivery.model, today) if delivery.model else None
    if end is None:
        return {}
    sunset = datetime.combine(end, time(), UTC)
    warned = sunset - WARNING
    return {
        "deprecation": f"@{int(warned.timestamp())}",
        "sunset": format_datetime(sunset, usegmt=True),
    }


def _elsewhere(easel: Easel, call: Call, job: Job, delivery: Delivery, hop: int) -> Reply:
    if hop >= MOST_HOPS:
        easel.lifecycle.leave(job)
        raise Overloaded(
            f"{job.id} is still at work. Ask again to meet it while it is, "
            f"or GET {call.root}/jobs/{job.id}/result.",
            retry_after=1,
        )
    location = _location(call, job, delivery, hop=hop + 1)
    return Reply(303, job_object(job, links(easel)), {"location": location})


def _accepted(easel: Easel, call: Call, job: Job, delivery: Delivery) -> Reply:
    return Reply(
        202,
        job_object(job, links(easel)),
        {
            "location": _location(call, job, delivery),
            "preference-applied": "respond-async",
        },
    )


def _location(call: Call, job: Job, delivery: Delivery, **query: int) -> str:
    path = f"{call.root}/jobs/{job.id}/result"
    asked = urlencode({**query, **delivery.query()})
    return f"{path}?{asked}" if asked else path


def _hop(call: Call) -> int:
    hop = call.event.query_string_parameters.get("hop", "0")
    return int(hop) if hop.isdecimal() and len(hop) < 4 else MOST_HOPS


def _composed(easel: Easel, job: Job, delivery: Delivery) -> str:
    """Write an answer too large for Lambda into the bucket, once; return its presigned URL."""
    form = "stream" if delivery.stream else delivery.response_format or "both"
    # Who paid and who did not are told another cost.
    key = f"answers/{job.tenant}/{job.id}/{form}{'-cached' if delivery.cached else ''}"
    # URLs in it would age; without any it is as good as new.
    if form in ("stream", "b64_json") and easel.bucket.has(key):
        return easel.bucket.url(key, easel.settings.url_ttl_seconds)
    job = job if easel.settings.keep_prompts else wordless(job)
    with tempfile.TemporaryFile() as stream:
        for part in answer(job, links(easel), delivery):
            stream.write(part.encode())
        stream.seek(0)
        easel.bucket.upload(key, stream, content_type(delivery))
    return easel.bucket.url(key, easel.settings.url_ttl_seconds)
