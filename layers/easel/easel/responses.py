"""The wire out: OpenAI's ImagesResponse and its jobs, with what Easel adds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pybase64

from easel.inputs import Image
from easel.jobs import Job
from easel.requests import Delivery, Request
from easel.tenants import ResponseFormat

LARGEST_ANSWER = 5_500_000
"""Bytes of JSON that pass through Lambda's 6 MB with its own framing."""


@dataclass(frozen=True, slots=True)
class Links:
    """How an image is reached: ``url(key)`` presigns, ``read(key)`` loads its bytes.

    ``expires_at`` is when the URLs made now stop working, in Unix seconds.
    """

    url: Callable[[str], str]
    read: Callable[[str], bytes]
    expires_at: int


def cost_usd(micro_dollars: int) -> float:
    """Return dollars with at most 6 decimals."""
    return round(micro_dollars / 1_000_000, 6)


def answer_bytes(job: Job, delivery: Delivery) -> int:
    """Return about how many bytes the job's answer has on the wire."""
    inline = delivery.stream or delivery.response_format != "url"
    encoded = sum(i.bytes for i in _images(job)) * 4 // 3 if inline else 0
    # In JSON a character of the prompt is at most twelve bytes, an escaped surrogate pair.
    return encoded + 4_000 * len(_images(job)) + 12 * len(job.request.prompt)


def content_type(delivery: Delivery) -> str:
    """Return what the answer is, in HTTP's words."""
    return "text/event-stream" if delivery.stream else "application/json"


def answer(job: Job, links: Links, delivery: Delivery) -> Iterator[str]:
    """Yield the answer as the caller wants it, no more than one image in memory at a time."""
    if delivery.stream:
        return _events(job, links, delivery)
    return _images_response(job, links, delivery)


def quote(
    request: Request, ceiling: int, repeats: Job | None, *, cached: bool = False
) -> dict[str, Any]:
    """Return what a request would do: buy at this ceiling, or repeat a job for nothing.

    ``cached``: the job would answer from the cache.
    """
    return {
        "object": "image.quote",
        "operation": request.operation,
        "model": request.model,
        "prompt": request.prompt,
        "would": "repeat" if repeats else "buy",
        "job": repeats and repeats.id,
        "cost_usd": 0.0 if repeats else cost_usd(ceiling),
        "cached": cached,
    }


def _events(job: Job, links: Links, delivery: Delivery) -> Iterator[str]:
    """Yield OpenAI's completed events, one per image; the last has the usage and cost of all."""
    head = _head(job, delivery)
    kind = "image_generation" if job.request.operation == "generate" else "image_edit"
    last = len(_images(job)) - 1
    for index, image in enumerate(_images(job)):
        event = {
            "type": f"{kind}.completed",
            "created_at": head["created"],
            **{name: head.get(name) for name in ("size", "quality", "background", "output_format")},
            "usage": head.get("usage") if index == last else _NO_USAGE,
            "cost_usd": head["cost_usd"] if index == last else 0.0,
            **{name: head[name] for name in ("id", "model", "cached")},
            **_datum(job, index, image, links, "b64_json"),
        }
        yield f"event: {event['type']}\ndata: {_with_base64(event)}\n\n"


_NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


def _images_response(job: Job, links: Links, delivery: Delivery) -> Iterator[str]:
    head = json.dumps(_head(job, delivery))
    yield head[:-1] + ', "data": ['
    for index, image in enumerate(_images(job)):
        datum = _with_base64(_datum(job, index, image, links, delivery.response_format))
        yield f", {datum}" if index else datum
    yield "]}"


def job_object(job: Job, links: Links) -> dict[str, Any]:
    """Return the job as ``GET /jobs/{id}`` shows it, with fresh URLs."""
    return {
        "id": job.id,
        "object": "image.job",
        "operation": job.request.operation,
        "status": job.status,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "model": job.request.model,
        "prompt": job.request.said,
        "cost_usd": cost_usd(job.charge),
        "error": job.shown_error(),
        "data": [_datum(job, i, image, links, "url") for i, image in enumerate(_images(job))],
    }


def _with_base64(fields: dict[str, Any]) -> str:
    """Return the fields as JSON; base64 needs no escaping, and is the most of it."""
    encoded = fields.pop("b64_json", None)
    text = json.dumps(fields)
    return f'{text[:-1]}, "b64_json": "{encoded}"}}' if encoded is not None else text


def _images(job: Job) -> tuple[Image, ...]:
    return job.answer.images if job.answer else ()


def _head(job: Job, delivery: Delivery) -> dict[str, Any]:
    answer = job.answer
    if answer is None:
        raise ValueError(f"{job.id} has no answer yet")
    resample = job.request.resample
    head = {
        "id": job.id,
        "created": answer.created,
        "model": job.request.model,
        "prompt": job.request.said,
        "background": answer.background,
        "output_format": answer.output_format,
        "quality": answer.quality,
        "size": f"{resample[0]}x{resample[1]}" if resample else answer.size,
        "usage": answer.usage,
        "svg_usage": answer.svg_usage,
        "cost_usd": 0.0 if delivery.cached else cost_usd(job.charge),
        "cached": delivery.cached,
    }
    return {name: value for name, value in head.items() if value is not None}


def _datum(
    job: Job, index: int, image: Image, links: Links, response_format: ResponseFormat | None
) -> dict[str, Any]:
    datum: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes,
    }
    prompts = job.answer.revised_prompts if job.answer else ()
    if index < len(prompts) and prompts[index] is not None:
        datum["revised_prompt"] = prompts[index]
    if response_format != "b64_json":
        datum |= {"url": links.url(image.key), "expires_at": links.expires_at}
    if response_format != "url":
        datum["b64_json"] = pybase64.b64encode_as_string(links.read(image.key))
    return datum
