"""What is read of the ledger table."""

from __future__ import annotations

from uuid import uuid4

import pytest

from easel.aws import clients
from easel.aws.books import Books
from easel.aws.ledger import Ledger
from easel.identity import Seen
from easel.usage import Balance, Count
from tests.unit.examples import NOW, answer, job

FLARE = "gpt-image-2.5-flare"


@pytest.fixture(scope="module")
def books(environ: dict[str, str]) -> Books:
    return Books(clients.dynamodb(), environ["LEDGER_TABLE"])


@pytest.fixture
def tenant() -> str:
    return f"t{uuid4().hex}"


def counted(books: Books, tenant: str, sk: str, **amounts: int) -> None:
    books.client.put_item(
        TableName=books.table,
        Item={
            "tenant": {"S": tenant},
            "sk": {"S": sk},
            **{name: {"N": str(amount)} for name, amount in amounts.items()},
        },
    )


def test_counts_are_of_the_days_and_the_tenant_and_nothing_else(books: Books, tenant: str) -> None:
    counted(books, tenant, f"count#2026-11-09#{FLARE}#edit", jobs=1)
    counted(books, tenant, f"count#2026-11-10#{FLARE}#edit", jobs=2, images=3, spent=4, hits=5)
    counted(books, tenant, "count#2026-11-12#~#variation", hits=6)
    counted(books, tenant, "count#2026-11-13##", jobs=7)
    counted(books, f"{tenant}x", f"count#2026-11-11#{FLARE}#edit", jobs=8)
    for sk in ("charge#job_1#1", "day#2026-11-11", "month#2026-11"):
        counted(books, tenant, sk, spent=9)
    assert list(books.counts(tenant, "2026-11-10", "2026-11-12")) == [
        Count("2026-11-10", FLARE, "edit", jobs=2, images=3, hits=5, spent=4),
        Count("2026-11-12", "~", "variation", jobs=0, images=0, hits=6, spent=0),
    ]
    assert list(books.counts(tenant, "2026-11-11", "2026-11-11")) == []


def test_more_than_a_page_is_read(books: Books, tenant: str) -> None:
    for day in range(1, 29):
        counted(books, tenant, f"count#2026-02-{day:02}#{'m' * 900}#edit", jobs=day)
    pages: list[int] = []
    events = books.client.meta.events
    events.register("after-call.dynamodb.Query", lambda **_: pages.append(1), unique_id=tenant)
    events.register(
        "provide-client-params.dynamodb.Query",
        lambda params, **_: {**params, "Limit": 5},
        unique_id=f"{tenant}-limit",
    )
    found = list(books.counts(tenant, "2026-02-01", "2026-02-28"))
    events.unregister("after-call.dynamodb.Query", unique_id=tenant)
    events.unregister("provide-client-params.dynamodb.Query", unique_id=f"{tenant}-limit")
    assert [one.jobs for one in found] == list(range(1, 29))
    assert len(pages) > 5


def test_what_the_ledger_writes_is_what_is_read(
    books: Books, environ: dict[str, str], tenant: str
) -> None:
    ledger = Ledger(books.client, environ["JOBS_TABLE"], 30, lambda _: None, books.table)
    assert books.balance(tenant, "month#2026-11") == Balance(0, 0)
    made = [job(tenant, hold=20_000) for _ in range(2)]
    for one in made:
        assert ledger.open(one, f"key#{one.id}", None, [Seen(one.id)])
    assert books.balance(tenant, "month#2026-11") == Balance(40_000, 0)
    leased = ledger.lease(tenant, made[0].id, "me", NOW)
    assert leased
    done = leased.begin(20_000)
    done = done.end(done.attempts[0].settle(13_235)).close("succeeded", NOW, answer=answer())
    ledger.close(done, "me")
    for period in ("month#2026-11", "day#2026-11-22"):
        assert books.balance(tenant, period) == Balance(33_235, 13_235)
    [count] = books.counts(tenant, "2026-11-22", "2026-11-22")
    assert count == Count("2026-11-22", FLARE, "generate", jobs=1, images=1, hits=0, spent=13_235)
