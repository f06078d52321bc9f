"""The wire out: ImagesResponse, its stream of events, moderations, models; and broken lines."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from PIL import Image
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from local.standin.calls import tokens
from local.standin.checks import ImageRequest
from local.standin.forms import referenced
from local.standin.models import live
from local.standin.refusals import Refusal, invalid_type, missing

_TEXT, _BOTH = ["text"], ["text", "image"]
CATEGORIES = {
    "harassment": _TEXT,
    "harassment/threatening": _TEXT,
    "hate": _TEXT,
    "hate/threatening": _TEXT,
    "illicit": _TEXT,
    "illicit/violent": _TEXT,
    "self-harm": _BOTH,
    "self-harm/intent": _BOTH,
    "self-harm/instructions": _BOTH,
    "sexual": _BOTH,
    "sexual/minors": _TEXT,
    "violence": _BOTH,
    "violence/graphic": _BOTH,
}
"""Moderation's categories and what is judged for each; a text is flagged for "forbidden-" + one."""


def answer(request: ImageRequest, pictures: Sequence[bytes], now: int) -> Response:
    """Return the pictures as the caller asked for them: at once, or as a stream of events."""
    if request.asked.stream:
        body = b"".join(events(request, pictures, now))
        return Response(body, media_type="text/event-stream")
    return JSONResponse(images_response(request, pictures, now))


def images_response(request: ImageRequest, pictures: Sequence[bytes], now: int) -> dict[str, Any]:
    """Return OpenAI's ImagesResponse."""
    body = {
        "created": now,
        "background": request.background,
        "data": [{"b64_json": base64.b64encode(picture).decode()} for picture in pictures],
        "output_format": request.asked.output_format,
        "quality": request.quality,
        "size": f"{request.size[0]}x{request.size[1]}",
        "usage": _usage(request),
    }
    if identifier := request.asked.safety_identifier or request.asked.user:
        body["safety_identifier"] = identifier
    if request.asked.output_format == "svg":
        count = {"input_tokens": 100, "output_tokens": 400, "reasoning_tokens": 0}
        body["svg_usage"] = {"model": "svg-author", **count, "total_tokens": 500}
    return body


def _usage(request: ImageRequest) -> dict[str, Any]:
    count = tokens(request)
    return {
        "input_tokens": count["text"] + count["image"],
        "input_tokens_details": {"image_tokens": count["image"], "text_tokens": count["text"]},
        "output_tokens": count["output"],
        "total_tokens": sum(count.values()),
    }


def events(request: ImageRequest, pictures: Sequence[bytes], now: int) -> Iterator[bytes]:
    """Yield server-sent events: the partial images (whole ones, here), then the completed one."""
    prefix = "image_edit" if request.operation == "edits" else "image_generation"
    body = images_response(request, pictures, now)
    usage, data = body.pop("usage"), body.pop("data")
    body["created_at"] = body.pop("created")
    for image in data:
        common = {**body, **image}
        for index in range(request.asked.partial_images):
            yield _event(f"{prefix}.partial_image", {**common, "partial_image_index": index})
        yield _event(f"{prefix}.completed", {**common, "usage": usage})


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


@dataclass(frozen=True)
class Judged:
    """One thing to be judged: words, a picture, or both."""

    text: str
    alarming: bool = False
    """Whether the picture shows much of ``paint.ALARMING``."""


def moderation_inputs(parameters: dict[str, Any]) -> list[Judged]:
    """Return one input per result: several strings are judged apart, mixed parts together."""
    sent = parameters.get("input")
    if not sent:
        raise missing("input")
    items = sent if isinstance(sent, list) else [sent]
    if all(isinstance(item, str) for item in items):
        return [Judged(item) for item in items]
    parts = [_part(index, item) for index, item in enumerate(items)]
    count = sum(part.text == IMAGE_PART for part in parts)
    if count > 1:
        message = f"Number of images ({count}) exceeds maximum of 1"
        raise Refusal(message, code="too_many_images", param="input")
    text = "\n".join(part.text for part in parts)
    return [Judged(text, any(part.alarming for part in parts))]


IMAGE_PART = "[image]"
"""What a moderated picture is among the words that rules and questions look at."""


def _part(index: int, item: object) -> Judged:
    match item:
        case {"type": "text", "text": str(text)}:
            return Judged(text)
        case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith("https://"):
            return Judged(IMAGE_PART)
        case {"type": "image_url", "image_url": {"url": str(url)}} if url.startswith("data:"):
            sent = referenced("input", f"input[{index}]", {"image_url": url})
            return Judged(IMAGE_PART, _alarming(sent.decode(f"input[{index}]", index)))
    raise invalid_type(f"input[{index}]", "a text or image_url part", item)


def _alarming(picture: Image.Image) -> bool:
    """Judge by colour. Raises Refusal for what OpenAI was seen to fail at, or to be too much."""
    if picture.mode == "LA":  # reported in May 2026, of sound pictures
        raise Refusal("Unexpected error", code="server_error", type="server_error", status=500)
    if picture.width * picture.height > MAX_MODERATED_PIXELS:
        raise Refusal("The image is too large.", code="file_too_large", param="input")
    small = picture.convert("RGB").resize((32, 32)).tobytes()
    pixels = [small[at : at + 3] for at in range(0, len(small), 3)]
    near = [r > 180 and g < 100 and b > 180 for r, g, b in pixels]
    return sum(near) * 10 > len(near)


MAX_MODERATED_PIXELS = 20_000_000


def moderation(inputs: Sequence[Judged], flags: Sequence[str] = ()) -> dict[str, Any]:
    """Return OpenAI's answer: flagged where a text says ``forbidden-`` and a category.

    An alarming picture is flagged for violence; everything for ``flags``.
    """
    return {
        "id": f"modr-{uuid.uuid4().hex}",
        "model": "omni-moderation-latest",
        "results": [_judged(one, flags) for one in inputs],
    }


def _judged(given: Judged, flags: Sequence[str]) -> dict[str, Any]:
    categories = {name: f"forbidden-{name}" in given.text for name in CATEGORIES}
    categories["violence"] = categories["violence"] or given.alarming
    categories |= dict.fromkeys(flags, True)
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": {name: 0.98 if hit else 0.0001 for name, hit in categories.items()},
        "category_applied_input_types": CATEGORIES,
    }


def models(today: date) -> dict[str, Any]:
    """Return OpenAI's list of models."""
    return {
        "object": "list",
        "data": [
            {
                "id": name,
                "object": "model",
                "created": 1_776_729_600,
                "owned_by": "system",
                "shutdown_date": shutdown and shutdown.isoformat(),
            }
            for name, (_, shutdown) in live(today).items()
        ],
    }


class Severed(Response):
    """Half of a whole response, or nothing of it; then the line is closed."""

    def __init__(self, whole: Response | None = None) -> None:
        super().__init__()
        self.whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the transport that the stand-in's protocol put into the scope."""
        if self.whole:
            body = bytes(self.whole.body)
            start = {"status": self.whole.status_code, "headers": self.whole.raw_headers}
            await send({"type": "http.response.start", **start})
            half = {"body": body[: len(body) // 2], "more_body": True}
            await send({"type": "http.response.body", **half})
            scope["state"]["transport"].close()
        else:
            scope["state"]["transport"].abort()
        await left(receive)


async def left(receive: Receive) -> None:
    """Return when the caller is gone."""
    while (await receive())["type"] != "http.disconnect":
        continue
