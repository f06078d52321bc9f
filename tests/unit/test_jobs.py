"""What a job is, and when two calls are one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import (
    Conflict,
    EaselError,
    InvalidRequest,
    Overloaded,
    UpstreamBusy,
)
from easel.jobs import FIRST_LOOK_SECONDS, ID, Job
from easel.questions import Question
from tests.unit.examples import NOW, answer, job, succeeded


def failed(error: EaselError, charge: int | None = None) -> Job:
    made = job()
    if charge is not None:
        begun = made.begin(made.hold)
        made = begun.end(begun.attempts[0].settle(charge))
    return made.close("failed", NOW + 5, error=error)


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=20, unique=True))
def test_ids_are_in_the_order_of_their_milliseconds(millis: list[int]) -> None:
    ids = {at: job(now=at / 1000).id for at in millis}
    in_order = [ids[at] for at in sorted(millis, key=lambda at: int(at / 1000 * 1000))]
    assert sorted(in_order, key=lambda name: name[:15]) == in_order


def test_ids_cannot_be_guessed_and_stand_in_urls() -> None:
    ids = [job(now=NOW).id for _ in range(50)]
    assert len({name[15:] for name in ids}) == 50
    assert all(len(name) == 15 + 24 for name in ids)
    assert all(name.removeprefix("job_").isalnum() for name in ids)


def test_a_new_job_is_queued_in_the_period_of_its_opening() -> None:
    cat = Question("inbox/demo/cat.png", etag="e", version="v", sequencer="0A", due_at=NOW)
    made = Job.new("demo", job().request, hold=7, now=NOW + 0.9, keyed=True, question=cat)
    assert (made.status, made.open, made.hold, made.charge) == ("queued", True, 7, 0)
    assert (made.month, made.day, made.created_at) == ("2026-11", "2026-11-22", NOW)
    assert made.due_at == NOW + FIRST_LOOK_SECONDS
    assert (made.keyed, made.reply_to) == (True, "outbox/demo/cat.png")
    assert (made.version, made.sequencer) == ("v", "0A")
    assert made.pending is None


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        ("queued", True),
        ("running", True),
        ("succeeded", False),
        ("failed", False),
        ("cancelled", False),
    ],
)
def test_open_is_queued_or_running(status: Any, is_open: bool) -> None:
    one = job(status=status, due_at=NOW)
    assert one.open is is_open
    assert one.lapsed(NOW) is is_open
    assert not one.lapsed(NOW - 1)


def test_an_attempt_is_pending_until_its_outcome_is_known() -> None:
    begun = job().begin(100)
    attempt = begun.pending
    assert attempt
    assert (attempt.number, attempt.hold, attempt.charge) == (1, 100, None)
    settled = begun.end(attempt.settle(60))
    lost = begun.end(attempt.lose())
    assert settled.pending is None
    assert lost.pending is None
    assert (settled.attempts[0].state, settled.attempts[0].charge) == ("answered", 60)
    assert (lost.attempts[0].state, lost.attempts[0].charge) == ("unknown", 100)


def test_each_attempt_has_its_own_place_in_the_bucket() -> None:
    first = job().begin(100)
    second = first.end(first.attempts[0].lose()).begin(120)
    assert first.prefix == f"images/demo/{first.id}/1/"
    assert second.prefix == f"images/demo/{first.id}/2/"
    assert [attempt.number for attempt in second.attempts] == [1, 2]


def test_a_refused_call_leaves_a_count_and_no_attempt() -> None:
    refused = job().begin(100).refuse()
    assert (refused.attempts, refused.refusals, refused.pending) == ((), 1, None)
    assert refused.begin(100).attempts[0].number == 1


def test_close_charges_all_attempts_and_holds_nobody() -> None:
    first = job(status="running", lease="me").begin(100)
    second = first.end(first.attempts[0].lose()).begin(100)
    ended = second.end(second.attempts[1].settle(60))
    done = ended.close("succeeded", NOW + 9.9, answer=answer())
    assert (done.charge, done.lease, done.finished_at) == (160, None, NOW + 9)
    assert done.due_at == NOW + 9 + FIRST_LOOK_SECONDS
    assert done.answer == answer()
    assert done.error is None


def test_a_failed_job_raises_what_it_ended_in() -> None:
    with pytest.raises(EaselError) as caught:
        failed(InvalidRequest("Blocked.", code="moderation_blocked")).raise_error()
    assert (caught.value.status, caught.value.code) == (400, "moderation_blocked")
    assert caught.value.headers() == {"x-should-retry": "false"}


RETRIES = {
    "unbilled": (failed(UpstreamBusy("x")), "true"),
    "unbilled, bound to a key": (
        failed(UpstreamBusy("x")).model_copy(update={"keyed": True}),
        "false",
    ),
    "billed": (failed(Overloaded("x"), charge=1), "false"),
}


@pytest.mark.parametrize(("one", "advice"), RETRIES.values(), ids=list(RETRIES))
def test_a_retry_is_advised_where_it_would_buy_what_was_not_paid(one: Job, advice: str) -> None:
    with pytest.raises(EaselError) as caught:
        one.raise_error()
    assert caught.value.headers()["x-should-retry"] == advice


@pytest.mark.parametrize("keyed", [False, True])
def test_a_cancelled_job_is_a_conflict(keyed: bool) -> None:
    with pytest.raises(Conflict) as caught:
        job(status="cancelled", keyed=keyed).raise_error()
    assert (caught.value.status, caught.value.code) == (409, "job_cancelled")
    assert ("a new Idempotency-Key" in caught.value.message) is keyed


def test_a_job_that_did_not_fail_raises_nothing() -> None:
    for one in (job(), succeeded()):
        one.raise_error()
    assert not succeeded().worth_repeating()


def test_images_are_kept_from_the_jobs_end_on() -> None:
    kept_until = NOW + 9 + 30 * 86_400
    assert not succeeded().expired(kept_until, retention_days=30)
    assert succeeded().expired(kept_until + 1, retention_days=30)
    assert not job().expired(kept_until + 1, retention_days=30)


def test_only_a_closed_job_owes_anything() -> None:
    assert not succeeded().owing
    assert not job(untold=True).owing
    assert job(untold=True).close("cancelled", NOW).owing
    assert not job(reply_to="outbox/x").close("cancelled", NOW).owing


def test_only_a_failure_without_an_attempt_is_surely_unbilled() -> None:
    assert failed(Overloaded("x")).unbilled
    billed = job().begin(7)
    for other in (
        job(),
        succeeded(),
        job().close("cancelled", NOW),
        billed.end(billed.attempts[0].lose()).close("failed", NOW, error=Overloaded("x")),
    ):
        assert not other.unbilled


def test_a_job_reopened_is_as_one_opened_now_but_for_its_id_and_its_caller() -> None:
    told = {"keyed": True, "reply_to": "out", "version": "v", "sequencer": "a"}
    first = job(now=NOW - 40 * 86_400, **told, delivered=True, started_at=NOW).refuse()
    again = first.close("failed", NOW, error=Overloaded("x")).reopen(77, NOW + 0.5)
    fresh = job(hold=77, now=NOW + 0.5, **told, untold=True)
    assert again == fresh.model_copy(update={"id": first.id})
    assert first.month != again.month


def test_an_id_is_one() -> None:
    assert re.search(ID, job().id)
    for other in ("", "job_", job().id[:-1], job().id + "0", job().id.upper(), f"x{job().id}"):
        assert not re.search(ID, other)


def test_age_is_counted_from_the_opening() -> None:
    assert not job().older_than(60, NOW + 60)
    assert job().older_than(60, NOW + 61)


def test_without_its_prompt_a_job_is_not_made_again() -> None:
    failed = job().close("failed", NOW, error=Overloaded("Too old."))
    assert failed.unbilled
    wordless = failed.model_copy(update={"request": failed.request.wordless()})
    assert not wordless.unbilled
    assert wordless.request.wordless() == wordless.request
