"""The outbox: answers beside their questions' names; and the newest version's answer stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from easel.aws import clients
from easel.aws.bucket import Bucket
from easel.aws.inbox import Inbox
from easel.errors import InvalidRequest
from easel.jobs import Job
from easel.outbox import Outbox
from easel.questions import EVENT_SECONDS, Question, Waiting
from tests.unit.examples import NOW, image, job, succeeded

CAT = Question("inbox/demo/a/cat.png", "e", "v1", f"{1:064X}", NOW + 900)
PLACE = "outbox/demo/a/cat.png"
NO = InvalidRequest("No.", param="prompt")


@dataclass
class Box:
    """A bucket in memory that keeps the order of what was written. ``before`` sees each key."""

    objects: dict[str, bytes] = field(default_factory=dict)
    before: list[Callable[[str], None]] = field(default_factory=list)

    def copy(self, source: str, key: str) -> None:
        self._write(key, source.encode())

    def has(self, key: str) -> bool:
        return key in self.objects

    def put(self, key: str, data: bytes, content_type: str) -> None:
        assert content_type == "application/json"
        self._write(key, data)

    def _write(self, key: str, data: bytes) -> None:
        for one in self.before:
            one(key)
        self.objects.pop(key, None)
        self.objects[key] = data


@dataclass
class Desk:
    """An outbox, what is in it, and the jobs it knows."""

    outbox: Outbox
    box: Box
    jobs: dict[str, Job]
    ahead: list[float]

    def reply(self, made: Job) -> None:
        self.jobs[made.id] = made
        self.outbox.reply(made)

    def document(self, place: str = PLACE) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.box.objects[f"{place}.json"])
        return document


@pytest.fixture
def desk(environ: dict[str, str]) -> Desk:
    client = clients.dynamodb()
    for item in client.scan(TableName=environ["JOBS_TABLE"])["Items"]:
        key = {"tenant": item["tenant"], "sk": item["sk"]}
        client.delete_item(TableName=environ["JOBS_TABLE"], Key=key)
    box, jobs, ahead = Box(), dict[str, Job](), [0.0]
    inbox = Inbox(client, environ["JOBS_TABLE"], 30)
    outbox = Outbox(
        cast(Bucket, box), inbox, lambda _, name: jobs.get(name), 900, lambda: NOW + ahead[0]
    )
    return Desk(outbox, box, jobs, ahead)


def version(number: int) -> Question:
    return replace(CAT, version=f"v{number}", sequencer=f"{number:064X}")


def made(number: int = 1, *keys: str, kind: str = "png") -> Job:
    """Return the job of a version of the question; its pictures have these keys."""
    asked = version(number)
    images = [image(key, kind=kind) for key in keys or (f"made-{number}",)]
    return succeeded(*images, reply_to=PLACE, version=asked.version, sequencer=asked.sequencer)


def test_one_picture_has_its_questions_name(desk: Desk) -> None:
    one = made(1, "made", kind="webp")
    desk.reply(one)
    assert desk.box.objects[f"{PLACE}.webp"] == b"made"
    assert list(desk.box.objects)[-1] == f"{PLACE}.json", "the document comes last"
    assert desk.document() == {
        "id": one.id,
        "status": "succeeded",
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "cost_usd": 0.013,
        "images": [f"{PLACE}.webp"],
        "error": None,
        "version": "v1",
    }


def test_several_pictures_are_numbered(desk: Desk) -> None:
    desk.reply(made(1, "x", "y"))
    assert desk.document()["images"] == [f"{PLACE}-0.png", f"{PLACE}-1.png"]
    assert desk.box.objects[f"{PLACE}-1.png"] == b"y"


def test_a_failed_job_leaves_its_error(desk: Desk) -> None:
    error = InvalidRequest("Blocked.", code="moderation_blocked")
    desk.reply(job(reply_to=PLACE).close("failed", NOW, error=error))
    assert desk.document()["error"] == error.body()["error"]
    assert (desk.document()["status"], desk.document()["images"]) == ("failed", [])
    assert list(desk.box.objects) == [f"{PLACE}.json"]


def test_a_refused_question_is_told_why(desk: Desk) -> None:
    desk.outbox.refuse(CAT, NO)
    assert desk.document() == {
        "id": None,
        "status": "failed",
        "version": "v1",
        **NO.body(),
    }


def test_a_refusal_quotes_no_more_than_can_be_kept(desk: Desk) -> None:
    desk.outbox.refuse(CAT, InvalidRequest("x" * 500_000, param="y" * 500_000))
    error = desk.document()["error"]
    assert (len(error["message"]), len(error["param"])) == (2000, 2000)


def test_what_has_waited_in_vain_is_refused_once(desk: Desk) -> None:
    manifest = replace(CAT, key="inbox/demo/a/m.json")
    desk.outbox.inbox.wait(Waiting(manifest, ("inbox/demo/a/x.png",), ("inbox/demo/a/x.png",)))
    [sk] = _waiting(desk)
    desk.outbox.expire("demo", sk, unbound)
    assert desk.box.objects == {}, "its time is not over"
    desk.ahead.append(desk.ahead.pop() + 901)
    desk.outbox.expire("demo", sk, unbound)
    assert desk.document("outbox/demo/a/m.json")["error"]["code"] == "inbox_incomplete"
    assert _waiting(desk) == []
    desk.box.objects.clear()
    desk.outbox.expire("demo", sk, unbound)
    assert desk.box.objects == {}


def unbound(_: Question) -> bool:
    """Tell that it became no job."""
    return False


def test_what_became_a_job_meanwhile_is_not_refused(desk: Desk) -> None:
    manifest = replace(CAT, key="inbox/demo/a/m.json")
    desk.outbox.inbox.wait(Waiting(manifest, ("inbox/demo/a/x.png",), ("inbox/demo/a/x.png",)))
    [sk] = _waiting(desk)
    desk.ahead.append(desk.ahead.pop() + 901)
    desk.outbox.expire("demo", sk, lambda question: question == manifest)
    assert (desk.box.objects, _waiting(desk)) == ({}, [])


def test_what_lacks_nothing_waits_on_once_for_its_event(desk: Desk) -> None:
    """S3's message of the picture has failed, and is hidden for longer than one may wait."""
    manifest = replace(CAT, key="inbox/demo/a/m.json")
    desk.outbox.inbox.wait(Waiting(manifest, ("inbox/demo/a/x.png",), ("inbox/demo/a/x.png",)))
    [sk] = _waiting(desk)
    desk.box.objects["inbox/demo/a/x.png"] = b""
    desk.ahead.append(desk.ahead.pop() + 901)
    for _ in range(2):
        desk.outbox.expire("demo", sk, unbound)
    assert list(desk.box.objects) == ["inbox/demo/a/x.png"]
    assert _waiting(desk) == [sk]
    desk.ahead.append(desk.ahead.pop() + EVENT_SECONDS)
    desk.outbox.expire("demo", sk, unbound)
    assert desk.document("outbox/demo/a/m.json")["error"]["code"] == "inbox_incomplete"
    assert _waiting(desk) == []


