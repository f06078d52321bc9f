"""Objects of the inbox: their order, their tenants, and where their answers belong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from easel.questions import LONGEST_KEY, Question, incomplete

CAT = Question("inbox/demo/pets/cat.png", "e", "v", "0A", 7)


def told(**changes: str) -> Question:
    return Question.of_event({"key": "inbox/demo/a+%2B%252F%C3%A9.png", "eTag": "e", **changes}, 9)


def test_an_events_key_is_decoded_once() -> None:
    assert told().key == "inbox/demo/a +%2Fé.png"


def test_sequencers_compare_as_aws_says() -> None:
    """ "Right pad the shorter value with zeros, and then do a lexicographical comparison."""
    given = ("0", "0055AED6DCD90281E5AA", "0055AED6DD02", "0c0f6f405d6ed209e1", "FF")
    rising = [told(sequencer=each).sequencer for each in given]
    assert rising == sorted(rising)
    assert told().sequencer == rising[0]


@pytest.mark.parametrize(
    ("key", "tenant", "name"),
    [
        ("inbox/demo/pets/cat.png", "demo", "pets/cat.png"),
        ("inbox/cat.png", "cat.png", ""),
        ("inbox/demo/", "demo", ""),
        ("inbox//cat.png", "-", ""),
        ("inbox/", "-", ""),
    ],
)
def test_whose_it_is_is_told_by_its_prefix(key: str, tenant: str, name: str) -> None:
    question = replace(CAT, key=key)
    assert (question.tenant, question.name) == (tenant, name)


def test_versions_without_ids_are_told_apart_by_their_contents() -> None:
    assert told(versionId="v").content == "v"
    assert told().idempotency_key != told(eTag="f").idempotency_key
    assert told().idempotency_key != told(sequencer="1").idempotency_key


def test_an_answer_has_its_questions_name() -> None:
    assert CAT.reply_to == "outbox/demo/pets/cat.png"


@pytest.mark.parametrize("letter", ["k", "é", "雪"])
def test_a_long_name_is_cut_between_two_letters(letter: str) -> None:
    room = LONGEST_KEY - len("inbox/demo/")
    long = replace(CAT, key="inbox/demo/" + letter * (room // len(letter.encode())))
    other = replace(long, key=f"{long.key[:-1]}z")
    assert len(f"{long.reply_to}-9.jpeg".encode()) <= LONGEST_KEY
    assert long.reply_to.startswith(f"outbox/demo/{letter}{letter}")
    assert long.reply_to != other.reply_to


def test_who_waited_in_vain_is_told_for_what() -> None:
    manifest = replace(CAT, key="inbox/demo/pets/two.json")
    missing = ("inbox/demo/pets/a cat.png", "inbox/demo/pets/b/c.png")
    error = incomplete(manifest, missing, 900)
    assert "'a cat.png', 'b/c.png'" in error.message
    assert (error.code, error.status) == ("inbox_incomplete", 400)
    assert "no manifest" in incomplete(CAT, (), 900).message
