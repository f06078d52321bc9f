"""A job on the wire."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from easel.jobs import Job
from easel.requests import MAX_PROMPT, Delivery, Operation
from easel.responses import (
    LARGEST_ANSWER,
    Links,
    answer,
    answer_bytes,
    content_type,
    cost_usd,
    job_object,
    quote,
)
from easel.tenants import ResponseFormat
from tests.unit.examples import NOW, image, job, request, succeeded
from tests.unit.examples import answer as answered

INLINE, URLS, STREAM = (
    Delivery(response_format="b64_json"),
    Delivery(response_format="url"),
    Delivery(stream=True),
)


class Shelf:
    """A bucket of two pictures that counts what is read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def links(self) -> Links:
        return Links(url=lambda key: f"https://bucket/{key}", read=self.get, expires_at=NOW + 3600)

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return key.encode() * 3


def response(one: Job, response_format: ResponseFormat | None = None) -> dict[str, Any]:
    delivery = Delivery(response_format=response_format)
    parsed: dict[str, Any] = json.loads("".join(answer(one, Shelf().links(), delivery)))
    return parsed


@pytest.mark.parametrize(
    ("micro_dollars", "dollars"), [(0, 0), (1, 0.000001), (13_170, 0.01317), (2_000_000, 2.0)]
)
def test_costs_are_dollars_of_six_decimals(micro_dollars: int, dollars: float) -> None:
    assert cost_usd(micro_dollars) == dollars
    assert len(f"{cost_usd(micro_dollars):.12f}".rstrip("0").partition(".")[2]) <= 6


def test_an_answer_is_openais_with_what_easel_adds() -> None:
    done = succeeded(image("a"), image("b", width=32), request=request(prompt="a cat"))
    reply = response(done)
    assert reply == {
        "id": done.id,
        "created": NOW,
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "cost_usd": 0.013,
        "cached": False,
        "data": [
            {
                "url": f"https://bucket/{key}",
                "b64_json": base64.b64encode(key.encode() * 3).decode(),
                "expires_at": NOW + 3600,
                "width": width,
                "height": 48,
                "bytes": 300,
            }
            for key, width in (("a", 64), ("b", 32))
        ],
    }


def test_an_answer_from_the_cache_costs_nothing_and_says_so() -> None:
    cached = Delivery(cached=True)
    said = json.loads("".join(answer(succeeded(), Shelf().links(), cached)))
    assert said == response(succeeded(id=said["id"])) | {"cost_usd": 0, "cached": True}
    assert cached.query() == {"cached": "true"}
    assert Delivery.model_validate(cached.query()) == cached


@pytest.mark.parametrize(
    ("response_format", "ways"),
    [
        (None, {"url", "expires_at", "b64_json"}),
        ("url", {"url", "expires_at"}),
        ("b64_json", {"b64_json"}),
    ],
)
def test_the_format_is_the_callers_choice(
    response_format: ResponseFormat | None, ways: set[str]
) -> None:
    datum = response(succeeded(), response_format)["data"][0]
    assert datum.keys() - {"width", "height", "bytes"} == ways


def test_urls_alone_read_nothing_from_the_bucket() -> None:
    shelf = Shelf()
    list(answer(succeeded(), shelf.links(), URLS))
    assert shelf.read == []


def test_one_image_is_in_memory_at_a_time() -> None:
    shelf = Shelf()
    parts = answer(succeeded(image("a"), image("b")), shelf.links(), INLINE)
    seen = []
    for _ in parts:
        seen.append(list(shelf.read))
    assert seen == [[], ["a"], ["a", "b"], ["a", "b"]]


def test_upstreams_own_words_pass() -> None:
    said = {
        "usage": {"total_tokens": 7},
        "svg_usage": {"output_tokens": 3},
        "background": "opaque",
        "output_format": "png",
        "quality": "medium",
        "size": "1024x1024",
        "revised_prompts": ("a fluffy cat",),
    }
    reply = response(succeeded().model_copy(update={"answer": answered(**said)}))
    assert reply["data"][0]["revised_prompt"] == "a fluffy cat"
    del said["revised_prompts"]
    assert {name: reply[name] for name in said} == said


def test_the_size_is_the_one_that_was_asked() -> None:
    resampled = succeeded(request=request(resample=(256, 256)))
    assert response(resampled)["size"] == "256x256"


