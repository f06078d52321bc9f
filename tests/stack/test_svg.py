"""SVG, which may hold scripts: whoever opens what Easel serves is given a file to keep."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2

from tests.stack.browser import scripted
from tests.stack.running import Running, png, unique, until

ASKED = {"model": "gpt-image-2.6-flare", "output_format": "svg", "size": "1024x1024"}


def painted(running: Running, words: str, comment: int = 0) -> tuple[str, bytes]:
    """Return a prompt, and the SVG with a script in it that it will be answered with."""
    prompt, picture = unique(words), scripted("https://example.com/") + f"<!--{'x' * comment}-->"
    running.standin.rule(containing=prompt, picture=picture)
    return prompt, picture.encode()


def is_a_file(answer: httpx2.Response, picture: bytes) -> None:
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.content == picture


def test_behind_every_url_of_it_is_a_file_to_keep(running: Running) -> None:
    prompt, picture = painted(running, "a drawn fox")
    with running.http() as http:
        made = http.post("/images/generations", json={"prompt": prompt, **ASKED}).json()
        shown = http.get(f"/jobs/{made['id']}").json()
    for one in made, shown:
        is_a_file(httpx2.get(one["data"][0]["url"]), picture)
    assert running.paid(prompt) == 1


def test_one_that_was_resized_is_no_other(running: Running) -> None:
    prompt, _ = painted(running, "a small drawn fox")
    with running.http() as http:
        asked = {"prompt": prompt, **ASKED, "size": "256x256"}
        (made,) = http.post("/images/generations", json=asked).json()["data"]
    answer = httpx2.get(made["url"])
    assert (made["width"], made["height"]) == (256, 256)
    is_a_file(answer, answer.content)


def test_an_answer_too_large_for_lambda_is_json_and_its_url_a_file(running: Running) -> None:
    prompt, picture = painted(running, "a fox of many strokes", comment=5_000_000)
    with running.http() as http:
        composed = http.post("/images/generations", json={"prompt": prompt, **ASKED})
    assert composed.url.path.startswith(f"/{running.bucket}/answers/")
    assert composed.headers["content-type"] == "application/json"
    (made,) = composed.json()["data"]
    assert base64.b64decode(made["b64_json"]) == picture
    is_a_file(httpx2.get(made["url"]), picture)


def test_in_the_outbox_it_is_a_file_too(running: Running) -> None:
    prompt, picture = painted(running, "a drawn hat")
    name, _ = running.new_tenant()
    asked: dict[str, Any] = {"prompt": prompt, "images": ["cat.png"], **ASKED}
    bucket = {"Bucket": running.bucket}
    for key, body in ("cat.png", png(64, 64)), ("hat.json", json.dumps(asked).encode()):
        running.aws("s3").put_object(**bucket, Key=f"inbox/{name}/{key}", Body=body)
    reply = f"outbox/{name}/hat.json.svg"
    until(lambda: f"{reply.removesuffix('svg')}json" in running.objects(f"outbox/{name}/"))
    place = {**bucket, "Key": reply}
    url = running.aws("s3").generate_presigned_url("get_object", Params=place)
    is_a_file(httpx2.get(url), picture)
