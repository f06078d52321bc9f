"""``python -m tests.stack.soak``: 500 files in the inbox, good and bad, and each accounted for.

It starts a stack of its own, or uses the one whose ``stack.json`` EASEL_STACK names. The exit code
is 1 unless every question has the answer it should have, no picture that a manifest has used has
one of its own, and upstream has billed exactly the good ones.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.header import Header
from itertools import count, cycle
from pathlib import Path
from typing import Any

from easel.questions import LONGEST_KEY, Question
from tests.stack.conftest import PARAMETERS, described, start, stop
from tests.stack.running import Running, png, unique

FILES = 500
AT_ONCE = 4
STALLED_SECONDS = 150
"""After so long without another answer, beyond what the inbox waits, none will come."""
WAITS = "InboxWaitSeconds=90"
CAT, MASK = png(320, 240), png(320, 240, (0, 0, 0, 0))
Files = list[tuple[str, bytes, dict[str, str]]]
"""Key, content and metadata of each, in the order they are put."""


@dataclass
class Case:
    """Files whose question, the last named, should have one answer."""

    kind: str
    question: str
    """Its key."""
    files: Files
    error: str | None = None
    """The code it should end in; None: it should have pictures."""
    billed: int = 1
    prompt: str | None = None
    """Of its newest version."""
    version: str | None = field(default=None, init=False)
    """What S3 calls that version."""
    found: dict[str, Any] | None = field(default=None, init=False)
    """The document of the answer."""

    @property
    def place(self) -> str:
        """Where the answer belongs."""
        return Question(self.question, "", None, "", 0).reply_to

    @property
    def answered(self) -> bool:
        """Whether the newest version has an answer."""
        return self.found is not None and self.found["version"] == self.version

    def wrong(self, objects: set[str]) -> bool:
        """Tell whether the answer is another than it should be, by what lies in the outbox."""
        if self.found is None:
            return True
        code = self.found["error"] and self.found["error"]["code"]
        if self.error or code:
            return bool(code != self.error)
        used = {key for key, *_ in self.files} - {self.question}
        told = {f"out{key.removeprefix('in')}.json" for key in used}
        made = set(self.found["images"])
        prompted = self.prompt in (None, self.found["prompt"])
        return bool(told & objects) or not made or not made <= objects or not prompted


# ---- Kinds of files: each makes a case of a folder of its own and a prompt of its own ----


def pictured(name: str, data: bytes = CAT, error: str | None = None) -> Callable[..., Case]:
    """Make a picture with a prompt in its metadata."""

    def make(kind: str, folder: str, prompt: str) -> Case:
        key = f"{folder}/{name}"
        words = {"prompt": Header(f"{prompt} 雪", "utf-8", maxlinelen=10_000).encode()}
        return Case(kind, key, [(key, data, words)], error, not error, None)

    return make


def manifested(
    *pictures: tuple[str, bytes],
    error: str | None = None,
    later: bool = False,
    body: bytes | None = None,
    **fields: Any,
) -> Callable[..., Case]:
    """Make a manifest, after its pictures or ``later`` before them."""

    def make(kind: str, folder: str, prompt: str) -> Case:
        key = f"{folder}/ask me.json"
        data = json.dumps({"prompt": prompt, **fields}).encode() if body is None else body
        files: Files = [(f"{folder}/{name}", picture, {}) for name, picture in pictures]
        files.insert(0 if later else len(files), (key, data, {}))
        return Case(kind, key, files, error, not error, prompt)

    return make


def overwritten(kind: str, folder: str, prompt: str) -> Case:
    """Make a picture that is put twice, with another prompt."""
    key = f"{folder}/cat.png"
    files: Files = [(key, CAT, {"prompt": f"{prompt} {word}"}) for word in ("old", "new")]
    return Case(kind, key, files, None, 2, f"{prompt} new")


def longest(kind: str, folder: str, prompt: str) -> Case:
    """Make a picture whose key has as many bytes as S3 takes."""
    key = f"{folder}/"
    key += "é" * ((LONGEST_KEY - len(key) - 1) // 2)
    key += "x" * (LONGEST_KEY - len(key.encode()))
    return Case(kind, key, [(key, CAT, {"prompt": prompt})], prompt=prompt)


def alone(kind: str, folder: str, prompt: str) -> Case:
    """Make a picture that neither has a prompt nor is named by a manifest."""
    key = f"{folder}/cat.png"
    return Case(kind, key, [(key, CAT, {})], "inbox_incomplete", 0)


def elsewhere(place: str) -> Callable[..., Case]:
    """Make a picture that is under no tenant's prefix."""

    def make(kind: str, folder: str, prompt: str) -> Case:
        key = f"inbox/{place.format(folder.replace('/', '-'))}"
        return Case(kind, key, [(key, CAT, {"prompt": prompt})], "not_found", 0)

    return make


def refused(kind: str, folder: str, prompt: str) -> Case:
    """Make a picture whose prompt upstream blocks."""
    key = f"{folder}/cat.png"
    words = {"prompt": f"blocked {prompt}"}
    return Case(kind, key, [(key, CAT, words)], "moderation_blocked", 0)


