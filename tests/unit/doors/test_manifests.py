"""Manifests in the inbox: before their pictures, after them, and without them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from easel import bootstrap, uploads
from easel.bootstrap import Easel
from easel.doors import inbox
from easel.questions import WAITING
from easel.settings import Settings
from easel.tenants import Tenant
from tests.functions.conftest import fail
from tests.unit.doors.test_inbox import ALL_WELL, document, jobs, messages, put, tell, waits
from tests.unit.examples import picture

_folders = count()


@pytest.fixture(scope="module")
def ahead() -> list[float]:
    """Seconds that the clock is ahead by."""
    return [0.0]


@pytest.fixture(scope="module")
def easel(environ: dict[str, str], ahead: list[float]) -> Easel:
    easel = bootstrap.build(Settings.from_env(environ))
    easel.tenants.create(Tenant(name="demo"), easel.clock())
    clock = easel.clock

    def later() -> float:
        return clock() + ahead[0]

    outbox = replace(easel.outbox, clock=later)
    lifecycle = replace(easel.lifecycle, clock=later, outbox=outbox)
    return replace(easel, clock=later, outbox=outbox, lifecycle=lifecycle)


@pytest.fixture(autouse=True)
def now(ahead: list[float]) -> Iterator[None]:
    yield
    ahead[0] = 0.0


@pytest.fixture
def folder() -> str:
    """A folder of this test's own, of characters that S3's events encode."""
    return f"inbox/demo/a b+%2F{next(_folders)}/"


def manifest(**fields: Any) -> bytes:
    return json.dumps({"prompt": "join them", "images": ["a.png"], **fields}).encode()


def test_pictures_first_then_their_manifest(easel: Easel, folder: str) -> None:
    names = ["a.png", "b/ü 雪.webp"]
    for number, name in enumerate(names):
        told = put(easel, folder + name, picture(64 + number, 48, kind=name[-4:].strip(".")))
        assert tell(easel, told) == ALL_WELL
        assert waits(easel, folder + name)
    asked = manifest(images=names, mask="m.png", n=2, size="512x512")
    put(easel, f"{folder}m.png", picture(64, 48, "RGBA"))
    assert tell(easel, put(easel, f"{folder}two.json", asked)) == ALL_WELL
    [job] = jobs(easel, f"{folder}two.json")
    request = job.request
    assert (request.operation, request.parameters["n"]) == ("edit", 2)
    assert [(one.kind, one.width) for one in request.images] == [("png", 64), ("webp", 65)]
    assert request.mask
    assert easel.bucket.get(request.mask.key) == picture(64, 48, "RGBA")
    assert job.version
    assert int(str(job.sequencer), 16)
    assert not [name for name in names if waits(easel, folder + name)]


def test_a_manifest_first_then_its_pictures(easel: Easel, folder: str) -> None:
    key = f"{folder}two.json"
    tell(easel, put(easel, key, manifest(images=["a.png", "b.png"])))
    assert waits(easel, key)
    tell(easel, put(easel, f"{folder}a.png"))
    assert jobs(easel, key) == []
    tell(easel, put(easel, f"{folder}b.png"))
    assert len(jobs(easel, key)) == 1
    assert not [name for name in ("two.json", "a.png", "b.png") if waits(easel, folder + name)]


def test_pictures_may_be_told_of_later_than_their_manifest(easel: Easel, folder: str) -> None:
    told = put(easel, f"{folder}a.png")
    tell(easel, put(easel, f"{folder}one.json", manifest()))
    assert len(jobs(easel, f"{folder}one.json")) == 1
    tell(easel, told)
    assert not waits(easel, f"{folder}a.png")


def test_a_picture_that_comes_between_two_looks_is_seen(easel: Easel, folder: str) -> None:
    told = put(easel, f"{folder}one.json", manifest())
    easel = replace(easel, inbox=bootstrap.build(easel.settings).inbox)

    def between(**_: Any) -> None:
        put(easel, f"{folder}a.png")

    easel.inbox.client.meta.events.register("after-call.dynamodb.PutItem", between)
    tell(easel, told)
    assert len(jobs(easel, f"{folder}one.json")) == 1
    assert not waits(easel, f"{folder}one.json")


def test_one_picture_may_serve_two_manifests(easel: Easel, folder: str) -> None:
    for name in "one", "two":
        tell(easel, put(easel, f"{folder}{name}.json", manifest(prompt=name)))
    tell(easel, put(easel, f"{folder}a.png"))
    for name in "one", "two":
        [job] = jobs(easel, f"{folder}{name}.json")
        assert job.request.prompt == name


def test_a_picture_with_a_prompt_of_its_own_may_be_waited_for_too(
    easel: Easel, folder: str
) -> None:
    tell(easel, put(easel, f"{folder}one.json", manifest()))
    tell(easel, put(easel, f"{folder}a.png", prompt="in red"))
    assert len(jobs(easel, f"{folder}one.json")) == len(jobs(easel, f"{folder}a.png")) == 1


def test_a_variation_needs_no_prompt(easel: Easel, folder: str) -> None:
    put(easel, f"{folder}a.png")
    asked = json.dumps({"operation": "variation", "images": ["a.png"]}).encode()
    tell(easel, put(easel, f"{folder}v.JSON", asked))
    [job] = jobs(easel, f"{folder}v.JSON")
    assert job.request.operation == "variation"


def test_an_upload_by_its_file_id_is_taken(easel: Easel, folder: str) -> None:
    file_id = uploads.new_id(easel.clock())
    easel.bucket.put(uploads.key("demo", file_id), picture(), "image/png")
    tell(easel, put(easel, f"{folder}one.json", manifest(images=[{"file_id": file_id}])))
    [job] = jobs(easel, f"{folder}one.json")
    assert job.request.images[0].key == uploads.key("demo", file_id)


def test_a_picture_may_be_taken_away_once_it_is_used(easel: Easel, folder: str) -> None:
    told = put(easel, f"{folder}a.png")
    asked = put(easel, f"{folder}one.json", manifest())
    tell(easel, asked)
    for key in f"{folder}a.png", f"{folder}one.json":
        easel.bucket.client.delete_object(Bucket=easel.bucket.name, Key=key)
    tell(easel, asked, told)
    [job] = jobs(easel, f"{folder}one.json")
    assert easel.bucket.get(job.request.images[0].key) == picture()
    assert document(easel, f"{folder}one.json") is None
    assert not [name for name in ("one.json", "a.png") if waits(easel, folder + name)]


def test_a_manifest_told_of_again_is_the_same_job_whatever_became_of_its_pictures(
    easel: Easel, folder: str
) -> None:
    put(easel, f"{folder}a.png")
    asked = put(easel, f"{folder}one.json", manifest())
    tell(easel, asked, asked)
    put(easel, f"{folder}a.png", picture(32, 32))
    tell(easel, asked)
    assert len(jobs(easel, f"{folder}one.json")) == 1
    assert document(easel, f"{folder}one.json") is None


def test_told_of_twice_at_once_it_is_one_job_though_a_picture_has_changed(
    easel: Easel, folder: str
) -> None:
    put(easel, f"{folder}a.png")
    asked = put(easel, f"{folder}one.json", manifest())
    slower = bootstrap.build(easel.settings)
    copies = count()

    def meanwhile(**_: Any) -> None:
        if next(copies) == 0:
            put(easel, f"{folder}a.png", picture(32, 32))
            assert tell(easel, asked) == ALL_WELL

    slower.bucket.client.meta.events.register("before-parameter-build.s3.CopyObject", meanwhile)
    assert tell(slower, asked) == ALL_WELL
    [job] = jobs(easel, f"{folder}one.json")
    assert job.request.images[0].width == 32
    assert document(easel, f"{folder}one.json") is None


def test_a_newer_version_of_a_waiting_manifest_replaces_it(easel: Easel, folder: str) -> None:
    key = f"{folder}one.json"
    for number, prompt in enumerate(("old", "new"), 1):
        told = put(easel, key, manifest(prompt=prompt))
        tell(easel, {**told, "sequencer": f"{number:X}"})
    tell(easel, put(easel, f"{folder}a.png"))
    assert [job.request.prompt for job in jobs(easel, key)] == ["new"]


REFUSED: dict[str, tuple[bytes, str, str | None]] = {
    "no JSON": (b"{", "invalid_value", None),
    "too large": (manifest(prompt="x" * (1 << 21)), "request_too_large", None),
    "too deep": (b"[" * 100_000, "invalid_value", None),
    "a way out": (manifest(images=["../b/a.png"]), "invalid_value", "images"),
    "an absolute key": (manifest(mask="/inbox/demo/a.png"), "invalid_value", "mask"),
    "another tenant's": (manifest(images=["inbox/other/a.png"]), "invalid_value", "images"),
    "another tenant's id": (
        manifest(images=[{"file_id": "inbox/other/a.png"}]),
        "invalid_value",
        "images",
    ),
    "a remote URL": (
        manifest(images=[{"image_url": "https://example.com/a.png"}]),
        "invalid_value",
        "images",
    ),
    "seventeen pictures": (
        manifest(images=[f"{number}.png" for number in range(17)]),
        "invalid_value",
        "image",
    ),
    "very many": (manifest(images=[f"{n}" for n in range(50_000)]), "invalid_value", "images"),
    "two for a variation": (
        manifest(operation="variation", images=["a.png", "b.png"]),
        "invalid_value",
        "image",
    ),
    "no picture": (manifest(images=[]), "missing_required_parameter", "image"),
    "no prompt": (manifest(prompt=""), "missing_required_parameter", "prompt"),
    "no such model": (manifest(model="x" * 900_000), "model_not_found", "model"),
    "no such operation": (manifest(operation="generate"), "invalid_value", "operation"),
    "a list of what is none": (manifest(images=[None]), "invalid_value", "images"),
}


@pytest.mark.parametrize(("data", "code", "param"), REFUSED.values(), ids=list(REFUSED))
def test_a_bad_manifest_is_told_so_at_once(
    easel: Easel, folder: str, data: bytes, code: str, param: str | None
) -> None:
    assert tell(easel, put(easel, f"{folder}one.json", data)) == ALL_WELL
    refused = document(easel, f"{folder}one.json")
    assert refused
    assert (refused["error"]["code"], refused["error"]["param"]) == (code, param)
    assert not waits(easel, f"{folder}one.json")


@pytest.mark.parametrize("data", [b"", b"no picture"], ids=str)
def test_a_named_picture_that_is_none_is_named(easel: Easel, folder: str, data: bytes) -> None:
    put(easel, f"{folder}a.png")
    put(easel, f"{folder}b.png", data)
    tell(easel, put(easel, f"{folder}one.json", manifest(images=["a.png", "b.png"])))
    refused = document(easel, f"{folder}one.json")
    assert refused
    assert refused["error"]["code"] == "invalid_image_file"
    assert refused["error"]["message"].startswith("b.png: ")


def test_a_manifest_that_waited_and_is_refused_waits_no_longer(easel: Easel, folder: str) -> None:
    tell(easel, put(easel, f"{folder}one.json", manifest(size="1x1")))
    assert waits(easel, f"{folder}one.json")
    tell(easel, put(easel, f"{folder}a.png"))
    refused = document(easel, f"{folder}one.json")
    assert refused
    assert refused["error"]["param"] == "size"
    assert not waits(easel, f"{folder}one.json")


def test_the_sweep_tells_who_waits_too_long_what_is_missing(
    easel: Easel, folder: str, ahead: list[float]
) -> None:
    tell(easel, put(easel, f"{folder}a.png"))
    asked = manifest(images=["a.png", "b.png", "c/d.png"])
    tell(easel, put(easel, f"{folder}two.json", asked))
    tell(easel, put(easel, f"{folder}alone.png"))
    tell(easel, put(easel, f"{folder}c/d.png"))
    ahead[0] = 890.0
    easel.lifecycle.sweep()
    assert document(easel, f"{folder}two.json") is None
    ahead[0] = 910.0
    easel.lifecycle.sweep()
    refused = document(easel, f"{folder}two.json")
    assert refused
    assert refused["error"]["code"] == "inbox_incomplete"
    assert "Missing after 900 s: 'b.png'." in refused["error"]["message"]
    alone = document(easel, f"{folder}alone.png")
    assert alone
    assert alone["error"]["code"] == "inbox_incomplete"
    assert not [name for name in ("a.png", "two.json", "alone.png") if waits(easel, folder + name)]
    tell(easel, put(easel, f"{folder}b.png"))
    assert jobs(easel, f"{folder}two.json") == [], "its time is over"


# ---- Events that fail, and sweeps that come between ----


def swept(easel: Easel) -> None:
    for tenant, sk in list(easel.lifecycle.ledger.due(int(easel.clock()))):
        if sk.startswith(WAITING):
            easel.lifecycle._look_after(tenant, sk)


def test_a_picture_whose_message_fails_once_is_not_missed(
    easel: Easel, folder: str, ahead: list[float]
) -> None:
    """Its message comes again after the queue's 960 s, the manifest waits for 900."""
    key = f"{folder}m.json"
    tell(easel, put(easel, key, manifest()))
    told = put(easel, f"{folder}a.png")
    failing = bootstrap.build(easel.settings, sleep=lambda _: None)
    fail(failing.inbox.client, "Query", "ThrottlingException")
    assert tell(failing, told) != ALL_WELL
    ahead[0] = 905
    swept(easel)
    assert document(easel, key) is None
    ahead[0] = 961
    assert tell(easel, told) == ALL_WELL
    assert len(jobs(easel, key)) == 1


