"""Sweep: every minute, what is due, lapsed or too old.

Reads the sparse index of open jobs (``aws.ledger``), sends a message for each that is due, and ends
those that are too old, their holds released (``lifecycle``, ``worker``).
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel import bootstrap, telemetry

easel = bootstrap.build()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Return how many jobs were due."""
    due = easel.lifecycle.sweep()
    telemetry.logger.info("swept", extra={"due": due})
    return {"due": due}
