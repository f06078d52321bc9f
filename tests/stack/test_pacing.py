"""Upstream's pace on the running stack: many workers, one rate, and no tenant passed over."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from pathlib import Path
from typing import Any

import pytest

from tests.stack.conftest import described, start, stop
from tests.stack.running import Running, unique, until

MODEL = "gpt-image-2.5-sunburst"
"""No other test's, so that they need not wait for it."""
say = getLogger("pacing").info


@pytest.fixture
def paced(tmp_path: Path) -> Iterator[Running]:
    """A stack that keeps to 60 images a minute, before an upstream that takes 36 in 36 seconds."""
    parameters = ("UpstreamImagesPerMinute=60", "WaitSeconds=3", "WorkerConcurrency=6")
    process = start(tmp_path, *parameters)
    try:
        stack = Running(described(tmp_path, process))
        stack.standin.rate(36, seconds_per_minute=36)
        yield stack
    finally:
        stop(process)


def test_three_tenants_and_a_late_call_share_upstreams_rate(paced: Running) -> None:
    prompt = unique("paced")
    counts = {"one": 18, "two": 13, "three": 9}
    keys = {name: paced.new_tenant() for name in (*counts, "late")}

    later = {"Prefer": "respond-async"}
    clients = {name: paced.openai(api_key=key, max_retries=5) for name, (_, key) in keys.items()}

    def ask(name: str, **headers: str) -> Any:
        return clients[name].images.generate(
            prompt=f"{prompt} {name}", model=MODEL, quality="low", extra_headers=headers
        )

    def calls() -> list[dict[str, Any]]:
        return paced.standin.calls(containing=prompt)

    began = time.time()
    asked = [name for name, count in counts.items() for _ in range(count)]
    with ThreadPoolExecutor(3) as callers:
        jobs = [job.id for job in callers.map(lambda name: ask(name, **later), asked)]
    until(lambda: len(calls()) >= 12)
    before = len(calls())
    assert ask("late").data
    until(lambda: sum(call["billed"] for call in calls()) == 41)
    until(lambda: not [job for job in open_jobs(paced, keys) if job in jobs])

    served = [call["prompt"].rpartition(" ")[2] for call in calls() if call["billed"]]
    refused = [call for call in calls() if call["status"] == 429]
    passed = served.index("late") - before
    say("%s calls in %.0f s, %s refused", len(calls()), time.time() - began, len(refused))
    say("order: %s; late passed over by %s", " ".join(served), passed)
    assert len(refused) <= 0.05 * 41
    assert {name: served.count(name) for name in counts} == counts
    assert passed <= 6, "about a turn of each tenant that waits"
    first = served[: served.index("three") + 20]
    assert first.count("three") >= 4, "the last to come is not the last to be served"
    for name, _ in keys.values():
        said, added = paced.books(name)
        assert said == added


def open_jobs(running: Running, keys: dict[str, tuple[str, str]]) -> list[str]:
    """Return the ids of the tenants' jobs that are not done."""
    return [
        row["sk"].removeprefix("job#")
        for name, _ in keys.values()
        for row in running.rows("JobsTable", "job#", name)
        if row["status"] in ("queued", "running")
    ]


def test_a_refusal_stops_all_until_upstream_is_to_be_asked_again(running: Running) -> None:
    prompt = unique("refused")
    limit = {"status": 429, "code": "slow_down", "headers": {"retry-after": "6"}, "times": 1}
    running.standin.rule(containing=prompt, **limit)
    name, key = running.new_tenant()
    client = running.openai(api_key=key, max_retries=0)

    def ask(number: int) -> Any:
        return client.images.generate(prompt=f"{prompt} {number}", model=MODEL, quality="low")

    with ThreadPoolExecutor(4) as callers:
        refused = callers.submit(ask, 0)
        until(lambda: running.standin.calls(containing=prompt))
        until(lambda: running.rows("JobsTable", "pace#", "*"))
        others = list(callers.map(ask, range(1, 4)))
    calls = running.standin.calls(containing=prompt)
    assert refused.result().data
    assert all(other.data for other in others)
    assert [call["status"] for call in calls] == [429, 200, 200, 200, 200]
    assert calls[1]["started_at"] >= calls[0]["started_at"] + 6, "as long as it asked"
    assert len(running.jobs(prompt, name)) == 4