ONE, TWO = ("a cat.png", CAT), ("b/ü+%2F.png", CAT)
NAMES = [ONE[0], TWO[0]]
INVALID, IMAGE = "invalid_value", "invalid_image_file"
KINDS: dict[str, Callable[..., Case]] = {
    "picture with a prompt": pictured("cat.png"),
    "odd name": pictured("Bücher/1+1=2 & more%2F 猫.png"),
    "key of 1,024 bytes": longest,
    "put twice": overwritten,
    "manifest after its pictures": manifested(ONE, TWO, images=NAMES),
    "manifest before its pictures": manifested(ONE, TWO, images=NAMES, later=True),
    "with a mask": manifested(ONE, ("m.png", MASK), images=NAMES[:1], mask="m.png", later=True),
    "variation": manifested(ONE, images=NAMES[:1], operation="variation"),
    "no picture": pictured("cat.png", b"this is no picture", IMAGE),
    "empty picture": pictured("cat.png", b"", IMAGE),
    "picture cut off": pictured("cat.png", CAT[:-60], IMAGE),
    "blocked by upstream": refused,
    "manifest is no JSON": manifested(body=b'{"prompt": ', error=INVALID),
    "manifest of 2 MB": manifested(body=b" " * (2 << 20), error="request_too_large"),
    "names ../": manifested(images=["../cat.png"], error=INVALID),
    "names an absolute key": manifested(images=["/inbox/demo/cat.png"], error=INVALID),
    "names another tenant's": manifested(images=["inbox/other/cat.png"], error=INVALID),
    "names 17 pictures": manifested(images=[f"{n}.png" for n in range(17)], error=INVALID),
    "names what is no picture": manifested(("x.png", b"x"), images=["x.png"], error=IMAGE),
    "unknown tenant": elsewhere("nobody-{}/cat.png"),
    "no tenant": elsewhere("{}.png"),
}
WAITING: dict[str, Callable[..., Case]] = {
    "names what never comes": manifested(ONE, images=["never.png"], error="inbox_incomplete"),
    "picture of no manifest": alone,
}


def cases(run: str, files: int, kinds: dict[str, Callable[..., Case]]) -> list[Case]:
    """Return cases of all kinds in turn, of so many files together, in no order."""
    made: list[Case] = []
    for number, (kind, make) in zip(count(), cycle(kinds.items()), strict=False):
        if sum(len(one.files) for one in made) >= files:
            break
        made.append(make(kind, f"inbox/demo/{run}/{number}", f"{run} {number}."))
    random.Random(run).shuffle(made)
    return made


def soak(running: Running, run: str, made: list[Case]) -> tuple[int, set[str]]:
    """Put the files and wait for the answers; return what was billed, and what is in the outbox."""
    running.standin.rule(containing=f"blocked {run}", status=400, code="moderation_blocked")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(_put, running, one) for one in made]:
            done.result()
    waits = max(900 if one.error == "inbox_incomplete" else 0 for one in made)
    left, seen = -1, time.monotonic()
    while waiting := [one for one in made if not one.answered]:
        if len(waiting) != left:
            left, seen = len(waiting), time.monotonic()
        elif time.monotonic() - seen > STALLED_SECONDS + waits:
            break
        time.sleep(1)
        _look(running, waiting)
    time.sleep(2)  # in which an older version's answer could still come
    _look(running, made)
    return sum(call["billed"] for call in running.standin.calls(containing=run)), _outbox(running)


def _put(running: Running, one: Case) -> None:
    for key, data, metadata in one.files:
        put = running.aws("s3").put_object(
            Bucket=running.bucket, Key=key, Body=data, Metadata=metadata
        )
        if key == one.question:
            one.version = put["VersionId"]


def _look(running: Running, made: list[Case]) -> None:
    there = _outbox(running)
    for one in made:
        if f"{one.place}.json" in there:
            one.found = json.loads(running.object(f"{one.place}.json"))


def _outbox(running: Running) -> set[str]:
    pages = running.aws("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=running.bucket, Prefix="outbox/")
    return {one["Key"] for page in found for one in page.get("Contents", ())}


def table(made: list[Case], objects: set[str]) -> Iterator[str]:
    """Yield the lines of what was put and what came, by kind."""
    heads = ("files", "questions", "pictures", "error", "unanswered", "wrong")
    yield f"{'':<30}" + "".join(f"{head:>12}" for head in heads)
    rows = [(kind, [one for one in made if one.kind == kind]) for kind in {**KINDS, **WAITING}]
    for kind, ones in [*rows, ("all", made)]:
        answered = [one for one in ones if one.answered]
        failed = sum(bool(one.found and one.found["error"]) for one in answered)
        wrong = sum(one.wrong(objects) for one in answered)
        files = sum(len(one.files) for one in ones)
        row = (files, len(ones), len(answered) - failed, failed, len(ones) - len(answered), wrong)
        if ones:
            yield f"{kind:<30}" + "".join(f"{number:>12}" for number in row)


def main() -> int:
    """Put the files, print the table; return the exit code."""
    run = unique("soak").replace(" ", "-")
    made = cases(run, FILES, {**KINDS, **WAITING})
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _running(Path(folder)) as running:
        billed, objects = soak(running, run, made)
    due = sum(one.billed for one in made)
    bad = [one for one in made if not one.answered or one.wrong(objects)]
    lines = [
        *table(made, objects),
        f"billed {billed}, should be {due}; {time.monotonic() - began:.0f} s",
        *(f"{one.kind}: {one.question}: {one.found}" for one in bad),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if bad or billed != due else 0


@contextmanager
def _running(state: Path) -> Iterator[Running]:
    if running := os.environ.get("EASEL_STACK"):
        yield Running(json.loads(Path(running).read_text()))
        return
    process = start(state, *PARAMETERS, WAITS)
    try:
        yield Running(described(state, process))
    finally:
        stop(process)


if __name__ == "__main__":
    sys.exit(main())
