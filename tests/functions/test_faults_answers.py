"""Answers that are streams, too large for Lambda, or of models that end."""

from __future__ import annotations

import base64
import json
import re
import threading
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from openai._streaming import SSEDecoder
from openai.types import ImageEditCompletedEvent, ImageGenCompletedEvent

from easel.formats import sniff
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import picture, post
from tests.functions.test_https import call, follow, work


def events(body: str | bytes) -> list[tuple[str | None, dict[str, Any]]]:
    """Return an event stream's events as OpenAI's SDK reads them."""
    data = body if isinstance(body, bytes) else body.encode()
    return [(one.event, one.json()) for one in SSEDecoder().iter_bytes(iter([data]))]


def streamed(answer: dict[str, Any]) -> list[tuple[str | None, dict[str, Any]]]:
    assert answer["statusCode"] == 200, answer["body"][:500]
    assert answer["headers"]["content-type"] == "text/event-stream"
    return events(answer["body"])


@pytest.mark.parametrize("partial", [{}, {"partial_images": 2}], ids=["plain", "partial"])
def test_a_stream_has_one_event_for_each_image(
    inline: Deployed, context: Context, partial: dict[str, int]
) -> None:
    asked = {"prompt": "a cat", "n": 2, "size": "1024x1024", "stream": True, **partial}
    found = streamed(call(inline, context, asked))
    assert [name for name, _ in found] == ["image_generation.completed"] * 2
    made = [ImageGenCompletedEvent.model_validate(data) for _, data in found]
    pictures = [base64.b64decode(one.b64_json) for one in made]
    assert [sniff(one).width for one in pictures] == [1024, 1024]
    assert pictures[0] != pictures[1]
    assert made[0].usage.total_tokens == 0
    assert made[1].usage.total_tokens > 0
    [sent] = inline.standin.calls()
    assert {"stream", "partial_images", "response_format"}.isdisjoint(sent["parameters"])


def test_an_edit_by_form_is_streamed_too(inline: Deployed, context: Context) -> None:
    texts = {"prompt": "a hat", "stream": "true", "partial_images": "1"}
    found = streamed(post(inline, context, "edit", ("image", picture()), *texts.items()))
    assert [name for name, _ in found] == ["image_edit.completed"]
    assert ImageEditCompletedEvent.model_validate(found[0][1]).usage.total_tokens > 0
    [sent] = inline.standin.calls()
    assert {"stream", "partial_images"}.isdisjoint(sent["parameters"])


def test_an_error_before_a_stream_is_an_ordinary_one(inline: Deployed, context: Context) -> None:
    inline.standin.rule(status=400, code="moderation_blocked")
    answer = call(inline, context, {"prompt": "x", "stream": True})
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (400, "application/json")
    assert json.loads(answer["body"])["error"]["code"] == "moderation_blocked"


def test_partial_images_beyond_the_models_are_refused(inline: Deployed, context: Context) -> None:
    answer = call(inline, context, {"prompt": "x", "stream": True, "partial_images": 4})
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["error"]["param"] == "partial_images"
    assert inline.standin.calls() == []


def fetched(answer: dict[str, Any]) -> tuple[str, bytes]:
    """Return the content type and the bytes that a redirect into the bucket leads to."""
    assert (answer["statusCode"], answer["body"]) == (303, "")
    url = urlsplit(answer["headers"]["location"])
    assert url.netloc.startswith("easel.s3.")
    got = boto3.client("s3").get_object(Bucket="easel", Key=url.path.lstrip("/"))
    return got["ContentType"], got["Body"].read()


def test_an_answer_too_large_for_lambda_is_fetched_from_the_bucket(
    deployed: Deployed, context: Context
) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    deployed.standin.rule(containing="large", image_bytes=4_600_000)
    first = call(deployed, context, {"prompt": "large", "size": "1024x1024"})
    location = first["headers"]["location"]
    work(deployed, context)
    for query in "", "&response_format=b64_json":
        content_type, body = fetched(follow(deployed, context, location + query))
        assert content_type == "application/json"
        [datum] = json.loads(body)["data"]
        assert len(base64.b64decode(datum["b64_json"])) == datum["bytes"] == 4_600_000
        assert ("url" in datum) == (query == "")
    for _ in "composed", "found":
        content_type, body = fetched(follow(deployed, context, f"{location}&stream=true"))
        assert content_type == "text/event-stream"
        [(name, data)] = events(body)
        assert name == "image_generation.completed"
        assert len(base64.b64decode(data["b64_json"])) == 4_600_000
    small = follow(deployed, context, f"{location}&response_format=url")
    assert small["statusCode"] == 200
    assert len(deployed.standin.calls()) == 1


def test_a_large_answer_that_came_late_is_composed_by_the_next_call(
    deployed: Deployed, context: Context
) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="7")
    deployed.standin.rule(containing="large", image_bytes=4_600_000)
    worker = threading.Timer(0.5, lambda: work(deployed, context))
    worker.start()
    hopped = call(deployed, context, {"prompt": "large", "size": "1024x1024"})
    worker.join()
    location = hopped["headers"]["location"]
    assert location.endswith("/result?hop=1")
    _, body = fetched(follow(deployed, context, location))
    assert len(json.loads(body)["data"]) == len(deployed.standin.calls()) == 1


def test_the_end_of_a_model_is_told_in_headers(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    deployed.set(WAIT_SECONDS="0")
    hop = call(deployed, context, {"prompt": "old", "model": "dall-e-3"})["headers"]["location"]
    work(deployed, context)
    told = follow(deployed, context, hop)
    assert json.loads(told["body"])["model"].startswith("gpt-image-")
    ended = parsedate_to_datetime(told["headers"]["sunset"])
    assert (ended.year, ended.month, ended.day) == (2026, 5, 12)
    assert 0 < int(told["headers"]["deprecation"].removeprefix("@")) <= ended.timestamp()


@pytest.mark.parametrize("named", [{"model": "gpt-image-2.5-flare"}, {}], ids=["named", "default"])
def test_a_model_that_stays_has_no_such_headers(
    inline: Deployed, context: Context, named: dict[str, str]
) -> None:
    answer = call(inline, context, {"prompt": "x", **named})
    assert answer["statusCode"] == 200
    assert {"deprecation", "sunset"}.isdisjoint(answer["headers"])


@pytest.mark.parametrize("key", [None, "k"])
def test_a_direct_answer_too_large_says_how_to_have_it(deployed: Deployed, key: str | None) -> None:
    """Not only who sent a key can name it."""
    deployed.tenant()
    deployed.set(WORK_QUEUE_URL="")
    deployed.standin.rule(image_bytes=5_000_000)
    handler, context = deployed.handler("generate"), Context()
    asked = {"tenant": "demo", "prompt": "a wide fox"}
    given = {"idempotency_key": key} if key else {}
    with pytest.raises(Exception, match="do not fit") as caught:
        handler({**asked, **given, "response_format": "b64_json"}, context)
    named = key or re.findall(r"idempotency_key '([^']+)'", str(caught.value))[0]
    made = handler({**asked, "idempotency_key": named, "response_format": "url"}, Context())
    assert made["data"][0]["url"]
    assert len(deployed.standin.calls()) == 1
