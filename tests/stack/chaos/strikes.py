"""What can happen to a call: who makes it, at which point of a job's life, when, and what."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from hashlib import md5
from typing import Literal

from tests.stack.chaos.http import Request

Who = Literal["worker", "door", "sweep"]
When = Literal["before", "after"]
"""Before the call is forwarded; after it has worked, before its answer is handed back."""
Does = Literal[
    "kill", "cut", "hold", "500", "503", "throttle", "conflict", "in progress", "swallow"
]
"""``kill``: SIGKILL to the process that calls. ``cut``: the line is closed. ``hold``: the answer
comes later than its caller waits. ``swallow``: "done" is answered, and nothing is done. Else it
is one of AWS's own errors."""

HELD_SECONDS = 25
"""Longer than Easel's AWS clients wait for an answer."""


@dataclass(frozen=True)
class Strike:
    """One fault. It strikes ``times`` times, or as long as ``lasts`` seconds from the first."""

    who: Who
    point: str
    when: When
    does: Does
    times: int = 1
    lasts: float = 0


@dataclass
class Armed:
    """A strike that waits for its tenant's job; ``hits`` are the Unix times at which it struck."""

    strike: Strike
    hits: list[float] = field(default_factory=list)

    def fires(self, who: str, point: str | None, when: When) -> bool:
        """Strike if this is the point."""
        wanted, now = self.strike, time.time()
        if (wanted.who, wanted.point, wanted.when) != (who, point, when):
            return False
        lasting = bool(self.hits) and now < self.hits[0] + wanted.lasts
        if len(self.hits) >= wanted.times and not lasting:
            return False
        self.hits.append(now)
        return True


CODES = {
    "dynamodb": {
        "500": (500, "InternalServerError"),
        "503": (503, "ServiceUnavailable"),
        "throttle": (400, "ThrottlingException"),
        "conflict": (400, "TransactionConflictException"),
        "in progress": (400, "TransactionInProgressException"),
    },
    "s3": {
        "500": (500, "InternalError"),
        "503": (503, "ServiceUnavailable"),
        "throttle": (503, "SlowDown"),
    },
    "sqs": {
        "500": (500, "InternalFailure"),
        "503": (503, "ServiceUnavailable"),
        "throttle": (400, "ThrottlingException"),
    },
}


def answer(does: str, request: Request) -> bytes:
    """Return AWS's answer in the shape of the service that was called."""
    if does == "swallow":
        sent = json.loads(request.body)["MessageBody"]
        done = {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": md5(sent.encode()).hexdigest()}
        return _response(200, "application/x-amz-json-1.0", json.dumps(done))
    status, code = CODES[request.service][does]
    if request.service == "s3":
        document = f"<Error><Code>{code}</Code><Message>Chaos.</Message></Error>"
        return _response(status, "application/xml", document)
    fault = {"__type": f"com.amazonaws.{request.service}#{code}", "message": "Chaos."}
    if does == "conflict" and request.operation == "TransactWriteItems":
        fault["__type"] = f"com.amazonaws.{request.service}#TransactionCanceledException"
        return _response(400, "application/x-amz-json-1.0", json.dumps(fault | _reasons(request)))
    return _response(status, "application/x-amz-json-1.0", json.dumps(fault))


def _reasons(request: Request) -> dict[str, list[dict[str, str]]]:
    """Return reasons as DynamoDB gives them: one a write, the last of them in conflict."""
    quiet = len(json.loads(request.body)["TransactItems"]) - 1
    return {"CancellationReasons": [{"Code": "None"}] * quiet + [{"Code": "TransactionConflict"}]}


def _response(status: int, content_type: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status} Chaos\r\ncontent-type: {content_type}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
