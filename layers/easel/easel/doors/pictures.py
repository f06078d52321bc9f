"""The three functions that make pictures, whichever door the event came through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from easel.doors import calls, direct, https
from easel.requests import Operation

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from easel.bootstrap import Easel


def serve(
    easel: Easel, operation: Operation, event: Mapping[str, Any], context: LambdaContext
) -> dict[str, Any]:
    """Answer an HTTPS call, or a direct invocation."""
    until = easel.ends_at(context)
    if isinstance(event, Mapping) and "httpMethod" in event:
        origins = easel.settings.allowed_origins
        return https.answer(event, lambda call: calls.make(easel, operation, call, until), origins)
    return direct.answer(easel, operation, event, context.aws_request_id, until)
