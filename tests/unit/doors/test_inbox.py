"""The inbox: an object under a tenant's prefix starts an edit."""

from __future__ import annotations

import json
from email.header import Header
from itertools import count
from typing import Any
from urllib.parse import quote_plus

import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import inbox
from easel.doors.references import BEGINNING_BYTES
from easel.jobs import Job
from easel.questions import WAITING
from easel.settings import Settings
from easel.tenants import Tenant
from tests.unit.doors.events import event
from tests.unit.examples import picture

_names = (f"a cat+{number}.png" for number in count())


@pytest.fixture(scope="module")
def easel(environ: dict[str, str]) -> Easel:
    easel = bootstrap.build(Settings.from_env(environ))
    easel.tenants.create(Tenant(name="demo"), easel.clock())
    return easel


@pytest.fixture
def key() -> str:
    """A key of this test's own, of characters that S3's events encode."""
    return f"inbox/demo/pets/{next(_names)}"


def put(easel: Easel, key: str, data: bytes | None = None, **metadata: str) -> dict[str, Any]:
    """Write the object; return what S3 says of it."""
    written = easel.bucket.client.put_object(
        Bucket=easel.bucket.name,
        Key=key,
        Body=picture() if data is None else data,
        Metadata=metadata,
    )
    return {
        "key": quote_plus(key, safe="/"),
        "versionId": written["VersionId"],
        "eTag": written["ETag"].strip('"'),
        "sequencer": "0C0F6F405D6ED209E1",
    }


def messages(*objects: dict[str, Any]) -> dict[str, Any]:
    """Return the queue's event, one message per object."""
    template = event("edit", "inbox")["Records"][0]
    records = []
    for number, one in enumerate(objects):
        put = json.loads(template["body"])["Records"][0]
        put["s3"]["object"] = one
        body = json.dumps({"Records": [put]})
        records.append({**template, "messageId": str(number), "body": body})
    return {"Records": records}


def tell(easel: Easel, *objects: dict[str, Any]) -> dict[str, Any]:
    return inbox.answer(easel, messages(*objects), easel.clock() + 60)


ALL_WELL: dict[str, Any] = {"batchItemFailures": []}


def jobs(easel: Easel, key: str) -> list[Job]:
    """Return the open jobs whose answer belongs beside this question."""
    due = [one for one in easel.lifecycle.ledger.due(2**33) if one[1].startswith("job_")]
    opened = (easel.lifecycle.find(*one) for one in due)
    return [job for job in opened if job.reply_to == key.replace("inbox", "outbox", 1)]


def waits(easel: Easel, key: str) -> bool:
    """Tell whether the object waits for others."""
    due = [due for due in easel.lifecycle.ledger.due(2**33) if due[1].startswith(WAITING)]
    waiting = [easel.inbox.waiting(*one) for one in due]
    return key in [one.question.key for one in waiting if one]


def document(easel: Easel, key: str) -> dict[str, Any] | None:
    found = easel.bucket.find(f"{key.replace('inbox', 'outbox', 1)}.json")
    return json.loads(found.data) if found else None


def test_a_picture_with_a_prompt_is_edited(easel: Easel, key: str) -> None:
    assert tell(easel, put(easel, key, prompt="in red", quality="low", n="2")) == ALL_WELL
    [job] = jobs(easel, key)
    assert (job.tenant, job.request.operation, job.request.prompt) == ("demo", "edit", "in red")
    assert (job.request.parameters["quality"], job.request.parameters["n"]) == ("low", 2)
    [image] = job.request.images
    assert easel.bucket.get(image.key) == picture()


def test_a_prompt_beyond_ascii_comes_as_rfc_2047(easel: Easel, key: str) -> None:
    tell(easel, put(easel, key, prompt=Header("en röd kätt", "utf-8").encode()))
    assert [job.request.prompt for job in jobs(easel, key)] == ["en röd kätt"]


