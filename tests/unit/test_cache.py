"""What may be answered from the cache, and what a call says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.cache import CacheControl, answering, newest
from easel.errors import UpstreamUnknown
from easel.identity import MOST_SEEN, Identity, Known, Met
from easel.jobs import Job
from tests.unit.examples import NOW, image, job, request, succeeded

DAY = 86_400
CACHED = Identity(retries=0, cache=CacheControl(max_age=60))
TIMES = {"window": 900, "patience": 29}


def done(seconds_ago: float = 0, opened: float = 5_000, **changes: object) -> Job:
    """Return a job whose images a caller received so long ago."""
    made = succeeded(now=NOW - opened)
    ended = {"finished_at": int(NOW - seconds_ago), "delivered": True}
    return made.model_copy(update={**ended, **changes})


def failed() -> Job:
    begun = job(now=NOW - 40).begin(20_000)
    lost = begun.end(begun.attempts[0].lose())
    return lost.close("failed", NOW - 30, error=UpstreamUnknown("x"))


# ---- What a call says ----


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("", CacheControl()),
        ("max-age=60", CacheControl(60)),
        ("Max-Age=60", CacheControl(60)),
        ('max-age="60"', CacheControl(60)),
        ("max-age = 0060 , no-transform", CacheControl(60)),
        ("max-age=0", CacheControl(0)),
        ("max-age=600, max-age=60", CacheControl(60)),
        ("max-age", CacheControl(0)),
        ("max-age=1h", CacheControl(0)),
        ("max-age=-1", CacheControl(0)),
        ("max-age=" + 5_000 * "9", CacheControl(0)),
        ("max-age=\N{ARABIC-INDIC DIGIT SIX}", CacheControl(0)),
        ("no-cache", CacheControl(no_cache=True)),
        ("no-cache=x, NO-STORE", CacheControl(no_cache=True, no_store=True)),
        ("no-store, max-age=60", CacheControl(60, no_store=True)),
        ("s-maxage=60, public, max-agent=1", CacheControl()),
    ],
)
def test_a_header_is_read_as_the_rfc_has_it(header: str, said: CacheControl) -> None:
    assert CacheControl.read(header) == said


@given(st.text())
def test_any_header_is_read(header: str) -> None:
    assert CacheControl.read(header).ttl(60, longest=DAY) in range(DAY + 1)


@pytest.mark.parametrize(
    ("header", "ttl"),
    [
        ("", 60),
        ("max-age=0", 0),
        ("max-age=7", 7),
        ("max-age=5000", 5000),
        ("max-age=100000", DAY),
        ("no-cache", 0),
        ("no-store", 0),
        ("max-age=7, no-cache", 0),
    ],
)
def test_an_answer_is_as_old_as_the_call_says_but_no_older_than_images(
    header: str, ttl: int
) -> None:
    assert CacheControl.read(header).ttl(60, longest=DAY) == ttl


# ---- What may answer ----


CASES: dict[str, tuple[Job, bool]] = {
    # what a request was seen to be: does it answer a call whose answer may be a minute old?
    "done a minute ago": (done(60), True),
    "done longer ago": (done(61), False),
    "just done, and on its way to who paid": (done(9, delivered=False), True),
    "done, not to be stored": (done(30, no_store=True), False),
    "queued": (job(now=NOW - 1), True),
    "running for long": (job(now=NOW - 3000, status="running"), True),
    "queued, not to be stored": (job(no_store=True), False),
    "cancelled": (job(status="cancelled"), False),
    "failed": (failed(), False),
    "done in part": (done(30, request=request(parameters={"n": 2})), False),
    "done without an answer": (done(30, answer=None), False),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_whole_or_on_its_way_answers(name: str) -> None:
    known, answers = CASES[name]
    met = CACHED.meets([Known(known, 0)], now=NOW, ttl=60, **TIMES)
    assert met == (Met(known, "cached") if answers else None)
    assert CACHED.meets([Known(known, 0)], now=NOW, ttl=0, **TIMES) is None
    assert answering([known], NOW, 0) is None


def test_the_newest_that_is_done_answers_before_what_is_at_work() -> None:
    old, new, begun, later = done(50), done(20), job(now=NOW - 4), job(now=NOW - 3)
    assert answering([new, old, begun, later], NOW, 60) is new
    assert answering([done(90), begun, later], NOW, 60) is begun


def test_a_retry_beyond_its_window_is_answered_before_it_buys() -> None:
    old = done(2_000)
    for retries in 0, 1, 2, None:
        caller = Identity(retries=retries)
        assert caller.meets([Known(old, 0)], now=NOW, ttl=3600, **TIMES) == Met(old, "cached")
        assert caller.meets([Known(old, 0)], now=NOW, ttl=0, **TIMES) is None


def test_what_was_judged_less_answers_only_its_own_callers() -> None:
    old, atwork = done(30), job(now=NOW - 4)
    for one in old, atwork:
        assert CACHED.meets([Known(one, 0, weaker=True)], now=NOW, ttl=60, **TIMES) is None
    known = [Known(done(50), 0), Known(old, 0, weaker=True)]
    met = CACHED.meets(known, now=NOW, ttl=60, **TIMES)
    assert met == Met(known[0].job, "cached")
    uncalled = done(30, opened=40, delivered=False)
    assert CACHED.meets([Known(uncalled, 0, weaker=True)], now=NOW, ttl=60, **TIMES) is None
    retried = Identity(retries=1)
    met = retried.meets([Known(uncalled, 0, weaker=True)], now=NOW, ttl=60, **TIMES)
    assert met == Met(uncalled, "retry", 1)


def test_the_rules_before_it_come_first() -> None:
    uncalled = done(30, opened=40, delivered=False)
    assert CACHED.meets([Known(uncalled, 0)], now=NOW, ttl=60, **TIMES) == Met(
        uncalled, "handed over"
    )
    recent = done(30, opened=40)
    retried = Identity(retries=1, cache=CACHED.cache)
    assert retried.meets([Known(recent, 0)], now=NOW, ttl=60, **TIMES) == Met(recent, "retry", 1)


def test_a_key_stands_outside() -> None:
    keyed = Identity(idempotency_key="k", cache=CACHED.cache)
    assert keyed.meets([], now=NOW, ttl=60, **TIMES) is None
    bound = done(5_000)
    assert keyed.meets([Known(bound, 0)], now=NOW, ttl=60, **TIMES) == Met(bound, "key")


def test_what_may_answer_is_not_forgotten_for_what_cannot() -> None:
    answer = done(30)
    known = [Known(one, 0) for one in (done(40), answer, *(failed() for _ in range(30)))]
    seen = [one.job for one in CACHED.opened("job_new", known)]
    assert len(seen) == MOST_SEEN
    assert (seen[0], seen[-1]) == (answer.id, "job_new")
    assert seen[1:-1] == [one.job.id for one in known[-(MOST_SEEN - 2) :]]


def test_of_several_the_last_one_done_is_the_newest() -> None:
    assert newest([done(1, no_store=True), one := done(2), done(3), failed(), job()]) is one
    assert newest([]) is None


def test_images_are_counted_against_what_was_asked() -> None:
    two = request(parameters={"n": 2})
    both = succeeded(image("a"), image("b"), request=two)
    assert newest([both]) is both
    assert newest([succeeded(image("a"), request=two)]) is None


def test_of_those_done_in_one_second_the_last_opened_is_the_newest() -> None:
    first, last = done(2, opened=50), done(2, opened=40)
    assert newest([first, last]) is newest([last, first]) is last
