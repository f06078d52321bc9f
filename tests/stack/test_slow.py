"""Slow is normal: pictures that take five times as long as a door waits, for unmodified programs.

The module needs a stack with WaitSeconds=3. All callers call at once, each with a prompt of its
own, for which the stand-in takes fifteen seconds.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.template import ROOT
from tests.stack.running import PATIENCE, Running, decoded, fetched, png, unique, until

NODE = ROOT / ".local/node"
SLOW = 15
Made = dict[str, tuple[str, str]]
"""Job ids and picture URLs, by prompt."""


def python(running: Running, prompt: str) -> Made:
    made = running.openai().images.generate(prompt=prompt)
    return {prompt: (made.model_extra["id"], made.data[0].url)}


def python_edit(running: Running, prompt: str) -> Made:
    made = running.openai().images.edit(prompt=prompt, image=[png(), png(640, 480)])
    return {prompt: (made.model_extra["id"], made.data[0].url)}


def python_in_a_hurry(running: Running, prompt: str) -> Made:
    """Nine waits of a second are not enough: after the last hop, the SDK's retry goes on."""
    made = running.openai().images.generate(prompt=prompt, extra_headers={"Prefer": "wait=1"})
    return {prompt: (made.model_extra["id"], made.data[0].url)}


def python_async(running: Running, prompt: str) -> Made:
    async def make():
        async with running.openai_async() as client:
            images = client.images
            return await asyncio.gather(
                images.generate(prompt=f"{prompt} generated"),
                images.edit(prompt=f"{prompt} edited", image=png()),
            )

    generated, edited = asyncio.run(make())
    return {
        f"{prompt} generated": (generated.model_extra["id"], generated.data[0].url),
        f"{prompt} edited": (edited.model_extra["id"], edited.data[0].url),
    }


def node(running: Running, prompt: str, folder: Path) -> Made:
    picture = folder / "cat.png"
    picture.write_bytes(png())
    said = run(
        ["node", Path(__file__).with_name("slow.mjs"), prompt, picture],
        cwd=NODE,
        env={**os.environ, "OPENAI_BASE_URL": running.base_url, "OPENAI_API_KEY": running.key},
    )
    generated, edited = json.loads(said)
    return {
        f"{prompt} generated": (generated["id"], generated["url"]),
        f"{prompt} edited": (edited["id"], edited["url"]),
    }


def curl(running: Running, prompt: str) -> Made:
    said = run(
        [
            *("curl", "-sS", "-L", f"{running.base_url}/images/generations"),
            *("-H", f"Authorization: Bearer {running.key}"),
            *("-H", "Content-Type: application/json", "-d", json.dumps({"prompt": prompt})),
        ]
    )
    made = json.loads(said)
    return {prompt: (made["id"], made["data"][0]["url"])}


def asynchronous(running: Running, prompt: str) -> Made:
    """``Prefer: respond-async``, then a look at the job now and then."""
    with running.http() as client:
        body = {"prompt": prompt}
        answer = client.post("/images/generations", json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async"
        job = answer.json()
        assert (job["object"], job["data"]) == ("image.job", [])
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}/result"
        path = f"/jobs/{job['id']}"
        done = until(lambda: (j := client.get(path).json())["status"] == "succeeded" and j, 0.5)
    return {prompt: (done["id"], done["data"][0]["url"])}


def at_upstream_or_done(running: Running, prompt: str, made: Future[Made]) -> Callable[[], bool]:
    return lambda: bool(running.standin.calls(containing=prompt)) or made.done()


def run(command: list[Any], **options: Any) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CALLERS = {
    "openai-python": python,
    "openai-python, async": python_async,
    "openai-python, multipart": python_edit,
    "openai-python, beyond the last hop": python_in_a_hurry,
    "openai-node": node,
    "curl -L": curl,
    "Prefer: respond-async": asynchronous,
}


@pytest.fixture(scope="module")
def called(
    running: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Made]]]:
    """Let everybody call; return what will become of it.

    The next calls when the one before is at upstream: processes that start all at once starve
    each other on a small machine.
    """
    assert running.stack["environment"]["WAIT_SECONDS"] == "3"
    callers = dict(CALLERS)
    if not (NODE / "ready").exists():
        del callers["openai-node"]
    made = {}
    with ThreadPoolExecutor(len(callers)) as pool:
        for name, call in callers.items():
            prompt = unique("a slow fox")
            running.standin.rule(containing=prompt, delay_seconds=SLOW)
            folder = [tmp_path_factory.mktemp("node")] if call is node else []
            made[name] = pool.submit(call, running, prompt, *folder)
            until(at_upstream_or_done(running, prompt, made[name]))
        yield made


@pytest.mark.parametrize("name", CALLERS)
def test_the_picture_comes_and_is_paid_once(running, called, name):
    if name not in called:
        pytest.skip("openai-node is not installed: `make .local/node/ready` does, with npm")
    for prompt, (job, url) in called[name].result(PATIENCE).items():
        assert decoded(fetched(url)).format == "PNG"
        (call,) = running.standin.calls(containing=prompt)
        assert (call["billed"], call["outcome"]) == (True, "answered")
        assert running.jobs(prompt) == [job]


@pytest.mark.parametrize(
    "hurry",
    [{"Prefer": "wait=1"}, {"x-stainless-read-timeout": "4"}],
    ids=["Prefer", "read-timeout"],
)
def test_a_door_waits_no_longer_than_its_caller(running, hurry):
    """Upstream takes two seconds, the door's own wait is three: only the hurry makes a 303."""
    prompt = unique("a fox")
    running.standin.rule(containing=prompt, delay_seconds=2)
    with running.http() as client:
        made = client.post("/images/generations", json={"prompt": prompt}, headers=hurry)
    answer = made.history[0]
    assert answer.status_code == 303
    assert made.json()["id"] == answer.json()["id"]
    assert decoded(fetched(made.json()["data"][0]["url"])).format == "PNG"
    assert running.paid(prompt) == 1
