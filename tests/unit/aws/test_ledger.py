"""The book of jobs and money: every expression, and what becomes of the money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, zip_longest
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from easel.aws import clients
from easel.aws.jobs import Pointer, to_text
from easel.aws.ledger import Ledger
from easel.errors import EaselError, UpstreamBusy
from easel.identity import Seen
from easel.jobs import FIRST_LOOK_SECONDS, LEASE_SECONDS, Job, LeaseLost
from tests.unit.examples import NOW, answer, image, job, request

DAY = 86_400
_tenants = (f"tenant-{number}" for number in count())


@pytest.fixture
def pauses() -> list[float]:
    """What the ledger slept, in seconds."""
    return []


@pytest.fixture
def ledger(environ: dict[str, str], pauses: list[float]) -> Ledger:
    return Ledger(
        clients.dynamodb(),
        environ["JOBS_TABLE"],
        retention_days=30,
        sleep=pauses.append,
        ledger_table=environ["LEDGER_TABLE"],
    )


@pytest.fixture
def tenant(ledger: Ledger) -> Iterator[str]:
    """A tenant of this test's own, since the tests of the module share the tables."""
    with somebody(ledger) as name:
        yield name


@contextmanager
def somebody(ledger: Ledger) -> Iterator[str]:
    """Name a new tenant, and forget all of it afterwards: moto copies all there is per write."""
    name = next(_tenants)
    yield name
    for table in (ledger.jobs_table, ledger.ledger_table):
        for sk in rows(ledger, name, table):
            key = {"tenant": {"S": name}, "sk": {"S": sk}}
            ledger.client.delete_item(TableName=table, Key=key)


def seen(*jobs: Job) -> Pointer:
    """Return what points to these jobs, all of one request."""
    return Pointer(jobs[0].request.fingerprint(), to_text(Seen(one.id) for one in jobs))


def claimed(ledger: Ledger, made: Job, pointer: str, before: Pointer | None = None) -> bool:
    """Open the job, after those that the pointer named before."""
    earlier = before.seen if before else ()
    return ledger.open(made, pointer, before, [*earlier, Seen(made.id)])


def rows(ledger: Ledger, tenant: str, table: str | None = None) -> dict[str, dict[str, Any]]:
    """Return a tenant's items by sort key; of the ledger table unless another is named."""
    found = ledger.client.query(
        TableName=table or ledger.ledger_table,
        KeyConditionExpression="tenant = :tenant",
        ExpressionAttributeValues={":tenant": {"S": tenant}},
    )
    plain = TypeDeserializer().deserialize
    items = ({name: plain(value) for name, value in item.items()} for item in found["Items"])
    return {item["sk"]: item for item in items}


def month(ledger: Ledger, tenant: str) -> dict[str, int]:
    row = rows(ledger, tenant).get("month#2026-11", {})
    return {name: int(row[name]) for name in ("committed", "spent") if name in row}


def opened(ledger: Ledger, tenant: str, **changes: Any) -> Job:
    made = job(tenant, **changes)
    assert claimed(ledger, made, f"same#{made.id}")
    return made


def leased(ledger: Ledger, made: Job, owner: str = "me", now: int = NOW) -> Job:
    taken = ledger.lease(made.tenant, made.id, owner, now)
    assert taken
    return taken


def ended(running: Job, *charges: int, now: int = NOW) -> Job:
    """Return the job succeeded; its attempts answered, each at its charge."""
    for charge in charges:
        running = running.begin(running.hold)
        running = running.end(running.attempts[-1].settle(charge))
    return running.close("succeeded", now, answer=answer(image(), image()))


# --- open ---


def test_a_new_job_is_there_with_its_hold(ledger: Ledger, tenant: str) -> None:
    made = job(tenant, hold=700, reply_to="outbox/x")
    assert claimed(ledger, made, "same#f") is True
    assert ledger.job(tenant, made.id) == made
    assert ledger.pointer(tenant, "same#f") == seen(made)
    assert month(ledger, tenant) == {"committed": 700}


