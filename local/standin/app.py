"""The routes: OpenAI's under ``/v1``, the stand-in's own under ``/_standin``."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.standin.calls import IMAGES, Book, Call, Rate, Rule
from local.standin.checks import check
from local.standin.forms import read
from local.standin.paint import paint
from local.standin.refusals import Refusal
from local.standin.replies import (
    Severed,
    answer,
    left,
    models,
    moderation,
    moderation_inputs,
)

KEY = "sk-standin"
MODERATION_MODEL = "omni-moderation-latest"

Work = Callable[[Request, Call], Awaitable[Response]]


class StandinApp(Starlette):
    """The application, with its book. ``today`` decides which models are shut down."""

    def __init__(self, today: date) -> None:
        self.book = Book()
        self.today = today
        post = ["POST"]
        routes = [
            Route("/v1/models", self.list_models),
            Route("/v1/moderations", self.recorded(self.moderate), methods=post),
            Route("/v1/images/variations", self.recorded(self.vary), methods=post),
            Route("/v1/images/generations", self.recorded(self.make_images), methods=post),
            Route("/v1/images/edits", self.recorded(self.make_images), methods=post),
            Route("/_standin/calls", self.list_calls),
            Route("/_standin/rules", self.add_rule, methods=post),
            Route("/_standin/rules", self.clear_rules, methods=["DELETE"]),
            Route("/_standin/reset", self.reset, methods=post),
            Route("/_standin/rate", self.set_rate, methods=["PUT"]),
        ]
        super().__init__(
            routes=routes,
            middleware=[Middleware(RequestId)],
            exception_handlers={Refusal: refused, HTTPException: unrouted},
        )

    def recorded(self, work: Work) -> Callable[[Request], Awaitable[Response]]:
        """Enter the call in the book, whatever comes of it."""

        async def endpoint(request: Request) -> Response:
            call = self.book.open(request.url.path.removeprefix("/v1/"))
            try:
                return await work(request, call)
            except Refusal as refusal:
                call.end("refused", refusal.status)
                raise
            except (ClientDisconnect, asyncio.CancelledError):
                call.end("dropped")  # the caller left, or the stand-in is being stopped
                return Response()

        return endpoint

    async def make_images(self, request: Request, call: Call) -> Response:
        """Generate or edit: check, obey the rate and the rules, paint, bill, answer."""
        operation = call.path.removeprefix(IMAGES)
        form = await asyncio.to_thread(
            read, request.headers.get("content-type", ""), await request.body()
        )
        call.note(form)
        authorize(request)
        checked = await asyncio.to_thread(check, operation, form, self.today)
        call.model, count = checked.asked.model, checked.asked.n
        if self.book.rate:
            self.book.rate.take(call.model, count)
        rule = self.book.match(call)
        if obstructive(rule):
            return await obstruct(rule, call)
        pictures = await asyncio.gather(
            *(asyncio.to_thread(paint, checked, index, rule.image_bytes) for index in range(count))
        )
        if rule.picture:
            pictures = [rule.picture.encode()] * count
        call.bill(checked)
        response = await asyncio.to_thread(answer, checked, pictures, int(time.time()))
        return await deliver(rule, call, request, response)

    async def vary(self, request: Request, _: Call) -> Response:
        """Refuse: OpenAI retired the endpoint."""
        await request.body()
        authorize(request)
        message = "The variations endpoint no longer accepts requests. Use an edit with a prompt."
        raise Refusal(message, code=None, status=404)

    async def moderate(self, request: Request, call: Call) -> Response:
        """Judge texts and pictures."""
        form = read(request.headers.get("content-type", ""), await request.body())
        call.note(form)
        authorize(request)
        if form.parameters.get("model", MODERATION_MODEL) != MODERATION_MODEL:
            raise Refusal("The model does not exist.", code="model_not_found", status=404)
        inputs = await asyncio.to_thread(moderation_inputs, form.parameters)
        call.prompt, call.parameters = "\n".join(one.text for one in inputs), {}
        rule = self.book.match(call)
        if obstructive(rule):
            return await obstruct(rule, call)
        return await deliver(rule, call, request, JSONResponse(moderation(inputs, rule.flags)))

    async def list_models(self, request: Request) -> Response:
        """Answer OpenAI's list of models."""
        authorize(request)
        return JSONResponse(models(self.today))

    async def list_calls(self, request: Request) -> Response:
        """Answer the calls whose prompt contains a text; images only, unless ``path`` says else."""
        query = request.query_params
        found = self.book.found(query.get("containing", ""), query.get("path", IMAGES))
        return JSONResponse(found)

    async def add_rule(self, request: Request) -> Response:
        """Add a rule behind the others."""
        with typos_refused():
            self.book.rules.append(Rule(**await request.json()))
        return Response(status_code=204)

    async def clear_rules(self, _: Request) -> Response:
        """Forget the rules."""
        self.book.rules.clear()
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        """Forget calls and rules."""
        self.book.reset()
        return Response(status_code=204)

    async def set_rate(self, request: Request) -> Response:
        """Set the rate limit; null removes it."""
        wanted = await request.json()
        with typos_refused():
            self.book.rate = Rate(**wanted) if wanted else None
        return Response(status_code=204)


class RequestId:
    """Puts ``x-request-id`` on every reply."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass through, adding the header."""

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = f"req_{uuid.uuid4().hex}"
            await send(message)

        await self.app(scope, receive, identified)


def authorize(request: Request) -> None:
    """Raise Refusal 401 unless the bearer is the one key there is."""
    sent = request.headers.get("authorization", "")
    if sent == f"Bearer {KEY}":
        return
    message = f"Incorrect API key provided: {sent.removeprefix('Bearer ')[:7]}***."
    raise Refusal(message, code="invalid_api_key", status=401)


def obstructive(rule: Rule) -> bool:
    """Tell whether the rule keeps the call from being worked at all."""
    return rule.drop == "before" or rule.status is not None


async def obstruct(rule: Rule, call: Call) -> Response:
    """Refuse or cut the line before any work."""
    await asyncio.sleep(rule.delay_seconds)
    if rule.drop != "before":
        raise rule.refusal()
    call.end("dropped")
    return Severed()


async def deliver(rule: Rule, call: Call, request: Request, response: Response) -> Response:
    """Hand the answer over, late or not at all if the rule says so."""
    await asyncio.sleep(rule.delay_seconds)
    if rule.hang:
        call.outcome = "hung"
        await left(request.receive)
        call.end("hung")
        return Response()
    if rule.drop:
        call.end("dropped")
        return Severed(response if rule.drop == "after" else None)
    if await request.is_disconnected():
        call.end("dropped")
    else:
        call.end("answered", response.status_code)
    return response


@contextmanager
def typos_refused() -> Iterator[None]:
    """Answer 400 for a field that does not exist, so that no test waits for a rule in vain."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise Refusal(str(error), code="invalid_value") from error


async def refused(_: Request, error: Exception) -> Response:
    """Answer a refusal in OpenAI's shape."""
    assert isinstance(error, Refusal)
    return JSONResponse(error.body(), error.status, error.headers)


async def unrouted(request: Request, error: Exception) -> Response:
    """Answer an unknown route in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    message = f"Invalid URL ({request.method} {request.url.path})"
    return JSONResponse(Refusal(message, code=None).body(), error.status_code)
