"""What waits in the inbox, what was used, and whose answer stands; by moto."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import boto3
import pytest

from easel.aws import clients
from easel.aws.inbox import Inbox
from easel.questions import WAITING, Claim, Question, Waiting

NOW = 1_795_350_896
_numbers = count(1)


@pytest.fixture(scope="module")
def inbox(environ: dict[str, str]) -> Inbox:
    return Inbox(clients.dynamodb(), environ["JOBS_TABLE"], 30)


@pytest.fixture
def cat() -> Question:
    """A picture of this test's own tenant."""
    return Question(f"inbox/t{next(_numbers)}/cat.png", "e1", "v1", order(1), NOW + 900)


@pytest.fixture
def asked(cat: Question) -> Waiting:
    """A manifest beside it, which waits for it."""
    manifest = replace(cat, key=f"{cat.folder}m.json")
    return Waiting(manifest, (cat.key, f"{cat.folder}dog.png"), (cat.key,))


def order(number: int) -> str:
    return f"{number:064X}"


def items(inbox: Inbox, tenant: str) -> dict[str, dict[str, object]]:
    found = boto3.resource("dynamodb").Table(inbox.jobs_table).scan()["Items"]
    return {str(one["sk"]): one for one in found if one["tenant"] == tenant}


def test_a_manifest_waits_until_it_is_done(inbox: Inbox, asked: Waiting, cat: Question) -> None:
    inbox.wait(asked)
    [sk] = items(inbox, cat.tenant)
    assert sk.startswith(WAITING)
    assert inbox.waiting(cat.tenant, sk) == asked
    assert list(inbox.naming(cat)) == [asked.question]
    assert list(inbox.naming(replace(cat, key=f"{cat.folder}dog.png"))) == [asked.question]
    assert list(inbox.naming(replace(cat, key=f"{cat.folder}fox.png"))) == []
    inbox.done(asked.question)
    inbox.done(asked.question)
    assert items(inbox, cat.tenant) == {}
    assert inbox.waiting(cat.tenant, sk) is None


def test_another_tenants_manifest_is_not_found(inbox: Inbox, asked: Waiting) -> None:
    inbox.wait(asked)
    other = replace(asked.question, key="inbox/other/cat.png")
    assert list(inbox.naming(other)) == []


def test_of_two_versions_the_newer_waits(inbox: Inbox, asked: Waiting, cat: Question) -> None:
    newer = replace(asked, question=replace(asked.question, version="v2", sequencer=order(2)))
    for one in (asked, newer, asked):
        inbox.wait(one)
    assert list(inbox.naming(cat)) == [newer.question]
    inbox.done(asked.question)
    assert list(inbox.naming(cat)) == [newer.question]


def test_without_versions_or_an_order_the_later_waits(inbox: Inbox, cat: Question) -> None:
    first = replace(cat, key=f"{cat.folder}m.json", version=None, sequencer=order(0))
    second = replace(first, etag="e2")
    for one in (first, second):
        inbox.wait(Waiting(one, (cat.key,)))
    assert list(inbox.naming(cat)) == [second]


def test_a_picture_that_was_used_does_not_wait(inbox: Inbox, cat: Question) -> None:
    for _ in "used while it waits", "told of when it was used":
        inbox.wait(Waiting(cat))
        inbox.use(cat.tenant, {cat.key: cat.content}, NOW)
    inbox.wait(Waiting(cat))
    [item] = items(inbox, cat.tenant).values()
    assert item["used"] == "v1"
    assert item["expires_at"] == NOW + 30 * 86_400
    assert not {"open", "due_at"} & item.keys()
    assert inbox.waiting(cat.tenant, str(item["sk"])) is None
    inbox.done(cat)
    assert len(items(inbox, cat.tenant)) == 1


def test_another_version_of_a_used_picture_waits(inbox: Inbox, cat: Question) -> None:
    newer = replace(cat, version="v2", sequencer=order(2))
    inbox.use(cat.tenant, {cat.key: cat.content}, NOW)
    inbox.wait(Waiting(newer))
    inbox.use(cat.tenant, {cat.key: cat.content}, NOW)
    [sk] = items(inbox, cat.tenant)
    assert inbox.waiting(cat.tenant, sk) == Waiting(newer)


def job(number: int) -> Claim:
    return Claim(order(number), f"v{number}", job=f"job_{number}")


def refusal(number: int) -> Claim:
    return Claim(order(number), f"v{number}", refusal="{}")


def unordered(name: str) -> Claim:
    return Claim(order(0), None, job=name)


@pytest.mark.parametrize(
    ("claims", "stands"),
    [
        ([job(1)], job(1)),
        ([job(1), job(2)], job(2)),
        ([job(2), job(1)], job(2)),
        ([job(9), job(16)], job(16)),
        ([refusal(2), job(1)], refusal(2)),
        ([job(2), refusal(1)], job(2)),
        ([job(1), refusal(2)], refusal(2)),
        ([job(1), refusal(1)], job(1)),
        ([refusal(1), job(1)], job(1)),
        ([unordered("a"), unordered("b")], unordered("b")),
        ([job(1), unordered("a")], unordered("a")),
        ([unordered("a"), job(1)], job(1)),
        ([Claim(None, None, job="old"), job(1)], job(1)),
    ],
)
def test_the_newest_claim_stands(
    inbox: Inbox, cat: Question, claims: list[Claim], stands: Claim
) -> None:
    told = [inbox.claim(cat.tenant, cat.reply_to, claim, NOW) for claim in claims]
    assert told[-1] == stands
    assert inbox.claimed(cat.tenant, cat.reply_to) == stands


def test_a_place_is_nobodys_before(inbox: Inbox, cat: Question) -> None:
    assert inbox.claimed(cat.tenant, cat.reply_to) is None
