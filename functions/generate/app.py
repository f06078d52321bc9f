"""Generate: HTTPS (POST /v1/images/generations) and direct invocation.

Validates the call (``requests``, ``catalogue``), opens a job with its ceiling price held
(``lifecycle``, ``aws.ledger``) and waits for it. The worker, or a direct
invocation itself, fetches the key from Secrets Manager (``aws.secrets``), calls OpenAI
(``upstream``) and writes the outputs to S3 (``aws.bucket``). The answer carries presigned URLs
(``responses``); one that is not ready within API Gateway's patience is a 303 to wait on.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel import bootstrap
from easel.doors import pictures

easel = bootstrap.build()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the picture, or where it will be."""
    return pictures.serve(easel, "generate", event, context)
