"""The inbox: a picture is put, its answer appears in the outbox under the same name."""

import json
from collections.abc import Mapping
from email.header import Header
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
