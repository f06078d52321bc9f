"""A worker's process dies, without a word, at the three points that matter for money.

    lease ── the images it was given ── BEFORE ── upstream is called ── DURING ── the images and the
    answer are stored ── AFTER ── close

The emulator's worker processes are killed (SIGKILL) when the ledger, the stand-in or the bucket
shows that the job is there. The lease then lapses after a minute; the other tests run meanwhile.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
import pytest
from openai.types import ImagesResponse

from tests.stack.running import PATIENCE, Running, decoded, descendants, fetched, unique, until

SLICE = 0.002
"""Seconds that a worker runs between two looks, where the point is soon passed."""


class Life:
    """A job of a tenant of its own, and its caller: openai-python, patient on a slow machine."""

    def __init__(self, running: Running, pool: ThreadPoolExecutor) -> None:
        self.prompt = unique("a fox that lives on")
        self.tenant, self._key = running.new_tenant()
        self._running, self._pool = running, pool
        self.answer: Future[ImagesResponse]
        self.left: dict[str, Any]
        """The job as its worker left it."""

    def begin(self) -> None:
        call = self._running.openai(api_key=self._key, max_retries=6).images.generate
        self.answer = self._pool.submit(call, prompt=self.prompt, n=4, size="256x256")

    @property
    def jobs(self) -> list[str]:
        return self._running.jobs(self.prompt, self.tenant)

    @property
    def job(self) -> dict[str, Any]:
        (job,) = until(lambda: self.jobs)
        return self._running.job(job, self.tenant)

    @property
    def charge(self) -> dict[str, Any]:
        (charge,) = self._running.charges(*self.jobs, self.tenant)
        return charge

    def check_books(self) -> None:
        said, true = self._running.books(self.tenant)
        assert said == true


def workers(running: Running) -> list[int]:
    name = running.names["WorkerFunction"]
    ministack: int = running.stack["pids"]["ministack"]
    return [pid for pid, command in descendants(ministack).items() if name in command]


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(running: Running) -> None:
    send(signal.SIGKILL, workers(running))
    until(lambda: not workers(running))


def creep(running: Running, there: Callable[[], bool]) -> None:
    """Let the workers run a slice at a time until they are there, and leave them stopped."""
    pids = workers(running)
    send(signal.SIGSTOP, pids)
    while not there():
        send(signal.SIGCONT, pids)
        time.sleep(SLICE)
        send(signal.SIGSTOP, pids)


def before(running: Running, life: Life) -> None:
    """The worker has the lease; a fresh process has yet to load OpenAI's SDK."""
    until(lambda: life.job["status"] == "running")


def during(running: Running, life: Life) -> None:
    """Upstream has painted and billed, and takes its time to answer."""
    until(lambda: running.paid(life.prompt))


def after(running: Running, life: Life) -> None:
    """The answer is stored; the ledger does not know yet."""
    (job,) = until(lambda: life.jobs)
    folder = f"images/{life.tenant}/{job}/1/"
    until(lambda: running.objects(folder), SLICE)
    creep(running, lambda: f"{folder}answer.json" in running.objects(folder))


POINTS = (after, during, before)
"""The recovery that takes longest comes last: on a slow machine it could be killed again."""


@pytest.fixture(scope="session")
def lives(running: Running) -> Iterator[dict[str, Life]]:
    """Kill the worker at every point, of one job after the other; all callers go on waiting."""
    with ThreadPoolExecutor(len(POINTS)) as pool:
        found = {}
        for reach in POINTS:
            life = found[reach.__name__] = Life(running, pool)
            if reach is during:
                running.standin.rule(containing=life.prompt, delay_seconds=PATIENCE)
            kill(running)
            life.begin()
            reach(running, life)
            kill(running)
            life.left = life.job
            life.check_books()
        yield found


@pytest.mark.parametrize("point", [reach.__name__ for reach in POINTS])
def test_the_worker_died_where_it_should(lives, point):
    left = lives[point].left
    assert left["status"] == "running"
    assert [attempt["state"] for attempt in left["attempts"]] == ["calling"] * (point != "before")


@pytest.mark.last
@pytest.mark.parametrize("point", ["before", "after"])
def test_the_caller_gets_the_pictures_and_pays_once(running, lives, point):
    life = lives[point]
    made = life.answer.result(PATIENCE)
    assert [decoded(fetched(image.url)).size for image in made.data] == [(256, 256)] * 4
    assert len(running.standin.calls(containing=life.prompt)) == running.paid(life.prompt) == 1
    assert not life.charge["estimated"]
    assert made.model_extra["cost_usd"] == float(life.charge["amount"]) / 1_000_000
    life.check_books()


@pytest.mark.last
def test_a_call_whose_outcome_nobody_knows_is_charged_and_not_repeated(running, lives):
    life = lives["during"]
    with pytest.raises(openai.InternalServerError) as caught:
        life.answer.result(PATIENCE)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_outcome_unknown")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(running.standin.calls(containing=life.prompt)) == running.paid(life.prompt) == 1
    assert (life.charge["estimated"], life.charge["amount"]) == (True, life.job["hold"])
    life.check_books()
