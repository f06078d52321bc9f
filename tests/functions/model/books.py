"""What must be true of every job and every tenant's books: after each step, and in the end."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from easel.jobs import Job
from tests.functions.model.world import Opened, World, images

_MOST_ROUNDS = 8


def audit(world: World) -> None:
    """Check everything as it is now; others may be in the middle of it."""
    jobs = world.jobs()
    _audit_money(world, [job for job, _ in jobs])
    for job, row in jobs:
        assert ("open" in row) == (job.open or job.owing), "the sweep sees what is to be done"
        assert ("expires_at" in row) == (not job.open), "what is closed goes, in time"
        assert (job.lease is not None) == (job.status == "running")
        _audit_bills(world, job)
        _audit_end(world, job)
    assert {job.id for job, _ in jobs} == {one.job.id for one in world.known.opened}
    keyed = [one for one in world.known.opened if one.pointer.startswith("key#")]
    keys = Counter((one.job.tenant, one.pointer) for one in keyed)
    assert all(count == 1 for count in keys.values()), "a key is one job"


def _audit_money(world: World, jobs: list[Job]) -> None:
    """``committed`` = Σ charges + Σ holds of open jobs, per tenant and period; and the counters."""
    books: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    charges = {}
    for job in jobs:
        money = Counter(committed=job.hold if job.open else job.charge, spent=job.charge)
        for period, _ in job.periods:
            books[job.tenant, period].update(money)
        if job.open:
            continue
        count = f"count#{job.day}#{job.request.model}#{job.request.operation}"
        books[job.tenant, count].update(jobs=1, images=len(images(job)), spent=job.charge)
        for attempt in job.attempts:
            key = (job.tenant, f"charge#{job.id}#{attempt.number}")
            charges[key] = (job.month, attempt.charge, attempt.state == "unknown")
    agree(world.rows(world.ledger.ledger_table))
    for key, hits in world.known.hits.items():
        books[key].update(hits=hits)
    rows = {(row["tenant"], row["sk"]): row for row in world.rows(world.ledger.ledger_table)}
    assert charges == {
        key: (row["month"], row["amount"], row["estimated"])
        for key, row in rows.items()
        if key[1].startswith("charge#")
    }
    sums = {
        key: Counter({name: int(row[name]) for name in row if name not in ("tenant", "sk")})
        for key, row in rows.items()
        if not key[1].startswith("charge#")
    }
    assert sums == books
    for job in jobs:
        for period, budget in job.periods:
            assert budget is None or sums[job.tenant, period]["committed"] <= budget


def agree(rows: Iterable[Mapping[str, Any]]) -> None:
    """Check that the ledger's rows say the same, whatever the jobs say: Σ charges = Σ spent.

    So per tenant and counter, day and month.
    """
    charged: Counter[tuple[str, str]] = Counter()
    counted: Counter[tuple[str, str]] = Counter()
    spent: Counter[tuple[str, str]] = Counter()
    for row in rows:
        tenant, (kind, *of) = row["tenant"], row["sk"].split("#")
        if kind == "charge":
            count = f"count#{row['day']}#{row['model']}#{row['operation']}"
            for sk in (count, f"day#{row['day']}", f"month#{row['month']}"):
                charged[tenant, sk] += int(row["amount"])
        else:
            within = [row["sk"], f"day#{of[0]}", f"month#{of[0][:7]}"]
            for sk in within if kind == "count" else ():
                counted[tenant, sk] += int(row.get("spent", 0))
            spent[tenant, row["sk"]] += int(row.get("spent", 0))
    assert charged == counted == spent


def _audit_bills(world: World, job: Job) -> None:
    """Every bill is charged, or will be; and nothing else is, unless nobody can know."""
    bills = world.known.bills.get(job.id, {})
    assert set(bills) <= {one.number for one in job.attempts}, "every bill has its attempt"
    assert len(bills) <= world.easel.settings.max_paid_attempts
    assert sum(one.hold for one in job.attempts) <= job.hold
    assert job.charge == (0 if job.open else sum(one.charge or 0 for one in job.attempts))
    for attempt in job.attempts:
        if attempt.state == "answered":
            assert attempt.charge == bills[attempt.number]
        elif attempt.state == "unknown":
            assert attempt.charge == attempt.hold >= bills.get(attempt.number, 0)
            assert world.known.blind(job.id), "what was surely not billed is not charged"
        else:
            assert job.open, "no job ends with a call under way"


def _audit_end(world: World, job: Job) -> None:
    """A closed job has images or an error, and stays as it is."""
    if job.open:
        return
    assert job.status != "cancelled" or job.id not in world.known.joined
    if job.status == "succeeded":
        assert images(job)
        assert images(job) <= world.known.stored
        assert job.attempts[-1].state == "answered"
    assert (job.status == "succeeded") == (job.answer is not None)
    assert (job.status == "failed") == (job.error is not None)
    noted = {"delivered": False, "untold": False, "replied": False, "due_at": 0}
    passing = {**noted, "reply_to": None}
    end = job.model_copy(update=passing)
    assert world.known.ends.setdefault(job.id, end) == end, "a closed job does not change"


def settle(world: World) -> None:
    """Let time pass until there is nothing left to do; check that nothing was lost."""
    for _ in range(_MOST_ROUNDS):
        left = [job for job, row in world.jobs() if "open" in row]
        if not left:
            break
        world.now = max(world.now, *(job.due_at for job in left)) + 1
        world.known.messages.clear()
        world.sweep().go()
        for message in list(world.known.messages):
            world.work(*message).go()
        audit(world)
    jobs = [job for job, _ in world.jobs()]
    assert [job.id for job in jobs if job.open or job.owing] == [], "everything comes to its end"
    bus = world.easel.settings.event_bus
    assert set(world.known.told) == {(job.id, job.status) for job in jobs if bus}
    for place, one in _newest(world).items():
        found = world.easel.bucket.get(f"{place}.json")
        assert json.loads(found)["id"] == one.job.id, "the newest version's answer stays"


def _newest(world: World) -> dict[str, Opened]:
    """Return whose answer belongs at each place of the outbox."""
    asked = [one for one in world.known.opened if one.job.reply_to]
    asked.sort(key=lambda one: str(one.job.sequencer))
    return {str(one.job.reply_to): one for one in asked}
