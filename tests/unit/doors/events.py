"""API Gateway's events, with what a test is about changed."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from easel.doors.https import Call
from local.template import ROOT


def event(function: str = "generate", door: str = "https", **changes: Any) -> dict[str, Any]:
    """Return events/{function}/{door}.json, with changes at its top level."""
    path = ROOT / "events" / function / f"{door}.json"
    return {**json.loads(path.read_text()), **changes}


def call(function: str = "generate", **changes: Any) -> Call:
    """Return an HTTPS call; ``headers`` are added to, and ``context`` to requestContext."""
    made = event(function)
    made["headers"] |= changes.pop("headers", {})
    made["requestContext"] |= changes.pop("context", {})
    return Call(APIGatewayProxyEvent({**made, **changes}))
