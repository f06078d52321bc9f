"""Jobs: GET /v1/jobs, GET and DELETE /v1/jobs/{id}, /v1/jobs/{id}/result, and GET /v1/usage.

Finds jobs among the tenant's own (``aws.jobs``), cancels what is queued or waits on for it
(``lifecycle``), and answers with fresh presigned URLs (``responses``); or tells what the tenant has
spent (``usage``, ``aws.books``). It cannot read the key.
"""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel import bootstrap
from easel.doors import calls, https, jobs, usage

easel = bootstrap.build()
routes = {"GET /jobs": jobs.index, "GET /jobs/{id}": jobs.show, "DELETE /jobs/{id}": jobs.cancel}
routes |= {"GET /usage": usage.show}


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return jobs, a job as it is or is cancelled, its result when that is ready, or the usage."""
    result = partial(calls.result, ends_at=easel.ends_at(context))
    serve = routes.get(f"{event['httpMethod']} {event['resource']}", result)
    return https.answer(event, partial(serve, easel), easel.settings.allowed_origins)