def test_metadata_of_the_writers_own_is_no_parameter(easel: Easel, key: str) -> None:
    tell(easel, put(easel, key, prompt="x", mtime="1795350896", author="me"))
    [job] = jobs(easel, key)
    assert job.request.parameters.keys() == {"quality", "size"}


def test_metadata_is_named_as_headers_are(easel: Easel, key: str) -> None:
    tell(
        easel,
        put(easel, key, **{"prompt": "x", "output-format": "jpeg", "output_compression": "9"}),
    )
    [job] = jobs(easel, key)
    assert job.request.parameters["output_format"] == "jpeg"
    assert job.request.parameters["output_compression"] == 9


@pytest.mark.parametrize("name", ["operation", "images", "mask", "markup"])
def test_what_only_a_manifest_says_is_refused(easel: Easel, key: str, name: str) -> None:
    tell(easel, put(easel, key, **{"prompt": "x", name: "mask.png"}))
    refused = document(easel, key)
    assert refused
    assert (refused["error"]["param"], "put a manifest" in refused["error"]["message"]) == (
        name,
        True,
    )
    assert jobs(easel, key) == []


@pytest.mark.parametrize("metadata", [{}, {"note": "prompt"}])
def test_a_picture_without_a_prompt_waits(easel: Easel, key: str, metadata: dict[str, str]) -> None:
    assert tell(easel, put(easel, key, **metadata)) == ALL_WELL
    assert jobs(easel, key) == []
    assert document(easel, key) is None
    assert waits(easel, key)


def test_an_older_version_of_it_does_not(easel: Easel, key: str) -> None:
    older = put(easel, key)
    put(easel, key, picture(32, 32))
    tell(easel, older)
    assert not waits(easel, key)


@pytest.mark.parametrize("data", [b"", b"notes", b"%PDF-1.7"], ids=str)
@pytest.mark.parametrize("metadata", [{}, {"prompt": "in red"}], ids=["without", "with a prompt"])
def test_what_is_no_picture_is_told_so_at_once(
    easel: Easel, key: str, data: bytes, metadata: dict[str, str]
) -> None:
    assert tell(easel, put(easel, key, data, **metadata)) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert refused["error"]["code"] == "invalid_image_file"
    assert not waits(easel, key)


def test_an_object_that_has_gone_is_told_so(easel: Easel, key: str) -> None:
    gone = {"key": quote_plus(key, safe="/"), "eTag": "0", "sequencer": "1"}
    assert tell(easel, gone) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert refused["error"]["code"] == "not_found"


def test_a_picture_is_kept_without_being_loaded(easel: Easel, key: str) -> None:
    large = picture() + b"\0" * (BEGINNING_BYTES * 2)
    asked: list[str] = []
    easel = bootstrap.build(easel.settings)
    easel.bucket.client.meta.events.register(
        "before-parameter-build.s3.GetObject", lambda params, **_: asked.append(params["Range"])
    )
    tell(easel, put(easel, key, large, prompt="in red"))
    assert asked == [f"bytes=0-{BEGINNING_BYTES - 1}"]
    [job] = jobs(easel, key)
    [image] = job.request.images
    assert (image.bytes, image.sha256) == (len(large), None)
    found = easel.bucket.client.head_object(Bucket=easel.bucket.name, Key=image.key)
    assert image.etag == found["ETag"]


def test_an_event_that_comes_twice_is_one_job(easel: Easel, key: str) -> None:
    told = put(easel, key, prompt="in red")
    tell(easel, told, told)
    tell(easel, told)
    assert len(jobs(easel, key)) == 1


def test_another_version_is_another_job(easel: Easel, key: str) -> None:
    first = put(easel, key, prompt="in red")
    second = put(easel, key, prompt="in blue")
    tell(easel, first, second)
    assert {job.request.prompt for job in jobs(easel, key)} == {"in red", "in blue"}


def test_a_question_that_cannot_succeed_is_told_why(easel: Easel, key: str) -> None:
    assert tell(easel, put(easel, key, b"no picture", prompt="in red")) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert refused["error"]["code"] == "invalid_image_file"
    assert jobs(easel, key) == []


