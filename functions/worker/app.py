"""Worker: the work queue.

Takes the lease of the job a message names, settles what a dead worker left (``worker``), fetches
the key from Secrets Manager (``aws.secrets``), calls OpenAI (``upstream``), writes each image to S3
(``aws.bucket``) and closes the job with its charge (``aws.ledger``).
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel import bootstrap
from easel.doors import queue

easel = bootstrap.build()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return which messages failed, for the queue to bring again."""
    return queue.work(event, easel.lifecycle, easel.ends_at(context))
