"""A stage of many workers: each in a thread, one of them at a time, and time passes between.

Who sleeps, or waits for upstream, lets whoever is next go on; the clock jumps to that moment. Easel
is real, on moto; the queue, upstream and the clock are the stage's.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from easel import bootstrap
from easel.doors import queue
from easel.errors import UpstreamBusy, UpstreamFailure
from easel.identity import Identity
from easel.jobs import Job
from easel.rendered import Rendered
from easel.requests import Request
from easel.settings import Settings
from easel.tenants import Tenant
from tests.unit.examples import NOW, picture, rendered, request

_PICTURE = base64.b64encode(picture()).decode()
_USAGE = {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448}
_CALL_SECONDS = 8
_STUCK_SECONDS = 120


class Sent(NamedTuple):
    """A call to upstream: when, for which prompt, and the status it was answered with."""

    at: float
    prompt: str
    status: int


@dataclass
class Limit:
    """Upstream's own limit: so many images in any 60 seconds."""

    images: int

    def __post_init__(self) -> None:
        self._taken: deque[tuple[float, int]] = deque()

    def __call__(self, now: float, asked: Request) -> UpstreamFailure | None:
        """Return the refusal of a call that is too much, with its wait; else count it."""
        while self._taken and self._taken[0][0] <= now - 60:
            self._taken.popleft()
        if sum(count for _, count in self._taken) + asked.count > self.images:
            wait = self._taken[0][0] + 60 - now
            return UpstreamBusy("Slow down.", status=429, retry_after=wait)
        self._taken.append((now, asked.count))
        return None


class Stage:
    """Easel with so many workers at once, before an upstream that may refuse."""

    def __init__(
        self,
        environ: dict[str, str],
        rate: int,
        refuses: Callable[[float, Request], UpstreamFailure | None],
        workers: int = 10,
    ) -> None:
        self.now = float(NOW)
        self.calls: list[Sent] = []
        self.runs = 0
        self._refuses, self._workers, self._busy = refuses, workers, 0
        self._messages: deque[str] = deque()
        self._todo: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._back = threading.Semaphore(0)
        self._error: BaseException | None = None
        paced = {"UPSTREAM_IMAGES_PER_MINUTE": str(rate), "MODERATION_POLICY": "off"}
        settings = Settings.from_env({**environ, **paced})
        easel = bootstrap.build(settings, clock=lambda: self.now, sleep=self.sleep)
        worker = replace(
            easel.lifecycle.worker,
            upstream=lambda: self,  # type: ignore[arg-type,return-value]  # one method of it
            renew_seconds=1e6,
        )
        stage: Any = self
        self.lifecycle = replace(easel.lifecycle, worker=worker, queue=stage)
        self.inline = replace(easel.inline, worker=replace(worker, gives_back=False))

    # What happens on it.

    def open(self, tenant: str, number: int = 0, **changes: Any) -> Job:
        """Open a job whose prompt begins with its tenant's name."""
        asked = request(prompt=f"{tenant} {number}", **changes)
        return self.lifecycle.open(Tenant(name=tenant), asked, {}, Identity(retries=0)).job

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        self._later(seconds, lambda: self._begin(act))

    def play(self, until: Callable[[], bool] = lambda: False, seconds: float = 4000) -> None:
        """Let time pass until there is nothing left to do, or the condition holds."""
        ends = self.now + seconds
        while self._todo and not until():
            at, _, go = heapq.heappop(self._todo)
            assert at < ends, "it does not end"
            self.now = max(self.now, at)
            go()
            if self._error:
                raise self._error

    def ended(self) -> Iterator[tuple[str, float]]:
        """Yield the prompts that upstream has answered, and when they were sent, in order."""
        return ((one.prompt, one.at) for one in self.calls if one.status == 200)

    # What Easel is surrounded by.

    def sleep(self, seconds: float) -> None:
        """Let others go on meanwhile."""
        go = threading.Semaphore(0)
        self._later(seconds, lambda: self._hand(go))
        self._back.release()
        assert go.acquire(timeout=_STUCK_SECONDS)

    def send(self, tenant: str, job_id: str) -> bool:
        """Be the work queue."""
        self._deliver(json.dumps({"tenant": tenant, "job": job_id}))
        return True

    def hide(self, receipt: str, seconds: int) -> bool:
        """Bring the message again; what it says is its receipt."""
        self._later(seconds, lambda: self._deliver(receipt))
        return True

    def render(self, asked: Request, inputs: Any, *, timeout: float) -> Rendered:
        """Be upstream."""
        refusal = self._refuses(self.now, asked)
        self.calls.append(Sent(self.now, asked.prompt, refusal.status if refusal else 200))
        if refusal:
            self.sleep(0.3)
            raise refusal
        self.sleep(_CALL_SECONDS)
        pictures = [_PICTURE] * asked.count
        return rendered(*pictures, created=int(self.now), usage=_USAGE)

    # How it goes on.

    def _later(self, seconds: float, go: Callable[[], None]) -> None:
        heapq.heappush(self._todo, (self.now + seconds, next(self._count), go))

    def _deliver(self, body: str) -> None:
        self._messages.append(body)
        self._later(0.05, self._take)

    def _take(self) -> None:
        """Give the next message to a worker, if one is free."""
        if self._messages and self._busy < self._workers:
            body = self._messages.popleft()
            self._busy += 1
            self._begin(lambda: self._work(body))

    def _work(self, body: str) -> None:
        self.runs += 1
        record = {"messageId": "1", "receiptHandle": body, "body": body, "eventSource": "aws:sqs"}
        queue.work({"Records": [record]}, self.lifecycle, self.now + 890)
        self._busy -= 1
        self._later(0, self._take)

    def _begin(self, act: Callable[[], object]) -> None:
        def run() -> None:
            try:
                act()
            except BaseException as error:
                self._error = error
            self._back.release()

        threading.Thread(target=run, daemon=True).start()
        assert self._back.acquire(timeout=_STUCK_SECONDS)

    def _hand(self, go: threading.Semaphore) -> None:
        go.release()
        assert self._back.acquire(timeout=_STUCK_SECONDS)
