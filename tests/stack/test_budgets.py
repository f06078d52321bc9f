"""A budget for a few pictures, and far more who want one at once: processes, and callers."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import openai
import pytest

from easel.catalogue import Catalogue
from easel.tenants import usd
from local.template import ROOT
from tests.stack.running import png, unique, until

PROCESSES, CALLS, PICTURES = 8, 13, 10
CAT = {"images": [{"image_url": f"data:image/png;base64,{base64.b64encode(png()).decode()}"}]}
OPENING = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from easel import bootstrap
from easel.errors import EaselError
from easel.identity import Identity
from easel.requests import Request
from easel.tenants import Tenant

easel = bootstrap.build()
tenant = Tenant.model_validate_json(sys.argv[1])
asked = Request.model_validate_json(sys.argv[2])

def opened(number):
    request = asked.model_copy(update={"prompt": f"{asked.prompt} {sys.argv[3]} {number}"})
    try:
        easel.lifecycle.open(tenant, request, {}, Identity(retries=0))
    except EaselError as error:
        return error.code
    return "opened"

with ThreadPoolExecutor(4) as pool:
    print(json.dumps(list(pool.map(opened, range(int(sys.argv[4]))))))
"""


def ceiling(prompt: str) -> int:
    model = Catalogue.load().model("gpt-image-2.5-flare")
    asked = {"size": "1024x1024", "quality": "low"}
    return model.ceiling("generate", asked, prompt, 0)


@contextmanager
def never_above(running, tenant, budget):
    """Read what is committed, again and again, while the block runs."""
    seen, done = [0], threading.Event()

    def read() -> None:
        while not done.is_set():
            for row in running.rows("LedgerTable", "month#", tenant):
                seen.append(int(row["committed"]))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        done.set()
        reader.join()
    assert 0 < max(seen) <= budget


def settled(running, tenant) -> None:
    """Wait for all jobs of the tenant to end; the books then say what was charged."""
    until(
        lambda: all(
            job["status"] in ("succeeded", "failed")
            for job in running.rows("JobsTable", "job#", tenant)
        ),
        pause=0.3,
    )
    said, true = running.books(tenant)
    assert said == true
    assert said["committed"] == said["spent"]


def test_a_hundred_opens_from_eight_processes(running):
    name, _ = running.new_tenant()
    prompt = unique("a cheap cat")
    # The longest of their prompts is the dearest: what fits ten of it fits no eleventh of any.
    budget = PICTURES * ceiling(f"{prompt} {PROCESSES} {CALLS}") + ceiling(prompt) // 2
    tenant = {"name": name, "month_budget": budget}
    asked = {
        "operation": "generate",
        "model": "gpt-image-2.5-flare",
        "prompt": prompt,
        "parameters": {"size": "1024x1024", "quality": "low"},
    }
    environ = {
        **os.environ,
        **running.stack["environment"],
        **running.stack["aws"],
        "PYTHONPATH": str(ROOT / "layers/easel"),
    }
    with never_above(running, name, budget):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", OPENING, *map(json.dumps, (tenant, asked)), *more],
                env=environ,
                stdout=subprocess.PIPE,
                text=True,
            )
            for more in ((str(number), str(CALLS)) for number in range(PROCESSES))
        ]
        told = Counter(
            code
            for one in started
            for code in json.loads(one.communicate(timeout=240)[0].splitlines()[-1])
        )
        settled(running, name)
    assert set(told) <= {"opened", "budget_exceeded", "server_error"}, "a busy ledger says so"
    assert PICTURES - 2 <= told["opened"] <= PICTURES
    assert running.paid(prompt) == told["opened"]


def test_ten_callers_over_https(running):
    name, key = running.new_tenant()
    prompt = unique("a dear cat")
    budget = 3 * ceiling(prompt)
    running.budget(name, budget)
    client = running.openai(api_key=key, max_retries=0)

    def make(_: int) -> str:
        try:
            made = client.images.generate(prompt=prompt, size="1024x1024", quality="low")
        except openai.RateLimitError as error:
            return f"{error.code}, retry: {error.response.headers['x-should-retry']}"
        return str(made.model_extra["id"])

    with never_above(running, name, budget), ThreadPoolExecutor(10) as pool:
        told = list(pool.map(make, range(10)))
        settled(running, name)
    bought = set(told) - {"budget_exceeded, retry: false"}
    # What a picture leaves of its hold may pay for one more.
    assert 3 <= len(bought) == running.paid(prompt) < 10
    with pytest.raises(openai.RateLimitError, match=r"It resets at 20\d\d-\d\d-01T00:00Z"):
        client.images.generate(prompt=prompt, size="1024x1024", quality="high")


@pytest.mark.parametrize(
    ("path", "given"), [("generations", {}), ("edits", CAT), ("variations", CAT)]
)
def test_a_refusal_tells_what_is_left(running, path, given):
    """The budget has room for a picture of low quality, and not for one of high quality as well."""
    budget = 54_000
    name, key = running.new_tenant(month_budget=budget)
    prompt = unique("a cat")
    asked = {"prompt": prompt, "size": "1024x1024", **given}
    with running.http(key) as http:
        made = http.post(f"/images/{path}", json={**asked, "quality": "low"})
        assert made.status_code == 200, made.text
        said, true = running.books(name)
        assert said == true
        refused = http.post(f"/images/{path}", json={**asked, "quality": "high"})
    error, spent = refused.json()["error"], said["spent"]
    assert (refused.status_code, error["code"]) == (429, "budget_exceeded")
    assert refused.headers["x-should-retry"] == "false"
    left = f"{usd(spent)} spent, 0 held, {usd(budget - spent)} left."
    assert f"is {usd(budget)} USD: {left}" in error["message"]
    assert running.paid(prompt) == 1
    assert running.books(name)[0] == said
