"""The judgement: every job's end, every paid call, every micro-dollar, by tenant.

| word | means |
|---|---|
| lost | a job whose caller can read neither images nor an error |
| bought twice | a paid call while an earlier one's answer was in hand, or beyond MaxPaidAttempts |
| left behind | a hold without an open job: committed is not the charges and the open jobs' holds |
| unbooked | a call that upstream has billed and nobody is charged for |

The paid calls are the stand-in's own count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.stack.chaos.trials import Trial
from tests.stack.running import Running

_plain = TypeDeserializer().deserialize
Item = dict[str, Any]
OPEN = ("queued", "running")


@dataclass
class Book:
    """What the tables, the bucket and the stand-in hold of one tenant."""

    jobs: list[Item] = field(default_factory=list)
    months: list[Item] = field(default_factory=list)
    charges: list[Item] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    """The attempts whose answers are in hand: complete in the bucket."""
    paid: list[Item] = field(default_factory=list)

    def bought_twice(self, permitted: int) -> bool:
        """Whether more was paid than is permitted, or an attempt came after one in hand."""
        attempts = max((len(json.loads(job["attempts"])) for job in self.jobs), default=0)
        return len(self.paid) > permitted or any(number < attempts for number in self.answered)

    @property
    def left_behind(self) -> bool:
        """Whether anything is held without an open job, or spent without a charge."""
        charged = sum(row["amount"] for row in self.charges)
        held = sum(job["hold"] for job in self.jobs if job["status"] in OPEN)
        committed = sum(month["committed"] for month in self.months)
        spent = sum(month.get("spent", 0) for month in self.months)
        return bool((committed, spent) != (charged + held, charged))

    @property
    def unbooked(self) -> bool:
        """Whether upstream has billed more calls, or more money, than are charged."""
        billed = sum(call["billed_micro_dollars"] for call in self.paid)
        return len(self.paid) > len(self.charges) or billed > sum(
            row["amount"] for row in self.charges
        )


def read(running: Running) -> dict[str, Book]:
    """Return the books of all tenants."""
    found: dict[str, Book] = defaultdict(Book)
    for row in _scan(running, "JobsTable"):
        if row["sk"].startswith("job#"):
            found[row["tenant"]].jobs.append(row)
    for row in _scan(running, "LedgerTable"):
        kind = row["sk"].partition("#")[0]
        if kind in ("month", "charge"):
            book = found[row["tenant"]]
            (book.months if kind == "month" else book.charges).append(row)
    for key in _answers(running):
        _, tenant, _, attempt, _ = key.split("/")
        found[tenant].answered.append(int(attempt))
    for call in running.standin.calls(containing="a fox for chaos-"):
        if call["billed"]:
            found[call["prompt"].rpartition(" ")[2]].paid.append(call)
    return found


def _scan(running: Running, table: str) -> Iterator[Item]:
    pages = running.aws("dynamodb").get_paginator("scan")
    for page in pages.paginate(TableName=running.names[table], ConsistentRead=True):
        for item in page["Items"]:
            yield {name: _plain(value) for name, value in item.items()}


def _answers(running: Running) -> Iterator[str]:
    pages = running.aws("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=running.bucket, Prefix="images/"):
        for one in page.get("Contents", ()):
            if one["Key"].endswith("/answer.json"):
                yield one["Key"]


@dataclass
class Verdict:
    """What became of one trial."""

    trial: Trial
    book: Book

    @property
    def lost(self) -> bool:
        """Whether the caller can read neither images nor an error, or a job never ended."""
        return self.trial.read is None or any(job["status"] in OPEN for job in self.book.jobs)

    @property
    def bought_twice(self) -> bool:
        """Whether more was paid for the trial's job than should be."""
        return self.book.bought_twice(self.trial.case.attempts)

    @property
    def harm(self) -> list[str]:
        """What must not be, struck or not, in words."""
        wrong = {
            "lost": self.lost,
            "bought twice": self.bought_twice,
            "left behind": self.book.left_behind,
            "unbooked": self.book.unbooked,
        }
        return [words for words, so in wrong.items() if so]

    @property
    def faults(self) -> list[str]:
        """All that is wrong with a trial that was to be struck, in words."""
        trial, book = self.trial, self.book
        wrong = {
            "never struck": not trial.hit,
            f"ended in {trial.read!r}, not in {trial.case.ends}": not self._as_expected(),
            f"{len(book.jobs)} jobs": len(book.jobs) != 1,
        }
        return self.harm + [words for words, so in wrong.items() if so]

    def _as_expected(self) -> bool:
        unknown, images = self.trial.read == "upstream_outcome_unknown", self.trial.read == "images"
        return {
            "images": images,
            "unknown": unknown,
            "images or unknown": images or unknown,
            "failed": not images and not unknown and not self.book.charges,
        }[self.trial.case.ends]

    def __str__(self) -> str:
        trial, statuses = self.trial, [job["status"] for job in self.book.jobs]
        attempts = [json.loads(job["attempts"]) for job in self.book.jobs]
        return (
            f"{trial.case.fault}: {', '.join(self.faults)} "
            f"({trial.tenant} {trial.job} {statuses} {attempts} paid {len(self.book.paid)}"
            f" {trial.trouble or ''})"
        )


def judge(running: Running, trials: list[Trial]) -> list[Verdict]:
    """Return the verdict on each trial, all books read at once."""
    books = read(running)
    return [Verdict(trial, books.get(trial.tenant, Book())) for trial in trials]


def dead_letters(running: Running) -> list[str]:
    """Return the messages that nobody could work."""
    asked = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 0}
    return [
        message["Body"]
        for name in ("WorkDeadLetters", "InboxDeadLetters")
        for message in running.aws("sqs")
        .receive_message(QueueUrl=running.names[name], **asked)
        .get("Messages", ())
    ]


def table(verdicts: list[Verdict]) -> str:
    """Return the table by fault, a line each, and their sum."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.trial.case.fault].append(verdict)
    rows = [_row(fault, group) for fault, group in groups.items()]
    harm = ("lost", "bought twice", "left behind", "unbooked")
    head = ("fault", "jobs", "struck", *harm, "slowest recovery")
    rows = [head, *rows, _row("all", verdicts)]
    wide = max(len(row[0]) for row in rows)
    return "\n".join(
        f"{row[0]:{wide}}  "
        + "  ".join(f"{cell:>{len(name)}}" for cell, name in zip(row[1:], head[1:], strict=True))
        for row in rows
    )


def _row(fault: str, group: list[Verdict]) -> tuple[str, ...]:
    counts = (
        len(group),
        sum(bool(one.trial.hit) for one in group),
        sum(one.lost for one in group),
        sum(one.bought_twice for one in group),
        sum(one.book.left_behind for one in group),
        sum(one.book.unbooked for one in group),
    )
    slowest = max((one.trial.recovery for one in group), default=0)
    return (fault, *map(str, counts), f"{slowest:.0f} s")
