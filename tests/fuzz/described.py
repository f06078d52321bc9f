"""The API by its own OpenAPI document: calls that it permits, and calls that it does not."""

from __future__ import annotations

import contextlib
import json
import random
from datetime import date
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from easel import openapi
from easel.doors import calls, https, jobs, models, uploads, usage
from easel.settings import Settings
from tests.fuzz.drawn import Cost
from tests.fuzz.parts import CATALOGUE, EASEL, Context, Posts, _call, answered
from tests.unit.examples import NOW

NAME = "the OpenAPI document"
_SERVES = {
    ("GET", "/jobs"): partial(jobs.index, EASEL),
    ("GET", "/jobs/{id}"): partial(jobs.show, EASEL),
    ("DELETE", "/jobs/{id}"): partial(jobs.cancel, EASEL),
    ("GET", "/usage"): partial(usage.show, EASEL),
    ("POST", "/inputs"): lambda call: uploads.grant(call, cast(Any, Posts()), 60, NOW),
}
_PICTURES = {"generations": "generate", "edits": "edit", "variations": "variation"}


def serve(call: https.Call) -> https.Reply:
    """Answer as the function does that API Gateway would route the call to."""
    method, path = call.event.http_method, call.event.resource
    if path.startswith("/images/"):
        operation = _PICTURES[path.removeprefix("/images/")]
        ends_at = EASEL.ends_at(cast(Any, Context()))
        return calls.make(EASEL, cast(Any, operation), call, ends_at)
    if path.endswith("/result"):
        return calls.result(EASEL, call, NOW + 10)
    if (method, path) in _SERVES:
        return _SERVES[method, path](call)
    return models.serve(call, CATALOGUE, Settings(), NOW)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def check(case: Any) -> None:
    """Make the call that schemathesis describes, and check its answer."""
    body = case.body
    made = _call("generate", "https", {k: _text(v) for k, v in (case.headers or {}).items()})
    if isinstance(body, (dict, list)) or not isinstance(body, (str, bytes, int, float)):
        body = json.dumps(body) if isinstance(body, (dict, list)) else ""
    made |= {
        "httpMethod": case.method.upper(),
        "resource": case.operation.path,
        "path": case.operation.path,
        "pathParameters": {k: quote(_text(v)) for k, v in (case.path_parameters or {}).items()},
        "queryStringParameters": {k: _text(v) for k, v in (case.query or {}).items()} or None,
        "body": body.decode("utf-8", "surrogateescape") if isinstance(body, bytes) else str(body),
        "isBase64Encoded": False,
    }
    answered(https.answer(made, serve, ()))


def draw(inputs: int) -> Cost:
    """Draw so many calls, of all operations, half of them against the document."""
    document = openapi.document(CATALOGUE, Settings(), date(2026, 11, 22), "/v1")
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    cases = [
        one.as_strategy(generation_mode=mode)
        for one in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    cost = Cost()
    for each in cases:
        _draw(each, max(1, inputs // len(cases)), cost)
    return cost


def _draw(cases: st.SearchStrategy[Any], inputs: int, cost: Cost) -> None:
    # With a seed of ours, hypothesis names none where there is nothing to draw.
    @seed(random.getrandbits(64))
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(cases)
    def each(case: Any) -> None:
        cost.of(check, case)

    # A route without parameters cannot be called against its description.
    with contextlib.suppress(Unsatisfiable):
        each()
