"""Direct invocation: the HTTPS body as the event, the ImagesResponse as the result.

Beside the body's fields the event may carry ``tenant`` and ``idempotency_key``. The job runs in
this one invocation. An error raises with its code as the error's type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easel import telemetry
from easel.doors.calls import links, quoted
from easel.doors.references import tenancy
from easel.errors import EaselError, InvalidRequest, Overloaded, RequestTooLarge
from easel.identity import Identity
from easel.inputs import Inputs
from easel.jobs import Job
from easel.limits import Admission
from easel.requests import Operation
from easel.responses import LARGEST_ANSWER, answer_bytes
from easel.responses import answer as responses
from easel.tenants import DIRECT, Tenant

if TYPE_CHECKING:
    from easel.bootstrap import Easel


def answer(
    easel: Easel, operation: Operation, event: Mapping[str, Any], request_id: str, until: float
) -> dict[str, Any]:
    """Make the picture before Unix time ``until``; return the ImagesResponse.

    Without a key of its own the invocation's request id is the key, so that a repeated
    asynchronous invocation finds its job.
    """
    try:
        return _answer(easel, operation, _fields(event), request_id, until)
    except EaselError as error:
        said = error
    except Exception as error:
        telemetry.unexpected(error)
        said = EaselError(f"Something went wrong in Easel. Tell the operator {request_id}.")
    # Lambda logs whatever a function raises.
    raise type(said.code, (Exception,), {})(said.unquoted())


def _fields(event: object) -> dict[str, Any]:
    if not isinstance(event, Mapping):
        raise InvalidRequest("The event is not a JSON object.")
    return dict(event)


def _answer(
    easel: Easel, operation: Operation, event: dict[str, Any], request_id: str, until: float
) -> dict[str, Any]:
    tenant = _tenant(easel, event.pop("tenant", None))
    admission = Admission(tenant, easel.limits.take)
    admission.call()
    given = event.pop("idempotency_key", None)
    key = given or request_id
    event.setdefault("response_format", "url")
    today = easel.inline.today()
    asked = easel.reader.read(operation, tenancy(easel, tenant), event, Inputs(), today=today)
    identity = Identity(idempotency_key=str(key))
    if asked.quote:
        return quoted(easel, tenant, asked, identity)
    if asked.delivery.stream:
        raise InvalidRequest("A direct invocation does not stream.", param="stream")
    met = easel.inline.open(tenant, asked.request, asked.uploads, identity, admit=admission.images)
    again = "the same idempotency_key" if given else f"idempotency_key {request_id!r}"
    job = _done(easel.inline.wait(met.job, until), again)
    if answer_bytes(job, asked.delivery) > LARGEST_ANSWER:
        raise RequestTooLarge(
            f"The images of {job.id} do not fit Lambda's 6 MB; "
            f"invoke again with {again} and response_format 'url'."
        )
    response: dict[str, Any] = json.loads("".join(responses(job, links(easel), asked.delivery)))
    return response


def _tenant(easel: Easel, name: object) -> Tenant:
    if name is None:
        return Tenant(name=DIRECT, tenant_class=DIRECT)
    return easel.tenants.payer(name if isinstance(name, str) else "")


def _done(job: Job, again: str) -> Job:
    if job.open:
        raise Overloaded(f"{job.id} is not done yet; invoke again with {again} to have it.")
    job.raise_error()
    return job
