"""Upstream: OpenAI's SDK, and what its errors mean for money.

| what upstream said | here | billed |
|---|---|---|
| 429 ``insufficient_quota``, 400 ``billing_hard_limit_reached`` … | UpstreamRefused | no |
| 429 otherwise; 408, 409, 500, 503 in OpenAI's shape; no connection | UpstreamBusy | no |
| 401, after the secret was read afresh once | UpstreamMisconfigured | no |
| other 4xx: its own status, code, param, message | UpstreamRefused | no |
| a lost line, a time-out, a gateway's 5xx, an unreadable answer | UpstreamUnknown | maybe |

Sources: OpenAI's error codes guide and the community's reports on image 429s, November 2026.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import httpx2
import pybase64

from easel.deferred import deferred
from easel.errors import (
    NEVER,
    UpstreamBusy,
    UpstreamFailure,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamUnknown,
    moderation_details,
)
from easel.formats import CONTENT_TYPES
from easel.rendered import Rendered, whole

with deferred("openai.types"):
    import openai

if TYPE_CHECKING:
    from easel.aws.secrets import UpstreamSecret
    from easel.requests import Request

File = tuple[str, tuple[str, IO[bytes], str]]
"""A multipart file: field, and (filename, stream, content type)."""

_PASSING = {408, 409, 429, 500, 503}
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_NEVER_SENT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)
_CONNECT_SECONDS = 10
# As the SDK's own with_streaming_response says that an answer is to be left on the line.
_UNREAD = {"X-Stainless-Raw-Response": "stream"}
_LOST = (
    "The line to upstream was lost, or the wait for it ran out, after the request had left. "
    "It may have been billed, so it is not repeated by itself: ask again to buy anew."
)
_JUDGE = "omni-moderation-latest"
_LONGEST_WORD = 100
_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
_OPENAI = "https://api.openai.com/v1"
_WAIT_IN_TEXT = re.compile(
    r"try again (?:after|in) (?:([0-9]{1,4})m(?:in\w*)?,? ?)?([0-9]{1,6}(?:\.[0-9]*)?) ?(ms|s)"
)


class Upstream:
    """OpenAI, or whatever speaks like it. ``secret`` reads the key, again once it is refused."""

    def __init__(self, secret: Callable[[], UpstreamSecret]) -> None:
        """Connect on the first call."""
        self._secret = secret
        self._client: openai.OpenAI | None = None

    def render(
        self, request: Request, inputs: Mapping[str, IO[bytes]], *, timeout: float
    ) -> Rendered:
        """Make the one paid call; upstream has ``timeout`` seconds. Raises UpstreamFailure.

        ``inputs`` are the request's inputs by their keys, as files: they are sent as they are read.
        The answer's images arrive as they are taken, and are to be taken at once.
        """
        body = {"model": request.model, "prompt": request.prompt, **request.parameters}
        generate = request.operation == "generate"
        files = None if generate else _files(request, inputs)
        path = f"/images/{'generations' if generate else 'edits'}"
        return Rendered(_arriving(self._post(path, body, timeout, files, request.user)))

    def check(self) -> None:
        """Ask for the free list of models. Raises UpstreamFailure where the key is refused."""
        with _translated():
            response = self._connected(afresh=True).get("/models", cast_to=httpx2.Response)
        try:
            models = response.json()["data"]
        except (ValueError, LookupError, TypeError):
            models = None
        if not isinstance(models, list):
            raise UpstreamMisconfigured(
                "Upstream answers, but not as OpenAI does. Operator: check base_url in the secret."
            )

    def moderate(self, given: str | bytes, *, timeout: float) -> tuple[str, ...] | None:
        """Judge a text, or an image (a JPEG), for free, in at most ``timeout`` seconds.

        Return the categories it is flagged for, None where it passes. Raises UpstreamFailure.
        One image at a time: more are ``too_many_images``.
        """
        part: dict[str, Any] = {"type": "text", "text": given}
        if isinstance(given, bytes):
            url = f"data:image/jpeg;base64,{pybase64.b64encode_as_string(given)}"
            part = {"type": "image_url", "image_url": {"url": url}}
        response = self._post("/moderations", {"model": _JUDGE, "input": [part]}, timeout)
        try:
            [result] = json.loads(b"".join(_arriving(response)))["results"]
            flagged, categories = bool(result["flagged"]), result["categories"].items()
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UpstreamUnknown("Moderation answered, but not as OpenAI does.") from None
        return tuple(whole(name) for name, hit in categories if hit) if flagged else None

    def _post(
        self,
        path: str,
        body: dict[str, Any],
        timeout: float,
        files: list[File] | None = None,
        user: str | None = None,
    ) -> httpx2.Response:
        def post(client: openai.OpenAI) -> httpx2.Response:
            extra = {"safety_identifier": _keyed(client.api_key, user)} if user else {}
            return client.post(
                path,
                body={**body, **extra},
                files=files,
                options={
                    "headers": _UNREAD | ({"Content-Type": "multipart/form-data"} if files else {}),
                    "timeout": httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
                },
                cast_to=openai.APIResponse[httpx2.Response],
            ).http_response

        with _translated():
            try:
                return post(self._connected())
            except openai.AuthenticationError:
                return post(self._connected(afresh=True))

    def _connected(self, *, afresh: bool = False) -> openai.OpenAI:
        if self._client is None or afresh:
            secret = self._secret()
            if self._client is not None:
                self._client.close()
            self._client = openai.OpenAI(
                api_key=secret.api_key.get_secret_value(),
                # Explicit: the SDK would else take OPENAI_BASE_URL, perhaps Easel's own.
                base_url=secret.base_url or _OPENAI,
                organization=secret.organization,
                project=secret.project,
                max_retries=0,
                timeout=30,
            )
        return self._client


def _arriving(response: httpx2.Response) -> Iterator[bytes]:
    """Yield the answer as it arrives. Raises UpstreamUnknown where the line is lost."""
    try:
        yield from response.iter_bytes()
    except httpx2.HTTPError:
        raise UpstreamUnknown(_LOST) from None
    finally:
        response.close()


def _files(request: Request, inputs: Mapping[str, IO[bytes]]) -> list[File]:
    """Return the inputs as multipart files, labelled by what the bytes are."""
    field = "image" if len(request.images) == 1 else "image[]"
    named = [(field, image) for image in request.images]
    named += [("mask", request.mask)] if request.mask else []
    named += [("markup", request.markup)] if request.markup else []
    return [
        (name, (f"{index}.{one.kind}", inputs[one.key], CONTENT_TYPES[one.kind]))
        for index, (name, one) in enumerate(named)
    ]


def _keyed(key: str, pseudonym: str | None) -> str | None:
    return pseudonym and hmac.new(key.encode(), pseudonym.encode(), hashlib.sha256).hexdigest()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        raise _of_status(error) from None
    except openai.APIConnectionError as error:
        raise _of_line(error) from None
    except httpx2.HTTPError:  # an error's own body, which the SDK reads
        raise UpstreamUnknown(_LOST) from None
    except (TypeError, ValueError):
        # What the SDK cannot even write down has not been sent.
        raise UpstreamRefused(
            "The request cannot be sent upstream as it is; check its parameters.",
            status=400,
            type="invalid_request_error",
            code="invalid_value",
        ) from None


def _of_line(error: openai.APIConnectionError) -> UpstreamFailure:
    if isinstance(error.__cause__, _NOT_SENT):
        return UpstreamBusy("Upstream cannot be reached; nothing was bought.", retry_after=5)
    if isinstance(error.__cause__, _NEVER_SENT):
        return UpstreamMisconfigured(
            "Upstream's address cannot be called. Operator: check base_url in the secret."
        )
    return UpstreamUnknown(_LOST)


def _of_status(error: openai.APIStatusError) -> UpstreamFailure:
    status = error.status_code
    if NEVER & {_name(error.code), _name(error.type)}:
        return _refused(error)
    if status == 429 or (status in _PASSING and (error.code or error.type)):
        return _busy(error)
    if status == 401:
        return UpstreamMisconfigured(
            "Upstream refused the operator's key. Operator: put a valid key in the secret; "
            "`easel check` tells when it is accepted."
        )
    if status >= 500 or status == 408:
        return UpstreamUnknown(
            f"A gateway before upstream answered {status}. The call may have been billed, "
            "so it is not repeated by itself: ask again to buy anew."
        )
    return _refused(error)


def _refused(error: openai.APIStatusError) -> UpstreamRefused:
    said = _message(error)
    return UpstreamRefused(
        said,
        status=error.status_code,
        code=_name(error.code) or "upstream_error",
        type=_name(error.type) or "invalid_request_error",
        param=_word(error.param),
        retry=False,
        moderation_details=moderation_details(error.body),
        quotes=said,
    )


def _busy(error: openai.APIStatusError) -> UpstreamBusy:
    said, how = _message(error), dict[str, Any](status=502, code="upstream_error")
    if error.status_code == 429:
        kind = _name(error.type) or "rate_limit_error"
        how = {"status": 429, "code": "rate_limit_exceeded", "type": kind}
    elif error.status_code == 503:
        how = {}
    return UpstreamBusy(said, retry_after=_wait(error), quotes=said, **how)


def _name(value: object) -> str | None:
    """Return a code or type as upstream gave it, if it is one: logs and events have it."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _word(value: object) -> str | None:
    """Return a param as upstream gave it, if it is one."""
    return whole(value) if isinstance(value, str) and len(value) <= _LONGEST_WORD else None


def _message(error: openai.APIStatusError) -> str:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return whole(said or f"Upstream answered {error.status_code}.")


def _wait(error: openai.APIStatusError) -> float | None:
    """Return the seconds upstream asked to wait: in a header, or only in its text."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(error.response.headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= wait < math.inf:
            return wait
    found = _WAIT_IN_TEXT.search(_message(error))
    if not found:
        return None
    return int(found[1] or 0) * 60 + float(found[2]) * (0.001 if found[3] == "ms" else 1.0)
