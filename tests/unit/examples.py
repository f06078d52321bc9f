"""A request and a job as the tests want them: valid, with whatever a test is about changed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from PIL import Image as Picture

from easel.inputs import Image
from easel.jobs import Answer, Job
from easel.rendered import Rendered
from easel.requests import Request
from easel.tenants import Tenant

NOW = 1_795_350_896
"""2026-11-22 12:34:56 UTC, as the events have it."""

DEMO = Tenant(name="demo")


def picture(width: int = 64, height: int = 64, mode: str = "RGB", kind: str = "png") -> bytes:
    """Return image bytes."""
    stream = BytesIO()
    Picture.new(mode, (width, height)).save(stream, kind)
    return stream.getvalue()


def image(key: str = "images/demo/job_1/1/0.png", **changes: Any) -> Image:
    fields = {"kind": "png", "width": 64, "height": 48, "bytes": 300, "sha256": "0" * 64}
    return Image(key=key, **{**fields, **changes})


def request(**changes: Any) -> Request:
    fields = {
        "operation": "generate",
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "parameters": {"size": "1024x1024", "quality": "medium"},
    }
    return Request(**{**fields, **changes})


def job(tenant: str = "demo", *, hold: int = 20_000, now: float = NOW, **changes: Any) -> Job:
    """Return a queued job."""
    made = Job.new(tenant, changes.pop("request", request()), hold=hold, now=now)
    return made.model_copy(update=changes)


def rendered(*images: str, **said: Any) -> Rendered:
    """Return upstream's answer with these images in base64."""
    data = [{"b64_json": image} for image in images]
    return Rendered([json.dumps({"data": data, **said}).encode()])


def answer(*images: Image, **changes: Any) -> Answer:
    return Answer(**{"created": NOW, "images": images or (image(),), **changes})


def succeeded(*images: Image, charge: int = 13_000, **changes: Any) -> Job:
    """Return a job that was answered at its first attempt."""
    begun = job(**changes).begin(20_000)
    done = begun.end(begun.attempts[0].settle(charge))
    return done.close("succeeded", NOW + 9, answer=answer(*images))
