"""Ten images of 1536x1024 in base64, far beyond Lambda's 6 MB: composed in S3, reached by a 303."""

import base64
import json
import os
import subprocess
from pathlib import Path

import httpx2
import pytest

from local.template import ROOT
from tests.stack.running import unique

NODE = ROOT / ".local/node"
ASKED = {"n": 10, "size": "1536x1024", "response_format": "b64_json"}
BYTES = 1_000_000


@pytest.fixture
def prompt(running):
    prompt = unique("a wide fox")
    running.standin.rule(containing=prompt, image_bytes=BYTES)
    return prompt


def sizes(images) -> list[int]:
    return [len(base64.b64decode(each.b64_json)) for each in images]


def test_in_one_answer(running, prompt):
    made = running.client.images.generate(prompt=prompt, **ASKED)
    assert sizes(made.data) == [BYTES] * 10
    assert (made.data[0].width, made.data[0].height) == (1536, 1024)
    assert running.paid(prompt) == 1


def test_in_a_stream(running, prompt):
    events = running.client.images.generate(prompt=prompt, stream=True, **ASKED)
    assert sizes(events) == [BYTES] * 10
    assert running.paid(prompt) == 1


def test_where_it_lies_is_no_secret_of_the_key(running, prompt):
    """It is fetched by its URL alone, from the answers, and the bucket keeps its type."""
    with running.http() as http:
        sent = http.post("/images/generations", json={"prompt": prompt, **ASKED}).history[-1]
        assert (sent.status_code, sent.content) == (303, b"")
    composed = httpx2.get(sent.headers["location"], timeout=60)
    assert composed.headers["content-type"] == "application/json"
    assert len(composed.json()["data"]) == 10


@pytest.mark.skipif(not (NODE / "ready").exists(), reason="`make .local/node/ready` installs it")
def test_by_openai_node(running, prompt):
    environ = {"OPENAI_BASE_URL": running.base_url, "OPENAI_API_KEY": running.key}
    ran = subprocess.run(
        ["node", Path(__file__).with_name("large.mjs"), prompt],
        cwd=NODE,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(ran.stdout) == [[BYTES] * 10] * 2
    assert running.paid(prompt) == 2