def test_so_is_one_under_no_tenants_prefix(easel: Easel) -> None:
    key = "inbox/nobody/cat.png"
    assert tell(easel, put(easel, key, prompt="in red")) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert refused["error"]["code"] == "not_found"


def test_so_is_one_of_a_suspended_tenant(easel: Easel) -> None:
    easel.tenants.create(Tenant(name="late"), easel.clock())
    question = put(easel, "inbox/late/cat.png", prompt="x")
    easel.tenants.change("late", {"suspended": True})
    assert tell(easel, question) == ALL_WELL
    refused = document(easel, "inbox/late/cat.png")
    assert refused
    assert refused["error"]["code"] == "tenant_suspended"
    easel.tenants.change("late", {"suspended": False})
    assert tell(easel, put(easel, "inbox/late/cat.png", prompt="x")) == ALL_WELL
    assert len(jobs(easel, "inbox/late/cat.png")) == 1


def test_a_question_that_names_no_model_gets_the_tenants(easel: Easel) -> None:
    tenant = Tenant(name="plain", default_model="gpt-image-2", default_quality="low")
    easel.tenants.create(tenant, easel.clock())
    tell(easel, put(easel, "inbox/plain/cat.png", prompt="x"))
    [request] = [job.request for job in jobs(easel, "inbox/plain/cat.png")]
    assert (request.model, request.parameters["quality"]) == ("gpt-image-2", "low")


@pytest.mark.parametrize("key", ["inbox/cat.png", "inbox//cat.png", "inbox/demo/"])
def test_so_is_one_that_is_nobodys(easel: Easel, key: str) -> None:
    assert tell(easel, put(easel, key, prompt="in red")) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert "inbox/{tenant}/" in refused["error"]["message"]


@pytest.mark.parametrize("key", ["inbox/", "inbox/demo/", "inbox/demo/pets/", "elsewhere/cat.png"])
def test_a_folders_marker_is_nothing(easel: Easel, key: str) -> None:
    before = easel.bucket.client.list_objects_v2(Bucket=easel.bucket.name)["KeyCount"]
    told = {"key": key, "eTag": "0", "sequencer": "1", "size": 0}
    assert tell(easel, told) == ALL_WELL
    after = easel.bucket.client.list_objects_v2(Bucket=easel.bucket.name)["KeyCount"]
    assert after == before


def test_the_longest_key_is_answered(easel: Easel) -> None:
    key = "inbox/demo/" + "x" * (1024 - len("inbox/demo/"))
    assert tell(easel, put(easel, key, prompt="in red")) == ALL_WELL
    opened = [one for one in easel.lifecycle.ledger.due(2**33) if one[1].startswith("job_")]
    places = [str(easel.lifecycle.find(*one).reply_to) for one in opened]
    [place] = [place for place in places if "xxxx" in place]
    assert len(f"{place}-9.jpeg") <= 1024


@pytest.mark.parametrize("prompt", ["=?klingon?b?abc?=", "=?utf-8?b?a?="])
def test_a_prompt_that_cannot_be_read_is_told(easel: Easel, key: str, prompt: str) -> None:
    assert tell(easel, put(easel, key, prompt=prompt)) == ALL_WELL
    refused = document(easel, key)
    assert refused
    assert refused["error"]["param"] == "prompt"


def test_s3s_test_event_is_nothing(easel: Easel) -> None:
    made = messages({})
    made["Records"][0]["body"] = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})
    assert inbox.answer(easel, made, easel.clock() + 60) == ALL_WELL


def test_a_message_that_fails_does_not_take_the_others_along(easel: Easel, key: str) -> None:
    failed = tell(easel, {"eTag": "no key"}, put(easel, key, prompt="in red"))
    assert failed == {"batchItemFailures": [{"itemIdentifier": "0"}]}
    assert len(jobs(easel, key)) == 1
