"""What lies in the outbox beside its question's name."""

from __future__ import annotations

import json
from typing import Any, cast

from easel import outbox
from easel.aws.bucket import Bucket
from easel.errors import InvalidRequest
from easel.jobs import Job
from tests.unit.examples import NOW, image, job, succeeded


class Box:
    """A bucket in memory that keeps the order of what was written."""

    def __init__(self, *keys: str) -> None:
        self.objects = {key: key.encode() for key in keys}

    def copy(self, source: str, key: str) -> None:
        self.objects[key] = self.objects[source]

    def put(self, key: str, data: bytes, content_type: str) -> None:
        assert content_type == "application/json"
        self.objects[key] = data


def replied(one: Job, *keys: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    box = Box(*keys)
    outbox.reply(cast(Bucket, box), one)
    assert list(box.objects)[-1] == f"{one.reply_to}.json", "the document comes last"
    return box.objects, json.loads(box.objects[f"{one.reply_to}.json"])


def test_one_picture_has_its_questions_name() -> None:
    made = succeeded(image("made", kind="webp"), reply_to="outbox/demo/a/cat.png")
    objects, document = replied(made, "made")
    assert objects["outbox/demo/a/cat.png.webp"] == b"made"
    assert document == {
        "id": made.id,
        "status": "succeeded",
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "cost_usd": 0.013,
        "images": ["outbox/demo/a/cat.png.webp"],
        "error": None,
    }


def test_several_pictures_are_numbered() -> None:
    made = succeeded(image("x"), image("y", kind="jpeg"), reply_to="outbox/demo/cat")
    objects, document = replied(made, "x", "y")
    assert document["images"] == ["outbox/demo/cat-0.png", "outbox/demo/cat-1.jpeg"]
    assert objects["outbox/demo/cat-1.jpeg"] == b"y"


def test_a_failed_job_leaves_its_error() -> None:
    error = InvalidRequest("Blocked.", code="moderation_blocked")
    failed = job(reply_to="outbox/demo/cat").close("failed", NOW, error=error)
    objects, document = replied(failed)
    assert document["error"] == error.body()["error"]
    assert (document["status"], document["images"]) == ("failed", [])
    assert list(objects) == ["outbox/demo/cat.json"]


def test_a_refused_question_is_told_why() -> None:
    box = Box()
    outbox.refuse(cast(Bucket, box), "outbox/demo/cat", InvalidRequest("No.", param="prompt"))
    document = json.loads(box.objects["outbox/demo/cat.json"])
    assert (document["id"], document["status"]) == (None, "failed")
    assert document["error"]["param"] == "prompt"
