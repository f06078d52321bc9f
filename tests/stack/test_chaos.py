"""Nothing is lost, nothing is bought twice: each kind of fault once, and many callers at once.

The faulted jobs run on a stack of their own, whose functions reach AWS and upstream through the
fault proxy, while the other tests run. ``make chaos`` is the long form.
"""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import openai
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from local.front import Front
from local.servers import bind
from local.standin.server import SeverableProtocol
from local.template import gateway_responses, load
from tests.stack.chaos.books import Verdict, dead_letters, judge, table
from tests.stack.chaos.cases import ALL, Case
from tests.stack.chaos.chaos import chaos
from tests.stack.running import PATIENCE, Running, decoded, fetched, unique, until

SHORT = (
    "worker killed after lease",
    "worker killed after begin",
    "worker killed after call",
    "worker killed after put answer",
    "worker killed before close",
    "worker killed after close",
    "worker killed before reply (inbox)",
    "door killed after open",
    "door killed before look",
    "sweep killed before send",
    "upstream drops the line before",
    "upstream drops the line during",
    "upstream drops the line after",
    "upstream answers 429 once",
    "upstream answers 500 always",
    "upstream answers 503 once",
    "message doubled",
    "messages reordered",
    "S3 event doubled",
    "S3 event delayed",
    "door open: conflict",
    "door open: line cut after",
    "door send: 500 for 12 s",
    "worker begin: line cut after",
    "worker begin: throttle",
    "worker put image: 500",
    "worker close: conflict for 12 s",
    "worker close: line cut after",
    "worker close: line cut after for 12 s",
)
"""An upstream that hangs is not here: its time-out is a quarter of an hour."""
CAP = 10
"""Concurrent executions of a new AWS account."""


Made = list[openai.types.ImagesResponse]


def case(fault: str) -> Case:
    return next(one for one in ALL if one.fault == fault)


class Faulted(NamedTuple):
    """A stack on which the faulted jobs have run, and what is to be said of each."""

    running: Running
    verdicts: dict[str, Verdict]


@pytest.fixture(scope="session")
def chaotic() -> Iterator[Future[Faulted]]:
    """Begin the faulted jobs, on a stack of their own, which stays until the session ends."""

    def run() -> Faulted:
        started = kept.enter_context(chaos(seed=1, doors=3, workers=CAP))
        trials = started.run([case(fault) for fault in SHORT], lambda _: None)
        found = judge(started.running, trials)
        return Faulted(started.running, {one.trial.case.fault: one for one in found})

    with ExitStack() as kept, ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


class Trouble:
    """An ASGI application before the front, whose first answers never come: ``kind`` says how.

    The door has done all it does by then.
    """

    def __init__(self, front: ASGIApp, kind: int | str, times: int) -> None:
        self.front, self.kind, self.left = front, kind, times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("generations") or not self.left:
            await self.front(scope, receive, send)
            return
        self.left -= 1

        async def unheard(_: object) -> None:
            """Keep the answer to ourselves."""

        await self.front(scope, receive, unheard)
        if self.kind == "dropped line":
            scope["state"]["transport"].abort()
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self.kind, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})


class Capped:
    """An ASGI application that has so many invocations at once, and refuses others as AWS does."""

    def __init__(self, front: ASGIApp, most: int) -> None:
        self.front, self.free, self.refused = front, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.free:
            self.refused += 1
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        self.free -= 1
        try:
            await self.front(scope, receive, send)
        finally:
            self.free += 1


@contextmanager
def served(application: ASGIApp) -> Iterator[str]:
    """Serve in a thread; yield the base URL."""
    options = {"lifespan": "off", "log_level": "critical", "timeout_graceful_shutdown": 1}
    with bind(0) as listener:
        config = uvicorn.Config(application, http=SeverableProtocol, **options)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(10)


def front(running: Running) -> Front:
    return Front(running.stack["api_url"], gateway_responses(load()), 29, "")


@pytest.mark.parametrize("kind", [503, 504, "dropped line"])
def test_the_sdks_own_retries_meet_the_job(running, chaotic, kind):
    prompt = unique("a fox")
    with served(Trouble(front(running), kind, times=2)) as base_url:
        made = running.openai(base_url=base_url).images.generate(prompt=prompt)
    assert decoded(fetched(made.data[0].url)).format == "PNG"
    assert running.jobs(prompt) == [made.model_extra["id"]]
    assert running.paid(prompt) == len(running.standin.calls(containing=prompt)) == 1


async def called(running: Running, base_url: str, key: str, calls: list[dict[str, Any]]) -> Made:
    """Call with openai-python, which asks again until it is let in; return all answers."""
    options = {"base_url": base_url, "api_key": key, "max_retries": 60, "timeout": PATIENCE}
    async with running.openai_async(**options) as client:

        async def call(after: float, **asked: Any) -> openai.types.ImagesResponse:
            await asyncio.sleep(after)
            return await client.images.generate(size="1024x640", **asked)

        return await asyncio.gather(*[call(**one) for one in calls])


@pytest.mark.last
@pytest.mark.parametrize("fault", SHORT)
def test_a_fault_loses_nothing_and_buys_nothing_twice(chaotic, fault):
    verdict = chaotic.result().verdicts[fault]
    assert verdict.faults == [], f"{verdict}\n{table([verdict])}"


@pytest.mark.last
def test_thirty_callers_finish_where_ten_may_run(chaotic):
    """They come one after the other: processes that start all at once starve a small machine."""
    running, prompt = chaotic.result().running, unique("a fox of thirty")
    tenant, key = running.new_tenant()
    running.standin.rule(containing=prompt, delay_seconds=4)
    calls = [{"after": count / 4, "prompt": f"{prompt} {count}"} for count in range(30)]
    with served(capped := Capped(front(running), CAP)) as base_url:
        made = asyncio.run(called(running, base_url, key, calls))
    assert capped.refused > 0
    assert len({answer.model_extra["id"] for answer in made}) == 30
    assert running.paid(prompt) == len(running.jobs(prompt, tenant)) == 30
    said, true = running.books(tenant)
    assert said == true
    assert dead_letters(running) == []


@pytest.mark.last
def test_one_key_at_once_is_one_paid_call_and_equal_answers(chaotic):
    running = chaotic.result().running
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    call = {"after": 0, "prompt": unique("a fox"), "extra_headers": headers}
    with served(Capped(front(running), CAP)) as base_url:
        made = asyncio.run(called(running, base_url, running.key, [call] * 20))
    assert len({answer.data[0].b64_json for answer in made}) == 1
    assert len({(answer.model_extra["id"], answer.model_extra["cost_usd"]) for answer in made}) == 1
    assert len(running.standin.calls(containing=call["prompt"])) == 1
    assert running.paid(call["prompt"]) == 1