def _waiting(desk: Desk) -> list[str]:
    table = desk.outbox.inbox.jobs_table
    items = clients.dynamodb().scan(TableName=table)["Items"]
    return [item["sk"]["S"] for item in items if "due_at" in item]


# ---- The newest version's answer stays ----


def test_an_older_version_that_ends_later_changes_nothing(desk: Desk) -> None:
    desk.reply(made(2))
    desk.reply(made(1))
    assert desk.document()["version"] == "v2"
    assert desk.box.objects[f"{PLACE}.png"] == b"made-2"


def test_a_newer_version_replaces_an_older(desk: Desk) -> None:
    desk.reply(made(1))
    desk.reply(made(2))
    assert desk.document()["version"] == "v2"
    assert desk.box.objects[f"{PLACE}.png"] == b"made-2"


def test_a_newer_version_that_was_refused_stays_so(desk: Desk) -> None:
    desk.outbox.refuse(version(2), NO)
    desk.reply(made(1))
    assert (desk.document()["version"], desk.document()["id"]) == ("v2", None)
    assert f"{PLACE}.png" not in desk.box.objects


def test_an_older_refusal_that_comes_late_changes_nothing(desk: Desk) -> None:
    desk.reply(made(2))
    desk.outbox.refuse(version(1), NO)
    assert desk.document()["error"] is None


def test_a_refusal_does_not_take_back_the_same_versions_pictures(desk: Desk) -> None:
    desk.reply(made(1))
    desk.outbox.refuse(version(1), NO)
    assert desk.document()["error"] is None


def test_a_late_success_replaces_the_same_versions_refusal(desk: Desk) -> None:
    desk.outbox.refuse(version(1), NO)
    desk.reply(made(1))
    assert desk.document()["error"] is None


@pytest.mark.parametrize("newer", ["its pictures", "a refusal"])
@pytest.mark.parametrize("ending", [".png", ".json"])
def test_whoever_writes_last_leaves_the_newest(desk: Desk, newer: str, ending: str) -> None:
    """The newer version answers wholly just before the older writes one of its objects."""

    def meanwhile(key: str) -> None:
        if key == f"{PLACE}{ending}":
            desk.box.before.clear()
            if newer == "a refusal":
                desk.outbox.refuse(version(2), NO)
            else:
                desk.reply(made(2))

    desk.box.before.append(meanwhile)
    desk.reply(made(1))
    assert desk.document()["version"] == "v2"
    if newer == "its pictures":
        assert desk.box.objects[f"{PLACE}.png"] == b"made-2"


def test_so_it_is_among_three(desk: Desk) -> None:
    def then(number: int, next_step: Callable[[str], None] | None) -> Callable[[str], None]:
        def meanwhile(_: str) -> None:
            desk.box.before[:] = [next_step] if next_step else []
            desk.reply(made(number))

        return meanwhile

    desk.box.before.append(then(3, then(2, None)))
    desk.reply(made(1))
    assert desk.document()["version"] == "v3"
    assert desk.box.objects[f"{PLACE}.png"] == b"made-3"


def test_a_death_between_two_writes_is_repaired_when_the_answer_comes_again(desk: Desk) -> None:
    class Death(Exception):
        pass

    def die(_: str) -> None:
        raise Death

    def meanwhile(key: str) -> None:
        desk.box.before.clear()
        desk.reply(made(2))
        desk.box.before.append(lambda key: die(key) if key.endswith(".json") else None)

    desk.box.before.append(meanwhile)
    with pytest.raises(Death):
        desk.reply(made(1))
    assert desk.box.objects[f"{PLACE}.png"] == b"made-1", "beside the newer's document"
    desk.box.before.clear()
    desk.reply(made(1))
    assert desk.box.objects[f"{PLACE}.png"] == b"made-2"
    assert desk.document()["version"] == "v2"


def test_without_an_order_the_later_answer_stays(desk: Desk) -> None:
    first, second = made(1), made(2)
    for one in (first, second):
        desk.reply(one.model_copy(update={"sequencer": None, "version": None}))
    assert desk.document()["id"] == second.id
