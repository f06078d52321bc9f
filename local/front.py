"""API Gateway's address and limits before the emulator's API, which has neither.

``/v1/…`` goes to the API's stage as it came: method, path, query, headers, body; the answer comes
back as it is, redirects included. The limits are AWS's: 29 s (or as the stack was told), 10 MB of
body at the gateway, 6 MB of JSON in and out of Lambda.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from typing import Any, Self

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

GATEWAY_LIMIT = 10 * 1024 * 1024
LAMBDA_LIMIT = 6 * 1024 * 1024
HOP_BY_HOP = {b"connection", b"content-length", b"date", b"host", b"keep-alive", b"server"} | {
    b"transfer-encoding"
}


class Front:
    """An ASGI application; ``api`` is the stage's own URL, ``timeout`` is in seconds."""

    def __init__(
        self, api: str, responses: dict[str, dict[str, Any]], timeout: float, welcome: str
    ) -> None:
        self._api = httpx2.URL(api)
        self._responses = responses
        self._timeout = timeout
        self._welcome = welcome
        self._client = httpx2.AsyncClient(
            timeout=None,
            trust_env=False,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def __aenter__(self) -> Self:
        """Hold the connections to the API open until the block is left."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def _answer(self, request: Request) -> Response:
        if request.url.path == "/":
            return PlainTextResponse(self._welcome)
        if not request.url.path.startswith("/v1/"):
            return JSONResponse({"message": "Forbidden"}, 403)
        body = await _body(request)
        if body is None:
            text = f"HTTP content length exceeded {GATEWAY_LIMIT} bytes."
            return PlainTextResponse(text, 413)
        if _size_in_lambda(body, request.headers.get("content-type", "")) > LAMBDA_LIMIT:
            return self._error("REQUEST_TOO_LARGE", 413)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._forward(request, body)
        except TimeoutError:
            return self._error("INTEGRATION_TIMEOUT", 504)

    async def _forward(self, request: Request, body: bytes) -> Response:
        path = request.scope["raw_path"].removeprefix(b"/v1")
        query = request.scope["query_string"]
        url = self._api.copy_with(
            raw_path=self._api.raw_path + path + (b"?" + query if query else b"")
        )
        headers = [(k, v) for k, v in request.headers.raw if k not in HOP_BY_HOP]
        sent = self._client.build_request(request.method, url, headers=headers, content=body)
        answer = await self._client.send(sent)
        # What the emulator says of a function that crashed, API Gateway keeps to itself.
        crashed = answer.status_code == 502 and answer.content.startswith(b'{"message"')
        if crashed or _size_in_lambda(answer.content, "") > LAMBDA_LIMIT:
            return self._error("DEFAULT_5XX", 502)
        response = Response(answer.content, answer.status_code)
        kept = [(k, v) for k, v in answer.headers.raw if k.lower() not in HOP_BY_HOP]
        response.raw_headers = [*kept, (b"content-length", str(len(answer.content)).encode())]
        return response

    def _error(self, kind: str, status: int) -> Response:
        response = self._responses[kind]
        headers = {
            name: value.strip("'").replace("context.requestId", str(uuid.uuid4()))
            for name, value in response["ResponseParameters"]["Headers"].items()
        }
        body = response["ResponseTemplates"]["application/json"]
        return Response(body, status, headers, media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """Return the body, or None where it is more than the gateway takes; it is read to its end."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= GATEWAY_LIMIT:
            body += chunk
    return bytes(body) if size <= GATEWAY_LIMIT else None


def _size_in_lambda(body: bytes, content_type: str) -> int:
    """Return the bytes of a body in the event's JSON: base64 if binary, else escaped."""
    if content_type.startswith("multipart/form-data"):
        return len(base64.b64encode(body))
    return len(json.dumps(body.decode(errors="replace"), ensure_ascii=False).encode())
