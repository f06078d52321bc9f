"""The inbox: a picture is put, its answer appears in the outbox under the same name."""

import json
from collections.abc import Mapping
from contextlib import suppress
from email.header import Header
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.stack.running import Running, decoded, png, unique, until

CAT = png(640, 480)


class Question(NamedTuple):
    """An object for the inbox. ``words``: the prompt as metadata carries it, if not as it is."""

    name: str
    prompt: str
    words: str | None = None
    data: bytes = CAT
    tenant: str = "demo"
    metadata: Mapping[str, str] = MappingProxyType({})

    @property
    def reply(self) -> str:
        return f"outbox/{self.tenant}/{self.name}"


def ask(running: Running, one: Question) -> dict[str, Any]:
    """Put the question and wait for the document, which is written last; return it."""
    running.aws("s3").put_object(
        Bucket=running.bucket,
        Key=f"inbox/{one.tenant}/{one.name}",
        Body=one.data,
        Metadata={"prompt": one.words or one.prompt, **one.metadata},
    )
    until(lambda: f"{one.reply}.json" in running.objects(one.reply))
    document: dict[str, Any] = json.loads(running.object(f"{one.reply}.json"))
    return document


UMLAUTS = unique("eine rötliche Füchsin im Schnee, 雪")


@pytest.mark.parametrize(
    ("path", "prompt", "words"),
    [
        ("cat.png", unique("a hat"), None),
        ("my pictures/a red  cat.png", unique("a hat"), None),
        ("Bücher/猫.png", unique("a hat"), None),
        ("a+b/1+1=2 & more%20.png", unique("a hat"), None),
        ("encoded.png", UMLAUTS, Header(UMLAUTS, "utf-8", maxlinelen=10_000).encode()),
    ],
    ids=["plain", "spaces", "unicode", "plus", "rfc 2047"],
)
def test_the_answer_lies_beside_its_questions_name(running, path, prompt, words):
    one = Question(f"{unique('run')}/{path}", prompt, words)
    document = ask(running, one)
    assert document["error"] is None
    assert document["status"] == "succeeded"
    assert document["images"] == [f"{one.reply}.png"]
    assert decoded(running.object(f"{one.reply}.png")).format == "PNG"
    (call,) = running.standin.calls(containing=prompt)
    assert call["prompt"] == document["prompt"] == prompt
    assert (call["inputs"][0]["width"], call["inputs"][0]["height"]) == (640, 480)
    (charge,) = running.charges(document["id"])
    assert document["cost_usd"] == float(charge["amount"]) / 1_000_000


def test_metadata_names_further_parameters_and_several_answers_are_numbered(running):
    one = Question(
        f"{unique('run')}/cat.png", unique("a hat"), metadata={"size": "512x512", "n": "2"}
    )
    document = ask(running, one)
    assert document["images"] == [f"{one.reply}-0.png", f"{one.reply}-1.png"]
    for key in document["images"]:
        assert decoded(running.object(key)).size == (512, 512)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"data": b"this is no picture"}, "invalid_image_file"), ({"tenant": "nobody"}, "not_found")],
)
def test_what_becomes_no_job_is_answered_with_the_error(running, changes, code):
    one = Question(f"{unique('run')}/cat.png", unique("a hat"))._replace(**changes)
    document = ask(running, one)
    assert (document["status"], document["error"]["code"]) == ("failed", code)
    assert document["error"].keys() == {"message", "type", "param", "code"}
    assert running.objects(one.reply) == [f"{one.reply}.json"]
    assert running.standin.calls(containing=one.prompt) == []


def put(running: Running, key: str, data: bytes, **metadata: str) -> str:
    """Put an object; return its version."""
    made = running.aws("s3").put_object(
        Bucket=running.bucket, Key=key, Body=data, Metadata=metadata
    )
    return str(made["VersionId"])


def document(running: Running, key: str, version: str | None = None) -> dict[str, Any]:
    """Wait for the answer of this version, or of any; return its document."""
    place = f"out{key.removeprefix('in')}"

    def look() -> dict[str, Any] | None:
        if f"{place}.json" not in running.objects(place):
            return None
        found: dict[str, Any] = json.loads(running.object(f"{place}.json"))
        return found if version in (None, found["version"]) else None

    found = until(look)
    assert found is not None
    return found


