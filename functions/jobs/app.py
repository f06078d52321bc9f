"""Jobs: GET /v1/jobs/{id} and /v1/jobs/{id}/result.

Finds the job among the tenant's own (``aws.ledger``), waits on for it (``lifecycle``), and answers
with fresh presigned URLs (``responses``, ``aws.bucket``). It cannot read the upstream key.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel import bootstrap
from easel.doors import calls, https

easel = bootstrap.build()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the job, or its result when that is ready."""
    until = easel.ends_at(context)
    routes = {
        "/jobs/{id}": lambda call: calls.show(easel, call),
        "/jobs/{id}/result": lambda call: calls.result(easel, call, until),
    }
    return https.answer(event, routes[event["resource"]])
