"""What an HTTPS call can ask of jobs there are: list them, look at one, cancel it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from easel.doors.calls import deliver, links
from easel.doors.https import Call, Reply
from easel.errors import InvalidRequest
from easel.jobs import Job
from easel.pages import Page, listed
from easel.responses import job_object

if TYPE_CHECKING:
    from easel.bootstrap import Easel


def index(easel: Easel, call: Call) -> Reply:
    """List the tenant's jobs, newest first."""
    page = _page(call)
    jobs = easel.lifecycle.kept(call.tenant.name, page.after, page.limit + 1)
    return Reply(200, listed((_object(easel, job) for job in jobs), page.limit))


def show(easel: Easel, call: Call) -> Reply:
    """Show a job as it is now."""
    job = easel.lifecycle.find(*_named(call))
    if not job.open:
        deliver(easel, job)
    return Reply(200, _object(easel, job))


def cancel(easel: Easel, call: Call) -> Reply:
    """Cancel a job that is queued, and that nobody else waits for; show it."""
    return Reply(200, _object(easel, easel.lifecycle.cancel(*_named(call))))


def _named(call: Call) -> tuple[str, str]:
    return call.tenant.name, call.event.path_parameters["id"]


def _object(easel: Easel, job: Job) -> dict[str, Any]:
    """Return the job's object; URLs of images past their retention would lead nowhere."""
    if job.expired(easel.clock(), easel.settings.retention_days):
        job = job.model_copy(update={"answer": None})
    return job_object(job, links(easel))


def _page(call: Call) -> Page:
    try:
        return Page.model_validate(call.event.query_string_parameters)
    except ValidationError as error:
        param = str(error.errors()[0]["loc"][0])
        raise InvalidRequest(
            f"Invalid {param!r}. 'limit' is a number from 1 to 100, 'after' the id of a job.",
            param=param,
        ) from None
