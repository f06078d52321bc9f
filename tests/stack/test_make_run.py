"""``make run`` as a newcomer does it: what it prints works, and a signal leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local.servers import free_port
from local.template import ROOT
from tests.stack.running import PATIENCE, decoded, descendants, fetched, processes, until

STACK = ROOT / ".local/stack.json"


@pytest.fixture
def made(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """``make run``, ready; its output lies in ``out`` of the folder."""
    if STACK.exists():
        pytest.skip("`make run` is running here already, and this one would write over its files")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            ["make", "run", f"PORT={free_port()}"],
            cwd=ROOT,
            env=environ,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        until(lambda: "Ctrl-C" in (tmp_path / "out").read_text() or process.poll() is not None)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def run(*command: str) -> str:
    """Run what a person would paste; return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def matched(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found, text
    return found[1]


def test_what_it_prints_makes_pictures_and_a_signal_stops_all_of_it(made, tmp_path):
    said = (tmp_path / "out").read_text()
    base_url = matched(r"^base URL +(\S+)$", said)
    assert matched(r"^key +(\S+)$", said) == "easel-local"

    answer: dict[str, Any] = json.loads(run("bash", "-c", matched(r"^(curl .*?'\{.*?\}')$", said)))
    assert decoded(fetched(answer["data"][0]["url"])).size == (1024, 1024)
    url = run(sys.executable, "-c", matched(r"^(from openai .*?print\(.*?\))$", said))
    assert decoded(fetched(url.strip())).size == (1024, 1024)
    assert base_url in said.split("curl")[1]

    page = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "GET"}
    for url in (f"{base_url}/models", answer["data"][0]["url"]):
        for method in ("GET", "OPTIONS"):
            told = httpx2.request(method, url, headers=page, timeout=60).headers
            assert not {name for name in told if name.startswith("access-control-")}

    started = descendants(made.pid)
    assert any("ministack" in command for command in started.values())
    assert any("standin" in command for command in started.values())
    made.send_signal(signal.SIGTERM)
    made.wait(PATIENCE)
    until(lambda: not started.keys() & processes().keys())
    assert not STACK.exists()
