"""The three functions that make pictures, whichever door the event came through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easel.doors import calls, direct, https, inbox
from easel.requests import Operation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from easel.bootstrap import Easel

_LAST_SECONDS = 10
"""What is left of a function's time for building the answer."""


def serve(
    easel: Easel, operation: Operation, event: Mapping[str, Any], context: LambdaContext
) -> dict[str, Any]:
    """Answer an HTTPS call, the inbox queue's messages, or a direct invocation."""
    until = ends_at(easel, context)
    if "httpMethod" in event:
        return https.answer(event, lambda call: calls.make(easel, operation, call, until))
    if "Records" in event:
        return inbox.answer(easel, event, until)
    return direct.answer(easel, operation, event, context.aws_request_id, until)


def ends_at(easel: Easel, context: LambdaContext) -> float:
    """Return the Unix time by which the function must be done."""
    return easel.clock() + context.get_remaining_time_in_millis() / 1000 - _LAST_SECONDS
