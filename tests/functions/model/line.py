"""The line to AWS: moto at its other end, and whatever shall go wrong between.

A ``lost`` call works, but its answer does not come; a ``cut`` one does not arrive; one that meets
another transaction (``busy``, ``later``) is refused. What botocore tries again is a step again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from moto.core.models import botocore_stubber

from tests.functions.model.actors import Actor, fate

LINE_ERRORS = (ConnectTimeoutError, ReadTimeoutError)
_TRIES = 4
_CONFLICTS = {
    "TransactWriteItems": {
        "__type": "TransactionCanceledException",
        "CancellationReasons": [{"Code": "TransactionConflict"}],
    },
    "UpdateItem": {"__type": "TransactionConflictException"},
}
Told = Callable[[Actor, str, AWSPreparedRequest, AWSResponse], None]


class Line:
    """Stands in moto's place at botocore's hook. ``told`` hears of every call that worked."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.written: dict[str, AWSResponse] = {}

    def connect(self, client: Any) -> None:
        """Be this client's line."""
        events, service = client.meta.events, client.meta.service_model.service_id.hyphenize()
        events.unregister("before-send", botocore_stubber)
        events.register("before-send", self.send)
        events.register_first(f"needs-retry.{service}", _at_once)

    def send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Carry one attempt at a call. Raises as a line does that breaks."""
        operation = event_name.rpartition(".")[2]
        how = fate(operation)
        if how == "cut":
            raise ConnectTimeoutError(endpoint_url=request.url)
        if how in ("busy", "later") and operation in _CONFLICTS:
            return _response(request, 400, json.dumps(_CONFLICTS[operation]).encode())
        response = self._once(operation, request)
        if how == "lost":
            raise ReadTimeoutError(endpoint_url=request.url)
        return response

    def _once(self, operation: str, request: AWSPreparedRequest) -> AWSResponse:
        """Write what has a token only once, as DynamoDB does and moto does not."""
        transaction = operation == "TransactWriteItems"
        token = json.loads(request.body)["ClientRequestToken"] if transaction else None
        if token in self.written:
            done = self.written[token]
            return _response(request, done.status_code, done.content)
        response = botocore_stubber("", request)
        assert response is not None
        if response.status_code == 200:
            if token:
                self.written[token] = response
            if Actor.current:
                self.told(Actor.current, operation, request, response)
        return response


def _response(request: AWSPreparedRequest, status: int, body: bytes) -> AWSResponse:
    return AWSResponse(request.url, status, {}, _Raw(body))  # type: ignore[arg-type]  # all it reads


def _at_once(attempts: int, caught_exception: Exception | None, **_: Any) -> int | None:
    """Let botocore try again what broke here, without waiting first."""
    return 0 if isinstance(caught_exception, LINE_ERRORS) and attempts < _TRIES else None


class _Raw:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.data
