"""Easel with nothing behind it but this process: what is written is looked at, and forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, cast

from easel.aws.jobs import to_item
from easel.bootstrap import Easel
from easel.catalogue import Catalogue
from easel.errors import NotFound
from easel.jobs import Job
from easel.lifecycle import Lifecycle
from easel.outbox import Outbox
from easel.questions import Claim
from easel.requests import Reader
from easel.settings import Settings
from easel.tenants import Tenant
from easel.usage import Balance
from tests.unit.examples import DEMO, NOW

_KEY = re.compile(r"(inputs|images|answers)/demo/[\w./-]+")
_POINTER = re.compile(r"(key|same)#[0-9a-f]{64}")
_LARGEST_ITEM = 400_000


class Book:
    """A ledger that knows no job, and checks what it is told."""

    def job(self, tenant: str, job_id: str) -> None:
        assert re.fullmatch(r"job_[0-9a-f]{35}", job_id)

    def jobs(self, *_: Any) -> Iterator[Job]:
        return iter(())

    def pointer(self, tenant: str, sk: str) -> None:
        assert _POINTER.fullmatch(sk)

    def open(self, job: Job, pointer: str, *_: Any) -> bool:
        assert _POINTER.fullmatch(pointer)
        item = json.dumps(to_item(job), ensure_ascii=False, allow_nan=False).encode()
        assert len(item) < _LARGEST_ITEM, "it fits DynamoDB"
        return True

    def counts(self, tenant: str, first: str, last: str) -> Iterator[Any]:
        assert date.fromisoformat(first) <= date.fromisoformat(last)
        return iter(())

    def balance(self, tenant: str, period: str) -> Balance:
        assert period.partition("#")[0] in ("month", "day")
        return Balance(0, 0)

    def delivered(self, job: Job) -> bool:
        return True


class Store:
    """A bucket that is empty, and checks what it is told."""

    def put(self, key: str, data: bytes, content_type: str) -> None:
        if key.startswith("outbox/"):
            document = json.loads(data)
            assert document["error"].keys() == {"message", "type", "param", "code"}
            assert len(data) < 100_000
            key.encode()
        else:
            assert _KEY.fullmatch(key)
            assert ".." not in key
            assert "//" not in key

    def find(self, *_: Any, **__: Any) -> None:
        return None

    def has(self, key: str) -> bool:
        return False

    def url(self, key: str, seconds: int) -> str:
        return f"https://easel.example/{key}"

    def get(self, key: str) -> bytes:
        raise KeyError(key)


class Line:
    """A queue that takes everything; an inbox in which nothing waits; tenants of which one is."""

    def send(self, tenant: str, job_id: str) -> bool:
        return True

    def naming(self, _: Any) -> Iterator[Any]:
        return iter(())

    def done(self, _: Any) -> None:
        return None

    def claim(self, tenant: str, place: str, claim: Claim, now: float) -> Claim:
        assert place.startswith("outbox/")
        assert len(place.encode()) <= 1_000
        return claim

    def claimed(self, *_: Any) -> None:
        return None

    def take(self, *_: Any) -> dict[str, str]:
        return {}

    def payer(self, name: str) -> Tenant:
        if name != DEMO.name:
            raise NotFound("There is no such tenant.")
        return DEMO

    def tenant(self, key: str) -> dict[str, Any] | None:
        return DEMO.model_dump() if key == "easel-local" else None


class Idle:
    """A worker that leaves every job as it is; no message is for it."""

    def run(self, tenant: str, job_id: str, until: float) -> None:
        assert isinstance(tenant, str)


def easel() -> Easel:
    """Return Easel on the above; its time stands still."""
    book, store, line = cast(Any, Book()), cast(Any, Store()), cast(Any, Line())
    settings, catalogue = Settings(wait_seconds=0), Catalogue.load()

    def clock() -> float:
        return NOW

    outbox = Outbox(store, line, book.job, settings.inbox_wait_seconds, clock)
    parts = (settings, catalogue, book, store)
    queued = Lifecycle(*parts, line, cast(Any, Idle()), outbox, clock, lambda _: None)
    inline = Lifecycle(*parts, None, cast(Any, Idle()), outbox, clock, lambda _: None)
    reader = Reader(catalogue, settings)
    return Easel(
        settings=settings,
        catalogue=catalogue,
        tenants=line,
        limits=line,
        books=book,
        bucket=store,
        reader=reader,
        inbox=line,
        outbox=outbox,
        lifecycle=queued,
        inline=inline,
        clock=clock,
    )
