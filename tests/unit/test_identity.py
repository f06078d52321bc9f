"""Which call is which job: the rules one by one, and equal calls side by side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import (
    EaselError,
    Overloaded,
    UpstreamBusy,
    UpstreamRefused,
    UpstreamUnknown,
)
from easel.identity import CALLED_SECONDS, Identity, Known, Met, Seen
from easel.jobs import Job
from tests.unit.examples import NOW, job, succeeded

KEYED, RETRIED, NEW, BLIND = (
    Identity(idempotency_key="k"),
    Identity(retries=1),
    Identity(retries=0),
    Identity(),
)
TIMES = {"window": 900, "patience": 29, "ttl": 0}


def failed(error: EaselError, charge: int | None = None, now: float = NOW) -> Job:
    made = job(now=now)
    if charge is not None:
        begun = made.begin(made.hold)
        made = begun.end(begun.attempts[0].settle(charge))
    return made.close("failed", now + 5, error=error)


def delivered(now: float = NOW) -> Job:
    return succeeded(now=now).model_copy(update={"delivered": True})


def ended(seconds_ago: float, opened: float = 60) -> Job:
    """Return a job that was opened, and has images that nobody received, so long ago."""
    change = {"finished_at": int(NOW - seconds_ago)}
    return succeeded(now=NOW - opened).model_copy(update=change)


def meets(identity: Identity, *jobs: Job, now: float = NOW) -> Met | None:
    return identity.meets([Known(one, 0) for one in jobs], now=now, **TIMES)


CASES: dict[str, tuple[Job, bool]] = {
    # what a request was seen to be: is it the job of a counted retry?
    "queued": (job(), True),
    "running": (job(status="running"), True),
    "succeeded": (succeeded(), True),
    "received": (delivered(), True),
    "cancelled": (job(status="cancelled"), False),
    "failed, unbilled, retryable": (failed(UpstreamBusy("x")), False),
    "failed, unbilled, up to the caller": (failed(EaselError("x")), False),
    "failed, unbilled, hopeless": (failed(UpstreamRefused("x", status=400)), True),
    "failed, maybe billed": (failed(UpstreamUnknown("x"), charge=20_000), True),
    "failed, billed, retryable": (failed(Overloaded("x"), charge=1), True),
    "still queued after the window": (job(now=NOW - 3000), True),
    "done at the window's edge, opened long before": (ended(900, opened=3000), True),
    "done before the window": (ended(901, opened=3000), False),
    "failed for good before the window": (
        failed(UpstreamRefused("x", status=400), now=NOW - 906),
        False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_retry_is_a_recent_job_that_need_not_be_bought_anew(name: str) -> None:
    known, is_it = CASES[name]
    assert meets(RETRIED, known) == (Met(known, "retry", 1) if is_it else None)


@pytest.mark.parametrize("name", CASES)
def test_a_key_is_its_job_whatever_became_of_it(name: str) -> None:
    known, _ = CASES[name]
    both = Identity(idempotency_key="k", retries=1)
    assert meets(KEYED, known) == meets(both, known) == Met(known, "key")


@pytest.mark.parametrize("identity", [KEYED, RETRIED, NEW, BLIND])
def test_what_was_never_seen_is_new(identity: Identity) -> None:
    assert meets(identity) is None


@pytest.mark.parametrize("known", [one for one, _ in CASES.values()], ids=list(CASES))
def test_a_new_call_never_joins_nor_shares(known: Job) -> None:
    """But for pictures that nobody called for, below."""
    assert meets(NEW, known, now=NOW + CALLED_SECONDS - 2) is None


@pytest.mark.parametrize("identity", [NEW, BLIND])
@pytest.mark.parametrize(
    ("known", "handed_over"),
    [
        (ended(CALLED_SECONDS), True),
        (ended(900, opened=3000), True),
        (ended(901, opened=3000), False),
        (delivered(NOW - 60), False),
        (failed(UpstreamUnknown("x"), charge=1, now=NOW - 60), False),
        (job(now=NOW - 20, status="running"), False),
    ],
)
def test_pictures_that_nobody_received_are_handed_over(
    identity: Identity, known: Job, handed_over: bool
) -> None:
    assert meets(identity, known) == (Met(known, "handed over") if handed_over else None)


def test_pictures_that_somebody_still_waits_for_are_not_handed_over() -> None:
    assert meets(NEW, ended(CALLED_SECONDS - 1)) is None
    assert meets(BLIND, ended(1, opened=28)) is None


def test_a_late_blind_call_repeats_the_one_whose_pictures_have_just_come() -> None:
    known = ended(0, opened=29)
    assert meets(BLIND, known) == Met(known, "handed over")


@pytest.mark.parametrize(
    ("known", "joins"),
    [
        (job(now=NOW - 28), False),
        (job(now=NOW - 29), True),
        (job(now=NOW - 3000, status="running"), True),
        (delivered(NOW - 60), False),
        (failed(UpstreamBusy("x"), now=NOW - 60), False),
    ],
)
def test_a_blind_call_joins_a_job_that_its_repeat_would_find(known: Job, joins: bool) -> None:
    assert meets(BLIND, known) == (Met(known, "joined", joined=1) if joins else None)


def test_a_blind_call_joins_nothing_that_is_judged_less_than_it_would_be() -> None:
    weaker = Known(job(now=NOW - 60), 0, weaker=True)
    assert BLIND.meets([weaker], now=NOW, **TIMES) is None
    assert RETRIED.meets([weaker], now=NOW, **TIMES) == Met(weaker.job, "retry", 1)


def test_who_joins_takes_no_payers_place() -> None:
    one, two = (job(now=NOW - 60).model_copy(update={"id": f"job_{n}"}) for n in range(2))
    known = [Known(one, 0), Known(two, 0)]
    remembered = []
    for identity in BLIND, RETRIED, RETRIED:
        met = identity.meets(known, now=NOW, **TIMES)
        assert met
        remembered.append((met.by, met.job.id))
        seen = [met.remembered(Seen(each.job.id, *each[1:4])) for each in known]
        known = [Known(each.job, *now[1:]) for each, now in zip(known, seen, strict=True)]
    assert remembered == [("joined", "job_0"), ("retry", "job_0"), ("retry", "job_1")]


def test_a_retry_prefers_pictures_that_nobody_received() -> None:
    received, waiting = delivered(), succeeded()
    met = meets(RETRIED, received, waiting)
    assert met
    assert met.job is waiting


def test_a_retry_whose_answer_was_lost_on_its_way_finds_it() -> None:
    received = delivered()
    assert meets(RETRIED, received) == Met(received, "retry", 1)


def test_with_more_retries_than_jobs_none_is_bought() -> None:
    known = job()
    assert RETRIED.meets([Known(known, 1)], now=NOW, **TIMES) == Met(known, "retry", 1)
    assert RETRIED.meets([Known(delivered(), 3)], now=NOW, **TIMES) is not None


def test_a_retry_meets_the_job_its_caller_was_sent_away_from() -> None:
    """Not one whose own caller is still waiting for it."""
    awaited, left = job(), job()
    for served in 0, 1, 5:
        seen = [Known(awaited, 0), Known(left, served, left=True)]
        assert RETRIED.meets(seen, now=NOW, **TIMES) == Met(left, "retry", max(served, 1))
    gone = delivered()
    assert RETRIED.meets([Known(gone, 0, left=True), Known(awaited, 0)], now=NOW, **TIMES) == Met(
        awaited, "retry", 1
    )


def come_back(jobs: list[Job], served: dict[str, int], identity: Identity) -> str:
    """Let a caller come back, and its job's pointer remember it."""
    seen = [Known(one, served.get(one.id, 0)) for one in jobs]
    met = identity.meets(seen, now=NOW, **TIMES)
    assert met
    served[met.job.id] = met.served + met.joined
    return met.job.id


STATES: list[Any] = [
    job(status="running", now=NOW - 40),
    job(now=NOW - 40),
    ended(CALLED_SECONDS + 1),
]


@given(
    states=st.lists(st.sampled_from(STATES), min_size=1, max_size=8),
    counts=st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True).map(sorted),
)
def test_equal_callers_that_all_come_back_get_a_job_each(
    states: list[Job], counts: list[int]
) -> None:
    """As often as they have to: each round of retries meets every job once."""
    jobs = [one.model_copy(update={"id": f"job_{index}"}) for index, one in enumerate(states)]
    served: dict[str, int] = {}
    for count in counts:
        met = [come_back(jobs, served, Identity(retries=count)) for _ in jobs]
        assert sorted(met) == [one.id for one in jobs]


@given(st.integers(1, 8), st.integers(1, 3))
def test_equal_blind_callers_that_all_come_back_get_a_job_each(number: int, rounds: int) -> None:
    jobs = [job(now=NOW - 40).model_copy(update={"id": f"job_{n}"}) for n in range(number)]
    served: dict[str, int] = {}
    for _ in range(rounds):
        met = [come_back(jobs, served, BLIND) for _ in jobs]
        assert sorted(met) == [one.id for one in jobs]