def test_everything_of_a_job_survives(ledger: Ledger, tenant: str) -> None:
    asked = request(parameters={"future": {"x": [1, 2.5, None, "é"]}}, resample=(256, 256))
    whole = ended(job(tenant, request=asked, reply_to="a"), 3, 4).model_copy(
        update={"error": {"message": "m", "status": 400, "retry": None}, "refusals": 2}
    )
    assert claimed(ledger, whole, "same#whole")
    assert ledger.job(tenant, whole.id) == whole


def test_another_tenants_job_cannot_be_read(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    assert ledger.job("other", made.id) is None
    assert ledger.pointer("other", f"same#{made.id}") is None


def test_a_pointer_that_is_taken_opens_nothing(ledger: Ledger, tenant: str) -> None:
    first, second = job(tenant, hold=1), job(tenant, hold=2)
    assert claimed(ledger, first, "key#k") is True
    assert claimed(ledger, second, "key#k") is False
    assert ledger.job(tenant, second.id) is None
    assert month(ledger, tenant) == {"committed": 1}


def test_a_stale_pointer_is_taken_over_once(ledger: Ledger, tenant: str) -> None:
    first, second, third = (job(tenant, hold=hold) for hold in (1, 10, 100))
    assert claimed(ledger, first, "same#f") is True
    assert claimed(ledger, second, "same#f", seen(first)) is True
    assert claimed(ledger, third, "same#f", seen(first)) is False
    pointer = ledger.pointer(tenant, "same#f")
    assert pointer
    assert pointer == seen(first, second)
    assert month(ledger, tenant) == {"committed": 11}


def test_a_stale_pointer_may_have_gone(ledger: Ledger, tenant: str) -> None:
    assert claimed(ledger, job(tenant), "same#f", seen(job(tenant))) is True


def test_our_own_job_already_there_is_ours(ledger: Ledger, tenant: str) -> None:
    made = job(tenant, hold=700)
    assert claimed(ledger, made, "same#f") is True
    assert claimed(ledger, made, "same#f") is True
    assert month(ledger, tenant) == {"committed": 700}


def test_pointers_expire_with_the_images(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    pointer = rows(ledger, tenant, ledger.jobs_table)[f"same#{made.id}"]
    assert pointer["expires_at"] == NOW + 31 * DAY


def test_an_open_job_does_not_expire(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    assert "expires_at" not in rows(ledger, tenant, ledger.jobs_table)[f"job#{made.id}"]


# --- lease ---


def test_a_queued_job_is_taken(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    taken = leased(ledger, made)
    assert (taken.status, taken.lease, taken.started_at) == ("running", "me", NOW)
    assert taken.due_at == NOW + LEASE_SECONDS
    assert ledger.job(tenant, made.id) == taken


def test_a_held_job_is_not(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    leased(ledger, made)
    assert ledger.lease(tenant, made.id, "you", NOW + LEASE_SECONDS - 1) is None
    kept = ledger.job(tenant, made.id)
    assert kept
    assert kept.lease == "me"


def test_a_lapsed_one_is_and_keeps_its_start(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    leased(ledger, made)
    taken = leased(ledger, made, "you", NOW + LEASE_SECONDS)
    assert (taken.lease, taken.started_at) == ("you", NOW)


def test_a_closed_or_unknown_job_is_nobodys(ledger: Ledger, tenant: str) -> None:
    taken = leased(ledger, opened(ledger, tenant))
    ledger.close(ended(taken), "me")
    assert ledger.lease(tenant, taken.id, "you", NOW + DAY) is None
    assert ledger.lease(tenant, "job_0", "you", NOW) is None
    assert ledger.job(tenant, "job_0") is None


def test_a_lease_is_renewed_by_its_holder_alone(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    mine = leased(ledger, made)
    ledger.renew(mine, NOW + 20)
    assert ledger.lease(tenant, made.id, "you", NOW + LEASE_SECONDS) is None
    leased(ledger, made, "you", NOW + 20 + LEASE_SECONDS)
    with pytest.raises(LeaseLost):
        ledger.renew(mine, NOW + 90)


def test_a_closed_job_is_not_renewed(ledger: Ledger, tenant: str) -> None:
    mine = leased(ledger, opened(ledger, tenant))
    ledger.close(ended(mine), "me")
    with pytest.raises(LeaseLost):
        ledger.renew(mine, NOW)


# --- update, begin, close: only with the lease ---


WRITES: dict[str, Callable[[Ledger, Job, str | None], Job]] = {
    "update": lambda ledger, held, lease: ledger.update(held, lease),
    "begin": lambda ledger, held, lease: ledger.begin(
        held.model_copy(update={"lease": lease}).begin(5), 5
    ),
    "close": lambda ledger, held, lease: ledger.close(ended(held, 3), lease),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
@pytest.mark.parametrize("lease", ["you", None])
def test_without_the_lease_nothing_is_written(
    ledger: Ledger, tenant: str, write: Callable[..., Job], lease: str | None
) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    with pytest.raises(LeaseLost):
        write(ledger, held, lease)
    assert ledger.job(tenant, held.id) == held
    assert rows(ledger, tenant).keys() == {"month#2026-11", "day#2026-11-22"}
    assert month(ledger, tenant) == {"committed": 700}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_a_closed_job_stays_as_it_is(
    ledger: Ledger, tenant: str, write: Callable[..., Job]
) -> None:
    held = leased(ledger, opened(ledger, tenant))
    closed = ledger.close(ended(held, 3), "me")
    before = rows(ledger, tenant)
    with pytest.raises(LeaseLost):
        write(ledger, held, "me")
    assert ledger.job(tenant, held.id) == closed
    assert rows(ledger, tenant) == before


def test_a_job_that_is_given_back_can_be_taken_when_it_is_due(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant))
    back = {"status": "queued", "lease": None, "due_at": NOW + 200, "refusals": 3}
    given = ledger.update(held.model_copy(update=back), "me")
    assert ledger.job(tenant, held.id) == given
    assert ledger.lease(tenant, given.id, "you", NOW + 199) is None
    assert leased(ledger, given, "you", NOW + 200).refusals == 3


def test_a_job_that_nobody_holds_is_closed_by_nobodys_lease(ledger: Ledger, tenant: str) -> None:
    queued = opened(ledger, tenant, hold=700)
    ledger.close(queued.close("cancelled", NOW), None)
    assert month(ledger, tenant) == {"committed": 0, "spent": 0}


def test_a_further_attempt_has_a_hold_of_its_own(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    begun = ledger.begin(held.begin(50), 50)
    assert begun.hold == 750
    assert ledger.job(tenant, held.id) == begun
    assert month(ledger, tenant) == {"committed": 750}


# --- close: the books ---


def test_close_turns_the_hold_into_the_charge(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    closed = ledger.close(ended(held, 300, now=NOW + 9), "me")
    assert ledger.job(tenant, held.id) == closed
    books = rows(ledger, tenant)
    assert month(ledger, tenant) == {"committed": 300, "spent": 300}
    assert books[f"charge#{held.id}#1"] == {
        "tenant": tenant,
        "sk": f"charge#{held.id}#1",
        "amount": 300,
        "estimated": False,
        "month": "2026-11",
        "day": "2026-11-22",
        "model": "gpt-image-2.5-flare",
        "operation": "generate",
        "at": NOW + 9,
    }
    counted = books["count#2026-11-22#gpt-image-2.5-flare#generate"]
    assert (counted["jobs"], counted["images"], counted["spent"]) == (1, 2, 300)


def test_every_attempt_has_its_row(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700)).begin(700)
    lost = held.end(held.attempts[0].lose())
    ledger.close(ended(lost, 300), "me")
    books = rows(ledger, tenant)
    first, second = (books[f"charge#{held.id}#{number}"] for number in (1, 2))
    assert (first["amount"], first["estimated"]) == (700, True)
    assert (second["amount"], second["estimated"]) == (300, False)
    assert month(ledger, tenant) == {"committed": 1000, "spent": 1000}


def test_an_unbilled_failure_releases_all(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    ledger.close(held.close("failed", NOW, error=UpstreamBusy("x")), "me")
    assert month(ledger, tenant) == {"committed": 0, "spent": 0}
    assert not [sk for sk in rows(ledger, tenant) if sk.startswith("charge#")]


def test_a_charge_above_its_hold_is_owed(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    ledger.close(ended(held, 900), "me")
    assert month(ledger, tenant) == {"committed": 900, "spent": 900}


def test_the_books_are_of_the_period_of_the_opening(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700))
    ledger.close(ended(held, 300, now=NOW + 9 * DAY), "me")
    assert [sk for sk in rows(ledger, tenant) if sk.startswith("month#")] == ["month#2026-11"]


def test_a_closed_job_expires(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant))
    ledger.close(ended(held, now=NOW + 9), "me")
    item = rows(ledger, tenant, ledger.jobs_table)[f"job#{held.id}"]
    assert item["expires_at"] == NOW + 9 + 30 * DAY


type Step = tuple[str, int]
STEP = st.tuples(st.sampled_from(["lose", "refuse", "reopen", "intrude"]), st.integers(0, 900))
END = st.tuples(st.sampled_from(["succeed", "fail", "leave"]), st.integers(0, 900))
LIVES = st.lists(st.tuples(st.lists(STEP, max_size=3), END), min_size=1, max_size=3)


@given(LIVES)
@settings(
    max_examples=12,
    phases=[Phase.generate],  # a failing life is short enough to read as it is
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_committed_is_always_charges_and_open_holds(
    ledger: Ledger, lives: list[tuple[list[Step], Step]]
) -> None:
    with somebody(ledger) as tenant:
        jobs = [leased(ledger, opened(ledger, tenant, hold=500 + index)) for index in range(3)]
        for turn in zip_longest(*([*steps, end] for steps, end in lives)):
            for index, step in enumerate(turn):
                jobs[index] = lived(ledger, jobs[index], *(step or ("leave", 0)))
        assert {each.id: ledger.job(tenant, each.id) for each in jobs} == {
            each.id: each for each in jobs
        }
        books = rows(ledger, tenant)
        charges = sum(row["amount"] for sk, row in books.items() if sk.startswith("charge#"))
        held = sum(each.hold for each in jobs if each.open)
        assert books["month#2026-11"].get("spent", 0) == charges
        assert charges == sum(each.charge for each in jobs)
        assert books["month#2026-11"]["committed"] == charges + held


def lived(ledger: Ledger, held: Job, step: str, amount: int) -> Job:
    """Take a step of a job's life, and return the job as it then is."""
    if not held.open or step == "leave":
        return held
    if step == "reopen":
        assert claimed(ledger, held, f"same#{held.id}", seen(held))
        return held
    if step == "intrude":
        with pytest.raises(LeaseLost):
            ledger.close(ended(held, amount), "another's")
        return held
    begun = ledger.begin(held.begin(amount), amount)
    if step == "lose":
        return ledger.update(begun.end(begun.attempts[-1].lose()), "me")
    if step == "succeed":
        settled = begun.end(begun.attempts[-1].settle(amount // 2))
        return ledger.close(settled.close("succeeded", NOW, answer=answer()), "me")
    refused = ledger.update(begun.refuse(), "me")
    if step == "fail":
        return ledger.close(refused.close("failed", NOW, error=UpstreamBusy("x")), "me")
    return refused


# --- reopen ---


def failure(ledger: Ledger, tenant: str, **changes: Any) -> Job:
    """Return a job that has failed, nothing bought."""
    held = leased(ledger, opened(ledger, tenant, hold=700, **changes))
    return ledger.close(held.close("failed", NOW + 9, error=UpstreamBusy("x")), "me")


def counted(ledger: Ledger, tenant: str) -> dict[str, int]:
    """Return how many jobs each day has counted."""
    books = rows(ledger, tenant)
    return {sk.split("#")[1]: int(books[sk]["jobs"]) for sk in books if sk.startswith("count#")}


def test_a_job_reopened_is_due_and_holds_in_todays_month(ledger: Ledger, tenant: str) -> None:
    first = failure(ledger, tenant)
    now = NOW + 10 * DAY
    again = first.reopen(800, now)
    ledger.reopen(first, again)
    assert ledger.job(tenant, first.id) == again
    books = rows(ledger, tenant)
    assert [int(books[f"month#2026-{month}"]["committed"]) for month in (11, 12)] == [0, 800]
    item = rows(ledger, tenant, ledger.jobs_table)[f"job#{first.id}"]
    assert (item["open"], "expires_at" in item) == ("open", False)
    assert due(ledger, tenant, now + FIRST_LOOK_SECONDS) == [first.id]


def test_a_job_reopened_is_paid_and_counted_once(ledger: Ledger, tenant: str) -> None:
    first = failure(ledger, tenant)
    assert counted(ledger, tenant) == {"2026-11-22": 1}
    ledger.reopen(first, first.reopen(800, NOW + DAY))
    assert counted(ledger, tenant) == {"2026-11-22": 0}
    held = leased(ledger, first, now=NOW + DAY)
    ledger.close(ended(held, 300, now=NOW + DAY), "me")
    assert counted(ledger, tenant) == {"2026-11-22": 0, "2026-11-23": 1}
    assert month(ledger, tenant) == {"committed": 300, "spent": 300}
    assert "expires_at" in rows(ledger, tenant, ledger.jobs_table)[f"job#{first.id}"]


@pytest.mark.parametrize("change", ["reopened", "failed again", "failed and billed", "gone"])
def test_only_what_is_still_as_it_was_read_is_reopened(
    ledger: Ledger, tenant: str, change: str
) -> None:
    first = failure(ledger, tenant)
    if change == "gone":
        key = {"tenant": {"S": tenant}, "sk": {"S": f"job#{first.id}"}}
        ledger.client.delete_item(TableName=ledger.jobs_table, Key=key)
    else:
        ledger.reopen(first, first.reopen(800, NOW + 9))
    if change.startswith("failed"):
        held = leased(ledger, first, now=NOW + 9)
        if change == "failed and billed":
            held = held.begin(800)
            held = held.end(held.attempts[0].lose())
        later = NOW + 9 + (change == "failed again")
        ledger.close(held.close("failed", later, error=UpstreamBusy("x")), "me")
    before = rows(ledger, tenant), rows(ledger, tenant, ledger.jobs_table)
    with pytest.raises(LeaseLost):
        ledger.reopen(first, first.reopen(900, NOW + 20))
    assert (rows(ledger, tenant), rows(ledger, tenant, ledger.jobs_table)) == before


@pytest.mark.parametrize("late", ["told", "put off"])
def test_who_tells_the_first_end_late_leaves_the_reopened_job_alone(
    ledger: Ledger, tenant: str, late: str
) -> None:
    first = failure(ledger, tenant, untold=True)
    again = first.reopen(800, NOW + 20)
    ledger.reopen(first, again)
    if late == "told":
        ledger.told(first)
    else:
        ledger.put_off(first, NOW + DAY)
    assert ledger.job(tenant, first.id) == again
    assert due(ledger, tenant, NOW + 20 + FIRST_LOOK_SECONDS) == [first.id]


# --- cancel, join ---


def test_cancelling_releases_the_hold(ledger: Ledger, tenant: str) -> None:
    queued = opened(ledger, tenant, hold=700)
    cancelled = ledger.cancel(queued, NOW + 5)
    assert (cancelled.status, cancelled.finished_at, cancelled.charge) == ("cancelled", NOW + 5, 0)
    assert ledger.job(tenant, queued.id) == cancelled
    assert month(ledger, tenant) == {"committed": 0, "spent": 0}
    item = rows(ledger, tenant, ledger.jobs_table)[f"job#{queued.id}"]
    assert ("open" in item, item["expires_at"]) == (False, NOW + 5 + 30 * DAY)


def test_what_an_earlier_attempt_cost_stays_charged(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant, hold=700)).begin(700)
    lost = ledger.update(held.end(held.attempts[0].lose()), "me")
    again = ledger.begin(lost.begin(50), 50)
    back = {"status": "queued", "lease": None}
    given = ledger.update(again.refuse().model_copy(update=back), "me")
    assert month(ledger, tenant) == {"committed": 750}
    assert ledger.cancel(given, NOW).charge == 700
    assert month(ledger, tenant) == {"committed": 700, "spent": 700}
    assert rows(ledger, tenant)[f"charge#{held.id}#1"]["estimated"] is True


def moved(ledger: Ledger, queued: Job, change: str) -> None:
    """Let another have the job after it was read."""
    if change == "joined":
        ledger.join(queued)
        return
    if change == "cancelled":
        ledger.cancel(queued, NOW)
        return
    held = leased(ledger, queued)
    back = {"status": "queued", "lease": None}
    if change == "charged":
        begun = held.begin(700)
        held = begun.end(begun.attempts[0].lose())
    elif change == "held":
        held = ledger.begin(held.begin(50), 50).refuse().model_copy(update={"refusals": 0})
    elif change == "refused":
        held = held.model_copy(update={"refusals": 1})
    if change == "closed":
        ledger.close(ended(held, 300), "me")
    elif change != "leased":
        ledger.update(held.model_copy(update=back), "me")


@pytest.mark.parametrize(
    "change", ["leased", "closed", "charged", "held", "refused", "joined", "cancelled"]
)
def test_what_has_changed_since_it_was_read_is_not_cancelled(
    ledger: Ledger, tenant: str, change: str
) -> None:
    queued = opened(ledger, tenant, hold=700)
    moved(ledger, queued, change)
    before = ledger.job(tenant, queued.id), rows(ledger, tenant)
    with pytest.raises(LeaseLost):
        ledger.cancel(queued, NOW)
    assert (ledger.job(tenant, queued.id), rows(ledger, tenant)) == before


def test_a_job_that_was_given_back_can_be_cancelled_as_it_is_now(
    ledger: Ledger, tenant: str
) -> None:
    queued = opened(ledger, tenant, hold=700)
    moved(ledger, queued, "held")
    now = ledger.job(tenant, queued.id)
    assert now
    assert ledger.cancel(now, NOW).hold == 750
    assert month(ledger, tenant) == {"committed": 0, "spent": 0}


def test_a_join_outlives_a_workers_rewriting(ledger: Ledger, tenant: str) -> None:
    queued = opened(ledger, tenant)
    assert ledger.join(queued) == queued
    moved(ledger, queued, "given back")
    back = ledger.job(tenant, queued.id)
    assert back
    assert back.status == "queued"
    with pytest.raises(LeaseLost):
        ledger.cancel(back, NOW)
    marker = rows(ledger, tenant, ledger.jobs_table)[f"joined#{queued.id}"]
    assert marker["expires_at"] == NOW + 30 * DAY


def test_whoever_joins_sees_what_was_cancelled_before(ledger: Ledger, tenant: str) -> None:
    queued = opened(ledger, tenant)
    cancelled = ledger.cancel(queued, NOW)
    assert ledger.join(queued) == cancelled


# --- what there is ---


def listed(ledger: Ledger, tenant: str, after: str | None = None, page: int = 20) -> list[str]:
    return [each.id for each in ledger.jobs(tenant, after, page)]


@pytest.mark.parametrize("page", [1, 2, 20])
def test_a_tenants_jobs_are_listed_newest_first(ledger: Ledger, tenant: str, page: int) -> None:
    made = [opened(ledger, tenant, now=NOW + after).id for after in range(5)][::-1]
    with somebody(ledger) as other:
        theirs = opened(ledger, other, now=NOW + 2).id
        assert listed(ledger, other) == [theirs]
        assert listed(ledger, tenant, page=page) == made
        assert listed(ledger, tenant, after=theirs)[-2:] == made[-2:]
    assert listed(ledger, tenant, made[1], page) == made[2:]
    assert listed(ledger, tenant, made[-1], page) == []


def test_only_jobs_are_listed_whatever_lies_about_them(ledger: Ledger, tenant: str) -> None:
    queued = opened(ledger, tenant)
    ledger.join(queued)
    for sk in ("a#1", "zzz#1", "job!", "joc#1"):
        item = {"tenant": {"S": tenant}, "sk": {"S": sk}}
        ledger.client.put_item(TableName=ledger.jobs_table, Item=item)
    assert list(ledger.jobs(tenant, None, 20)) == [queued]
    assert listed(ledger, tenant, queued.id) == []


def test_a_page_may_begin_after_a_job_that_is_gone(ledger: Ledger, tenant: str) -> None:
    old, gone, new = (job(tenant, now=NOW + after) for after in (0, 1, 2))
    for each in (old, new):
        assert claimed(ledger, each, f"same#{each.id}")
    assert listed(ledger, tenant, gone.id) == [old.id]


# --- what is due ---


def due(ledger: Ledger, tenant: str, now: int) -> list[str]:
    return [job_id for owner, job_id in ledger.due(now) if owner == tenant]


def test_the_longest_due_comes_first(ledger: Ledger, tenant: str) -> None:
    late, early = (opened(ledger, tenant, now=NOW + after) for after in (5, 0))
    assert due(ledger, tenant, NOW + FIRST_LOOK_SECONDS - 1) == []
    assert due(ledger, tenant, NOW + FIRST_LOOK_SECONDS) == [early.id]
    assert due(ledger, tenant, NOW + FIRST_LOOK_SECONDS + 5) == [early.id, late.id]


def test_a_lease_puts_it_off(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    leased(ledger, made, now=NOW + 59)
    assert due(ledger, tenant, NOW + 59 + LEASE_SECONDS - 1) == []
    assert due(ledger, tenant, NOW + 59 + LEASE_SECONDS) == [made.id]


def test_what_is_closed_is_never_due(ledger: Ledger, tenant: str) -> None:
    held = leased(ledger, opened(ledger, tenant))
    ledger.close(ended(held), "me")
    assert due(ledger, tenant, NOW + DAY) == []
    assert "open" not in rows(ledger, tenant, ledger.jobs_table)[f"job#{held.id}"]


OWED = {
    "an answer": {"reply_to": "outbox/x", "untold": True},
    "an event": {"untold": True},
}


@pytest.mark.parametrize("owed", OWED.values(), ids=list(OWED))
@pytest.mark.parametrize("end", ["close", "cancel"])
def test_what_is_owed_is_due_until_it_is_told(
    ledger: Ledger, tenant: str, owed: dict[str, Any], end: str
) -> None:
    queued = opened(ledger, tenant, **owed)
    if end == "cancel":
        closed = ledger.cancel(queued, NOW)
    else:
        closed = ledger.close(ended(leased(ledger, queued)), "me")
    assert due(ledger, tenant, NOW + DAY) == [closed.id]
    ledger.told(closed)
    assert due(ledger, tenant, NOW + DAY) == []
    assert ledger.job(tenant, closed.id) == closed.model_copy(update={"untold": False})


def test_what_could_not_be_told_is_put_off(ledger: Ledger, tenant: str) -> None:
    closed = ledger.cancel(opened(ledger, tenant, untold=True), NOW)
    ledger.put_off(closed, NOW + 500)
    assert due(ledger, tenant, NOW + 499) == []
    assert due(ledger, tenant, NOW + 500) == [closed.id]
    ledger.told(closed)
    ledger.put_off(closed, NOW + 900)
    assert due(ledger, tenant, NOW + DAY) == []
    ledger.put_off(job(tenant).close("cancelled", NOW), NOW)
    assert due(ledger, tenant, NOW + DAY) == []


def test_more_than_a_page_is_due(ledger: Ledger, tenant: str) -> None:
    def page(params: dict[str, Any], **_: Any) -> None:
        params["Limit"] = 1

    made = [opened(ledger, tenant, now=NOW + after) for after in range(3)]
    ledger.client.meta.events.register("provide-client-params.dynamodb.Query", page)
    assert due(ledger, tenant, NOW + DAY) == [each.id for each in made]


# --- what DynamoDB does under load, and moto does not ---


def refused(code: str, *reasons: str) -> tuple[AWSResponse, dict[str, Any]]:
    body = {
        "Error": {"Code": code, "Message": code},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return AWSResponse("https://dynamodb", 400, {}, None), body


def injected(ledger: Ledger, times: int, code: str, *reasons: str) -> None:
    """Let so many transactions fail before they reach the tables."""
    left = [times]

    def fail(**_: Any) -> Any:
        left[0] -= 1
        return refused(code, *reasons) if left[0] >= 0 else None

    ledger.client.meta.events.register("before-call.dynamodb.TransactWriteItems", fail)


CANCELLED = "TransactionCanceledException"
PASSING = {
    "a conflict": (CANCELLED, "None", "None", "TransactionConflict"),
    "throttling": (CANCELLED, "None", "ThrottlingError", "None"),
    "a spent capacity": (CANCELLED, "ProvisionedThroughputExceeded", "None", "None"),
    "the same, still at work": ("TransactionInProgressException",),
}


@pytest.mark.parametrize("error", PASSING.values(), ids=list(PASSING))
def test_what_passes_is_waited_for(
    ledger: Ledger, tenant: str, pauses: list[float], error: tuple[str, ...]
) -> None:
    injected(ledger, 3, *error)
    made = opened(ledger, tenant, hold=700)
    assert ledger.job(tenant, made.id) == made
    assert month(ledger, tenant) == {"committed": 700}
    assert len(pauses) == 3
    assert all(0 <= pause <= 0.05 * 2**step for step, pause in enumerate(pauses))


def test_what_does_not_pass_in_seconds_is_the_callers_to_retry(
    ledger: Ledger, tenant: str, pauses: list[float]
) -> None:
    injected(ledger, 99, CANCELLED, "TransactionConflict")
    made = job(tenant)
    with pytest.raises(EaselError) as caught:
        claimed(ledger, made, "same#f")
    assert (caught.value.status, caught.value.retry) == (503, True)
    assert caught.value.headers()["retry-after"] == "1"
    assert 2 <= len(pauses) <= 10
    assert sum(pauses) < 15


def test_a_lost_lease_beside_a_conflict_is_lost(
    ledger: Ledger, tenant: str, pauses: list[float]
) -> None:
    held = leased(ledger, opened(ledger, tenant))
    injected(ledger, 1, CANCELLED, "ConditionalCheckFailed", "TransactionConflict")
    with pytest.raises(LeaseLost):
        ledger.close(ended(held), "me")
    assert pauses == []


def test_what_is_wrong_stays_wrong(ledger: Ledger, tenant: str, pauses: list[float]) -> None:
    injected(ledger, 1, CANCELLED, "ValidationError")
    with pytest.raises(ClientError):
        claimed(ledger, job(tenant), "same#f")
    assert pauses == []


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError"]
)
def test_a_table_that_is_too_busy_is_waited_for(ledger: Ledger, tenant: str, code: str) -> None:
    injected(ledger, 1, code)
    assert claimed(ledger, job(tenant), "same#f") is True


def answer_lost_once(ledger: Ledger, operation: str) -> list[int]:
    """Let botocore send every call again, as after a time-out; return the attempts it made."""
    attempts: list[int] = []

    def again(attempts_so_far: int) -> float | None:
        attempts.append(attempts_so_far)
        return 0 if attempts_so_far == 1 else None

    ledger.client.meta.events.register_first(
        f"needs-retry.dynamodb.{operation}", lambda attempts, **_: again(attempts)
    )
    return attempts


def test_an_opening_whose_answer_was_lost_is_still_ours(ledger: Ledger, tenant: str) -> None:
    attempts = answer_lost_once(ledger, "TransactWriteItems")
    made = opened(ledger, tenant, hold=700)
    assert attempts == [1, 2]
    assert ledger.job(tenant, made.id) == made
    assert month(ledger, tenant) == {"committed": 700}


def test_a_lease_whose_answer_was_lost_is_still_ours(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    answer_lost_once(ledger, "UpdateItem")
    assert ledger.lease(tenant, made.id, "me", NOW) is not None


def test_a_pointer_remembers_what_came_back_to_it(ledger: Ledger, tenant: str) -> None:
    made = job(tenant)
    claimed(ledger, made, "same#f")
    before = seen(made)
    assert ledger.remember(tenant, "same#f", before, [Seen(made.id, 2)])
    after = ledger.pointer(tenant, "same#f")
    assert after == Pointer(before.fingerprint, to_text([Seen(made.id, 2)]))
    assert not ledger.remember(tenant, "same#f", before, [Seen(made.id, 1)])
    assert not claimed(ledger, job(tenant), "same#f", before)
    assert claimed(ledger, job(tenant), "same#f", after)


def test_a_jobs_end_is_delivered_once(ledger: Ledger, tenant: str) -> None:
    made = opened(ledger, tenant)
    done = ledger.close(made.close("cancelled", NOW), None)
    assert ledger.delivered(done)
    assert not ledger.delivered(done)
    kept = ledger.job(tenant, made.id)
    assert kept
    assert kept == done.model_copy(update={"delivered": True})