def test_a_manifest_waits_for_its_pictures_and_its_mask(running):
    folder, prompt = f"inbox/demo/{unique('run')}", unique("a hat for each")
    asked = {"prompt": prompt, "images": ["a cat.png", "b/猫+.png"], "mask": "m.png", "n": 2}
    put(running, f"{folder}/ask.json", json.dumps(asked).encode())
    until(lambda: waiting(running, f"{folder}/ask.json"))
    for name in ("a cat.png", "b/猫+.png"):
        put(running, f"{folder}/{name}", CAT)
    put(running, f"{folder}/m.png", png(640, 480, (0, 0, 0, 0)))
    found = document(running, f"{folder}/ask.json")
    assert found["error"] is None
    assert [decoded(running.object(key)).format for key in found["images"]] == ["PNG", "PNG"]
    (call,) = running.standin.calls(containing=prompt)
    assert [one["field"] for one in call["inputs"]] == ["image[]", "image[]", "mask"]
    assert running.paid(prompt) == 1
    until(lambda: not waiting(running, folder))


def test_a_variation_is_asked_for_by_a_manifest(running):
    folder = f"inbox/demo/{unique('run')}"
    put(running, f"{folder}/cat.png", CAT)
    asked = {"operation": "variation", "images": ["cat.png"], "size": "512x512"}
    put(running, f"{folder}/ask.json", json.dumps(asked).encode())
    found = document(running, f"{folder}/ask.json")
    assert [decoded(running.object(key)).size for key in found["images"]] == [(512, 512)]


def test_what_waits_in_vain_is_told_what_is_missing(running):
    folder = f"inbox/demo/{unique('run')}"
    asked = {"prompt": "x", "images": ["here.png", "never.png"]}
    put(running, f"{folder}/here.png", CAT)
    put(running, f"{folder}/ask.json", json.dumps(asked).encode())
    until(lambda: len(waiting(running, folder)) == 2)
    until(lambda: lapsed(running, folder), pause=1)
    found = document(running, f"{folder}/ask.json")
    assert found["error"]["code"] == "inbox_incomplete"
    assert "'never.png'" in found["error"]["message"]
    assert "'here.png'" not in found["error"]["message"]
    assert document(running, f"{folder}/here.png")["error"]["code"] == "inbox_incomplete"
    assert waiting(running, folder) == []


def lapsed(running: Running, prefix: str) -> bool:
    """Let the wait under the prefix be over, even of what an event that comes late renews."""
    dynamodb = running.aws("dynamodb")
    for item in waiting(running, prefix):
        with suppress(dynamodb.exceptions.ConditionalCheckFailedException):  # swept meanwhile
            dynamodb.update_item(
                TableName=running.names["JobsTable"],
                Key={"tenant": {"S": "demo"}, "sk": {"S": item["sk"]}},
                UpdateExpression="SET due_at = :past",
                ConditionExpression="attribute_exists(due_at)",
                ExpressionAttributeValues={":past": {"N": "1"}},
            )
    assert running.invoke("Sweep", {})[0] is None
    return not waiting(running, prefix)


def waiting(running: Running, prefix: str) -> list[dict[str, Any]]:
    """Return what waits under keys that begin so."""
    rows = running.rows("JobsTable", "inbox#")
    return [row for row in rows if "due_at" in row and row["key"].startswith(prefix)]


@pytest.mark.parametrize("newer", ["answered", "refused"])
def test_an_older_version_that_is_done_later_does_not_replace_the_newer(running, newer):
    key, prompt = f"inbox/demo/{unique('run')}/cat.png", unique("a hat")
    running.standin.rule(containing=f"{prompt} old", delay_seconds=4)
    put(running, key, CAT, prompt=f"{prompt} old")
    until(lambda: running.standin.calls(containing=f"{prompt} old"))
    data = CAT if newer == "answered" else b"no picture"
    version = put(running, key, data, prompt=f"{prompt} new")
    found = document(running, key, version)
    (older,) = running.jobs(f"{prompt} old")
    until(lambda: "open" not in running.job(older))
    assert running.job(older)["status"] == "succeeded"
    assert document(running, key) == found
    assert running.paid(prompt) == (2 if newer == "answered" else 1)


def test_the_operators_command_puts_and_brings_back(running, tmp_path):
    picture = tmp_path / "a cat.png"
    picture.write_bytes(CAT)
    prompt = unique("ein Hut, 雪")
    words = [str(picture), "n=2", "--prompt", prompt, "--size", "512x512", "--out", str(tmp_path)]
    done = running.easel("inbox", "put", *words, check=False)
    assert done.returncode == 0, done.stderr
    paths = done.stdout.splitlines()
    assert [decoded(Path(path).read_bytes()).size for path in paths] == [(512, 512)] * 2
    assert "cost_usd 0.0" in done.stderr
    assert running.paid(prompt) == 1
    picture.write_bytes(b"no picture")
    failed = running.easel("inbox", "put", *words, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "easel: a cat.png: " in failed.stderr
    assert "invalid_image_file" in failed.stderr
