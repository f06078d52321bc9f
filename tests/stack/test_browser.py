"""A page in a browser: an upload, an edit of it, an answer too large for Lambda, an SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.servers import free_port
from tests.stack import browser
from tests.stack.running import Running, decoded, fetched, unique

COLOUR = (0, 128, 96)
SPOT = (1500, 1000)
EACH_BYTES = 700_000
"""Of a picture: ten of them, in base64, are more than Lambda answers."""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = browser.installed()
    if found is None:
        pytest.skip("neither Chromium nor Chrome is installed, which opens the page")
    return found


@pytest.fixture(scope="module")
def origin(stack: dict[str, Any]) -> str:
    """The origin of this machine that the stack lets in."""
    listed: str = stack["environment"]["ALLOWED_ORIGINS"]
    local = [origin for origin in listed.split(",") if origin.startswith("http://127.0.0.1:")]
    if not local:
        pytest.skip("this stack's AllowedOrigins list none of this machine")
    return local[0]


def task(running: Running, prompt: str) -> dict[str, Any]:
    """Return what the page is to do."""
    return {
        "base_url": running.base_url,
        "key": running.key,
        "width": 1024,
        "height": 1024,
        "colour": f"rgb{COLOUR}",
        "spot": SPOT,
        "edit": {"prompt": prompt, "n": 10, "size": "1536x1024"},
        "generate": {"prompt": prompt, "n": 10},
    }


def test_a_page_uploads_edits_and_shows(
    running: Running, chromium: str, origin: str, tmp_path: Path
) -> None:
    prompt = unique("a page's scarf")
    running.standin.rule(containing=prompt, image_bytes=EACH_BYTES)
    site = browser.Site(origin, "page.html", task(running, prompt))
    outcome = browser.visit(chromium, site, tmp_path)
    assert "error" not in outcome, outcome

    denied, refused = outcome["denied"], outcome["refused"]
    assert (denied["status"], denied["code"]) == (401, "invalid_api_key")
    assert (refused["status"], refused["code"]) == (400, "invalid_value")
    for error in denied, refused:
        assert error["retry"] == "false"
        assert error["request"]

    upload, answer = outcome["upload"], outcome["answer"]
    assert upload["status"] == 204
    posted = decoded(running.object(f"inputs/{running.tenant}/{upload['file_id']}"))
    assert (posted.size, posted.convert("RGB").getpixel((9, 9))) == ((1024, 1024), COLOUR)

    assert (answer["status"], answer["count"]) == (200, 10)
    s3 = urlsplit(running.stack["aws"]["AWS_ENDPOINT_URL"]).netloc
    assert urlsplit(answer["url"]).netloc == s3
    made = decoded(running.object(f"images/{running.tenant}/{answer['id']}/1/0.png"))
    assert made.convert("RGB").getpixel((9, 9)) == COLOUR
    pixel = made.convert("RGBA").getpixel(SPOT)
    for shown in outcome["linked"], outcome["embedded"]:
        assert (shown["width"], shown["height"]) == made.size == (1536, 1024)
        assert tuple(shown["pixel"]) == pixel
    assert running.paid(prompt) == 1


def test_openai_node_works_in_a_page(
    running: Running, chromium: str, origin: str, tmp_path: Path
) -> None:
    if not browser.OPENAI.is_dir():
        pytest.skip("openai for Node is not installed")
    prompt = unique("a page's slow fox")
    running.standin.rule(containing=prompt, image_bytes=EACH_BYTES, delay_seconds=4)
    outcome = browser.visit(
        chromium, browser.Site(origin, "sdk.html", task(running, prompt)), tmp_path
    )
    assert "error" not in outcome, outcome
    assert (outcome["count"], outcome["bytes"]) == (10, EACH_BYTES)
    refused = outcome["refused"]
    assert (refused["kind"], refused["param"]) == ("BadRequestError", "n")
    assert refused["request"]
    assert running.paid(prompt) == 1


def test_a_page_of_an_origin_that_is_not_listed_may_not_call(
    running: Running, chromium: str, origin: str, tmp_path: Path
) -> None:
    prompt = unique("nobody's scarf")
    other = f"http://127.0.0.1:{free_port()}"
    assert other != origin
    outcome = browser.visit(
        chromium, browser.Site(other, "page.html", task(running, prompt)), tmp_path
    )
    assert outcome == {"error": "TypeError: Failed to fetch"}
    assert running.jobs(prompt) == []


def test_no_script_of_an_svg_runs_and_it_is_shown(
    running: Running, chromium: str, origin: str, tmp_path: Path
) -> None:
    prompt = unique("a drawn fox")
    picture = browser.scripted(f"{origin}/outcome")
    running.standin.rule(containing=prompt, picture=picture)
    asked: Any = {"model": "gpt-image-2.6-flare", "output_format": "svg", "size": "1024x1024"}
    (made,) = running.client.images.generate(prompt=prompt, **asked).data or []
    assert "<script>" in fetched(str(made.url)).decode()

    def opened(url: str, folder: str) -> dict[str, Any]:
        (tmp_path / folder).mkdir()
        site = browser.Site(origin, "svg.html", {"shown": made.url, "opened": url})
        return browser.visit(chromium, site, tmp_path / folder)

    green = {"width": 1024, "height": 1024, "pixel": [0, 255, 0, 255]}
    assert opened(str(made.url), "served") == {"shown": green}

    # The same, served as a page: it would have run, and been heard of.
    place = {"Bucket": running.bucket, "Key": f"images/{running.tenant}/as-a-page.svg"}
    s3 = running.aws("s3")
    s3.put_object(**place, Body=picture.encode(), ContentType="image/svg+xml")
    url = s3.generate_presigned_url("get_object", Params=place)
    assert opened(url, "control") == {"ran": True}
