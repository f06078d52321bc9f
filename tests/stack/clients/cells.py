"""One client, one case: the picture is fetched, decoded and measured, and paid exactly once."""

from __future__ import annotations

import base64
import time
from itertools import count
from pathlib import Path
from typing import Any

from easel.requests import VARIATION_PROMPT
from tests.stack.clients.clients import Case, Client, Pictures
from tests.stack.running import Running, decoded, fetched, png, unique

_widths = count(200)


def ask(running: Running, client: Client, case: Case, folder: Path) -> None:
    """Make the call, and hold what came of it against the case. Raises AssertionError."""
    width, began = next(_widths), time.time()
    picture = folder / f"{width}.png"
    picture.write_bytes(png(width, 300))
    sent = [] if case.operation == "generate" else [width]
    bare = case.operation == "variation" and not case.delay
    prompt = None if bare else client.prompt or unique("a fox")
    if case.delay:
        running.standin.rule(containing=prompt, delay_seconds=case.delay, times=1)
    asked = {
        "operation": case.operation,
        "prompt": prompt,
        "response_format": case.response_format,
        "output_format": case.kind,
        "size": client.size,
        "picture": str(picture),
    }
    _measure(client, case, client.call(running.base_url, running.key, asked))
    calls = [
        call
        for call in running.standin.calls(containing=prompt or VARIATION_PROMPT)
        if call["started_at"] >= began and [one["width"] for one in call["inputs"]] == sent
    ]
    _count(case, calls)


def _measure(client: Client, case: Case, pictures: Pictures) -> None:
    assert len(pictures) == 1, f"{len(pictures)} pictures"
    shown = {name for name, value in pictures[0].items() if value and name in ("url", "b64_json")}
    expected = {client.shows or case.response_format} - {None} or {"url", "b64_json"}
    assert shown == expected, f"{sorted(shown)} came, {sorted(expected)} were asked for"
    copies = set()
    if url := pictures[0].get("url"):
        copies.add(fetched(url))
    if encoded := pictures[0].get("b64_json"):
        copies.add(base64.b64decode(encoded, validate=True))
    assert len(copies) == 1, "the url's picture is not the base64's"
    image = decoded(copies.pop())
    made = (image.format, "{}x{}".format(*image.size))
    assert made == (case.kind.upper(), client.size), f"a {' of '.join(map(str, made))}"


def _count(case: Case, calls: list[dict[str, Any]]) -> None:
    assert [call["billed"] for call in calls] == [True], f"{len(calls)} calls were made upstream"
    (call,) = calls
    took = call["finished_at"] - call["started_at"]
    assert call["outcome"] == "answered", call["outcome"]
    assert took >= case.delay, f"upstream took {took:.0f} s, not {case.delay}"
