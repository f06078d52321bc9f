"""The wire out: OpenAI's ImagesResponse and its jobs, with what Easel adds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from easel.jobs import Job
from easel.requests import Image, ResponseFormat

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


def answer_bytes(job: Job, response_format: ResponseFormat | None) -> int:
    """Return about how many bytes the job's answer has on the wire."""
    inline = 0 if response_format == "url" else sum(i.bytes for i in _images(job)) * 4 // 3
    return inline + 4_000 * len(_images(job)) + 4 * len(job.request.prompt)


def images_response(
    job: Job, links: Links, response_format: ResponseFormat | None
) -> Iterator[str]:
    """Yield the job's ImagesResponse as JSON, no more than one image in memory at a time."""
    head = json.dumps(_head(job))
    yield head[:-1] + ', "data": ['
    for index, image in enumerate(_images(job)):
        yield ("," if index else "") + json.dumps(_datum(job, index, image, links, response_format))
    yield "]}"


def job_object(job: Job, links: Links) -> dict[str, Any]:
    """Return the job as ``GET /jobs/{id}`` shows it, with fresh URLs."""
    error = job.error and {name: job.error[name] for name in ("message", "type", "param", "code")}
    return {
        "id": job.id,
        "object": "image.job",
        "operation": job.request.operation,
        "status": job.status,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "model": job.request.model,
        "prompt": job.request.prompt,
        "cost_usd": cost_usd(job.charge),
        "error": error,
        "data": [_datum(job, i, image, links, "url") for i, image in enumerate(_images(job))],
    }


def _images(job: Job) -> tuple[Image, ...]:
    return job.answer.images if job.answer else ()


def _head(job: Job) -> dict[str, Any]:
    answer = job.answer
    if answer is None:
        raise ValueError(f"{job.id} has no answer yet")
    resample = job.request.resample
    head = {
        "id": job.id,
        "created": answer.created,
        "model": job.request.model,
        "prompt": job.request.prompt,
        "background": answer.background,
        "output_format": answer.output_format,
        "quality": answer.quality,
        "size": f"{resample[0]}x{resample[1]}" if resample else answer.size,
        "usage": answer.usage,
        "svg_usage": answer.svg_usage,
        "cost_usd": cost_usd(job.charge),
        "cached": False,
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
        datum["b64_json"] = base64.b64encode(links.read(image.key)).decode()
    return datum