def test_a_job_without_an_answer_has_no_response() -> None:
    with pytest.raises(ValueError, match="no answer"):
        response(job())


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("prompt", ["a cat", "\U0001f408" * MAX_PROMPT], ids=["short", "longest"])
def test_what_counts_as_small_enough_passes_through_lambda(prompt: str, count: int) -> None:
    asked = request(prompt=prompt)
    room = LARGEST_ANSWER - answer_bytes(succeeded(image(bytes=0), request=asked), Delivery())
    each = room * 3 // 4 // count - 4_000
    done = succeeded(*[image(bytes=each)] * count, request=asked)
    assert LARGEST_ANSWER - 100_000 < answer_bytes(done, Delivery()) <= LARGEST_ANSWER
    links = Links(url=lambda _: "u" * 2500, read=lambda _: b"\0" * each, expires_at=NOW)
    proxied = json.dumps({"body": "".join(answer(done, links, Delivery()))})
    assert len(proxied) + 1000 < 6 * 2**20


def test_bytes_that_are_not_sent_do_not_count() -> None:
    large = succeeded(image(bytes=10 * 2**20))
    assert answer_bytes(large, URLS) < LARGEST_ANSWER < answer_bytes(large, INLINE)
    for response_format in (None, "url", "b64_json"):
        streamed = Delivery(stream=True, response_format=response_format)
        assert answer_bytes(large, streamed) > LARGEST_ANSWER


@pytest.mark.parametrize("prompt", ["a cat", "\u732b\n" * 5000, "\U0001f408" * 5000], ids=len)
@pytest.mark.parametrize("delivery", [INLINE, URLS, Delivery(), STREAM], ids=str)
def test_an_answers_size_is_not_underestimated(prompt: str, delivery: Delivery) -> None:
    done = succeeded(*[image(bytes=9000)] * 3, request=request(prompt=prompt))
    links = Links(url=lambda _: "u" * 2500, read=lambda _: b"\0" * 9000, expires_at=NOW)
    assert len("".join(answer(done, links, delivery))) <= answer_bytes(done, delivery)


def events(one: Job) -> list[dict[str, Any]]:
    """Read server-sent events as an SDK does."""
    text = "".join(answer(one, Shelf().links(), STREAM))
    assert text.endswith("\n\n")
    read = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        read.append(event)
    return read


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("generate", "image_generation.completed"),
        ("edit", "image_edit.completed"),
        ("variation", "image_edit.completed"),
    ],
)
def test_a_stream_is_openais_events(operation: Operation, kind: str) -> None:
    usage = {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448}
    done = succeeded(request=request(operation=operation))
    done = done.model_copy(update={"answer": answered(usage=usage, quality="medium", size="1x1")})
    [event] = events(done)
    expected = {
        "type": kind,
        "created_at": NOW,
        "b64_json": base64.b64encode(b"images/demo/job_1/1/0.png" * 3).decode(),
        "quality": "medium",
        "size": "1x1",
        "usage": usage,
        "id": done.id,
        "cost_usd": 0.013,
    }
    assert {name: event[name] for name in expected} == expected


def test_a_streams_usage_and_cost_are_told_once() -> None:
    usage = {"input_tokens": 9, "output_tokens": 878, "total_tokens": 887}
    done = succeeded().model_copy(
        update={"answer": answered(image("a"), image("b"), image("c"), usage=usage)}
    )
    told = [(event["usage"]["total_tokens"], event["cost_usd"]) for event in events(done)]
    assert told == [(0, 0), (0, 0), (887, 0.013)]


@pytest.mark.parametrize(
    ("delivery", "kind"), [(STREAM, "text/event-stream"), (URLS, "application/json")]
)
def test_the_content_type_is_the_answers(delivery: Delivery, kind: str) -> None:
    assert content_type(delivery) == kind


def test_a_quote_tells_the_price_or_the_job() -> None:
    buy = quote(request(), 13_500, None)
    assert (buy["would"], buy["job"], buy["cost_usd"]) == ("buy", None, 0.0135)
    done = succeeded()
    repeat = quote(request(), 13_500, done)
    assert (repeat["would"], repeat["job"], repeat["cost_usd"]) == ("repeat", done.id, 0)
    assert (buy["object"], buy["prompt"]) == ("image.quote", "a cat")


def test_a_job_is_shown_with_fresh_urls() -> None:
    done = succeeded(image("a"))
    assert job_object(done, Shelf().links()) == {
        "id": done.id,
        "object": "image.job",
        "operation": "generate",
        "status": "succeeded",
        "created_at": NOW,
        "started_at": None,
        "finished_at": NOW + 9,
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "cost_usd": 0.013,
        "error": None,
        "data": [
            {
                "url": "https://bucket/a",
                "expires_at": NOW + 3600,
                "width": 64,
                "height": 48,
                "bytes": 300,
            }
        ],
    }


def test_a_failed_job_shows_openais_error_and_no_image() -> None:
    error = {"message": "m", "type": "t", "param": None, "code": "c"}
    shown = job_object(
        job(status="failed", error={**error, "status": 400, "retry": False}), Shelf().links()
    )
    assert (shown["status"], shown["error"], shown["data"]) == ("failed", error, [])