def test_a_sweep_that_comes_late_refuses_nothing_that_is_a_job(
    easel: Easel, folder: str, ahead: list[float]
) -> None:
    key = f"{folder}m.json"
    tell(easel, put(easel, key, manifest()))
    told = put(easel, f"{folder}a.png")
    ahead[0] = 901
    waiting = list(easel.lifecycle.ledger.due(int(easel.clock())))
    failing = bootstrap.build(easel.settings, sleep=lambda _: None)
    fail(failing.inbox.client, "DeleteItem", "ThrottlingException")  # it dies once it is a job
    assert tell(failing, told) != ALL_WELL
    assert len(jobs(easel, key)) == 1
    for tenant, sk in waiting:
        if sk.startswith(WAITING):
            easel.lifecycle._look_after(tenant, sk)
    assert document(easel, key) is None
    assert not waits(easel, key)


def test_who_fails_again_and_again_is_told_and_nobody_else(easel: Easel, folder: str) -> None:
    key = f"{folder}m.json"
    tell(easel, put(easel, key, manifest()))
    event = messages(put(easel, f"{folder}a.png"))
    event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "3"
    failing = bootstrap.build(easel.settings, sleep=lambda _: None)
    fail(failing.inbox.client, "TransactWriteItems", "ThrottlingException")
    assert inbox.answer(failing, event, easel.clock() + 60) != ALL_WELL
    told = document(easel, key)
    assert told
    assert "again and again" in told["error"]["message"]
    assert inbox.answer(easel, event, easel.clock() + 60) == ALL_WELL
    assert len(jobs(easel, key)) == 1
    assert document(easel, f"{folder}a.png") is None
