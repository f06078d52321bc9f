"""Whose call may go: never more than the rate, nobody passed over, nobody remembered for ever."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel.pace import WINDOW_SECONDS, Pace, Turn, backoff

NOW = 1_795_350_896.0
SWEPT = 500


class Ask(NamedTuple):
    """A job, and when it first asks for its turn."""

    at: float
    tenant: str
    images: int = 1


class Went(NamedTuple):
    at: float
    ask: Ask


def played(asks: Iterable[Ask], rate: int, late: float = 0, pace: Pace | None = None) -> list[Went]:
    """Return who went when. Each asks again when it was told, or up to ``late`` seconds later."""
    dice = random.Random(len(str(asks)))
    pace = pace or Pace()
    todo: list[tuple[float, int, Ask, int | None]] = []
    for number, ask in enumerate(asks):
        heapq.heappush(todo, (ask.at, number, ask, None))
    went = []
    while todo:
        now, number, ask, place = heapq.heappop(todo)
        pace, turn = pace.turn(ask.tenant, ask.images, place, now, rate)
        if turn.wait:
            again = now + turn.again + dice.uniform(0, late)
            heapq.heappush(todo, (max(again, now + 0.001), number, ask, turn.place))
        else:
            went.append(Went(now, ask))
    return went


def busiest(went: Sequence[Went], seconds: float) -> int:
    """Return the most images in any window of so many seconds."""
    return max(
        sum(one.ask.images for one in went if first.at <= one.at < first.at + seconds)
        for first in went
    )


def jobs(tenant: str, count: int, at: float = NOW, images: int = 1) -> list[Ask]:
    return [Ask(at + number / 100, tenant, images) for number in range(count)]


asks = st.lists(
    st.builds(
        Ask, st.floats(0, 200).map(NOW.__add__), st.sampled_from("abcd"), st.sampled_from((1, 1, 4))
    ),
    min_size=1,
    max_size=40,
)


@given(asks, st.sampled_from((5, 20, 50)), st.sampled_from((0, 1)))
@settings(deadline=None)
def test_no_minute_sees_more_than_the_rate_and_everybody_goes(
    asks: list[Ask], rate: int, late: float
) -> None:
    went = played(asks, rate, late)
    assert len(went) == len(asks)
    assert busiest(went, WINDOW_SECONDS) <= rate
    turns = sum(ask.images for ask in asks) * WINDOW_SECONDS / rate
    last = max(ask.at for ask in asks)
    assert went[-1].at <= last + 1.5 * turns + WINDOW_SECONDS + 5 * late, "slots were left empty"


backlogs = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from((1, 1, 2))), min_size=1, max_size=6
)


@given(backlogs, st.sampled_from((5, 60)), st.floats(0, 300), st.sampled_from((0, 1)))
@settings(deadline=None)
def test_a_single_call_waits_for_about_a_turn_of_each_tenant(
    backlogs: list[tuple[int, int]], rate: int, after: float, late: float
) -> None:
    others = [
        ask
        for number, (count, images) in enumerate(backlogs)
        for ask in jobs(f"t{number}", count, images=images)
    ]
    went = played([*others, Ask(NOW + after, "late")], rate, late)
    [single] = [one for one in went if one.ask.tenant == "late"]
    turn = max(images for _, images in backlogs) * WINDOW_SECONDS / rate
    assert single.at - single.ask.at <= (len(backlogs) + 6) * (turn + late)


def test_two_hundred_jobs_of_one_tenant_delay_anothers_call_by_about_a_turn() -> None:
    """By half a turn in the mean; by two where jobs that came late have filled the minute."""
    turn, waits = WINDOW_SECONDS / 5, list[float]()
    for after in range(0, 1200, 35):
        went = played([*jobs("a", 200), Ask(NOW + after, "b")], 5, late=1)
        [single] = [one for one in went if one.ask.tenant == "b"]
        waits.append(single.at - single.ask.at)
        assert went[-1].at - NOW <= 201 * turn * 1.05, "and no slot is lost for it"
    assert fmean(waits) <= 0.75 * turn
    assert max(waits) <= 2.2 * turn


def test_who_often_comes_anew_is_not_served_more() -> None:
    """One job of its at a time, the next as soon as that has gone, beside a tenant of many."""
    pace, went = Pace(), list[str]()
    todo = [(ask.at, number, "many", None) for number, ask in enumerate(jobs("many", 60))]
    todo.append((NOW + 1, 99, "anew", None))
    while len(went) < 80:
        now, number, tenant, place = heapq.heappop(todo)
        pace, turn = pace.turn(tenant, 1, place, now, 20)
        if turn.wait:
            heapq.heappush(todo, (now + max(0.001, turn.again), number, tenant, turn.place))
            continue
        went.append(tenant)
        if tenant == "anew":
            heapq.heappush(todo, (now + 0.001, number, tenant, None))
    assert 30 <= went.count("anew") <= 45


def test_backlogs_of_several_tenants_are_served_side_by_side() -> None:
    went = played([*jobs("a", 20), *jobs("b", 20), *jobs("c", 20)], 20, late=1)
    for third in range(6, 57, 3):
        served = [one.ask.tenant for one in went[:third]]
        counts = [served.count(name) for name in "abc"]
        assert max(counts) - min(counts) <= 4
    assert went[-1].at - NOW <= 60 * WINDOW_SECONDS / 20 * 1.05


def test_a_larger_call_counts_for_as_many() -> None:
    went = played([*jobs("a", 10, images=4), *jobs("b", 40)], 20)
    half = [one.ask for one in went if one.at < NOW + 120]
    of_a = sum(ask.images for ask in half if ask.tenant == "a")
    of_b = sum(ask.images for ask in half if ask.tenant == "b")
    assert abs(of_a - of_b) <= 8


def test_a_call_that_asks_for_more_than_the_rate_goes_when_a_minute_is_empty() -> None:
    went = played([*jobs("a", 3), Ask(NOW + 1, "b", 10)], 5)
    assert [one.ask.tenant for one in went] == ["a", "a", "b", "a"]


@pytest.mark.parametrize(
    ("rate", "images", "every"), [(5, 4, 30), (5, 4, 14), (20, 10, 5), (50, 25, 2), (5, 5, 20)]
)
def test_room_for_many_images_is_kept_from_others_single_ones(
    rate: int, images: int, every: float
) -> None:
    """Who asks for one now and then would else always find room before there is enough."""
    singles = [Ask(NOW + number * every, "b") for number in range(int(3600 / every))]
    went = played([*singles, Ask(NOW + 300, "a", images)], rate, late=1)
    [many] = [one for one in went if one.ask.tenant == "a"]
    assert many.at - many.ask.at <= 2.1 * WINDOW_SECONDS
    assert busiest(went, WINDOW_SECONDS) <= rate
    waits = [one.at - one.ask.at for one in went if one.ask.tenant == "b"]
    assert max(waits) <= 3 * WINDOW_SECONDS


def test_who_has_many_images_and_does_not_come_back_keeps_nobody_waiting() -> None:
    pace, rate = Pace(), 5
    for number in range(5):
        pace, turn = pace.turn("b", 1, None, NOW + number * 13, rate)
        assert turn.wait == 0
    pace, lost = pace.turn("a", 5, None, NOW + 53, rate)
    assert lost.wait > 0
    went = played([Ask(NOW + 60 + number * 14, "b") for number in range(20)], rate, pace=pace)
    assert went[0].at - went[0].ask.at <= lost.wait + 30 + WINDOW_SECONDS / rate


def test_who_was_idle_has_no_credit_and_no_debt() -> None:
    pace, busy = Pace(), list(jobs("a", 50))
    for ask in busy:
        pace, _ = pace.turn("a", 1, None, ask.at, 5)
    pace, first = pace.turn("b", 1, None, NOW + 3600, 5)
    pace, second = pace.turn("b", 1, None, NOW + 3600, 5)
    pace, third = pace.turn("b", 1, None, NOW + 3600, 5)
    assert (first.wait, second.wait) == (0, 0)
    assert third.wait == pytest.approx(WINDOW_SECONDS / 5)


def test_tenants_that_nobody_waits_for_are_forgotten() -> None:
    pace = Pace()
    for number in range(SWEPT):
        pace, _ = pace.turn(f"t{number}", 1, None, NOW + number / 1000, 60)
    assert len(pace.lines) > SWEPT / 2, "they wait"
    pace, turn = pace.turn("late", 1, None, NOW + 900, 60)
    assert turn.wait == 0
    assert len(pace.lines) == 1
    assert len(pace.calls) == 1


def test_what_is_kept_is_bounded() -> None:
    pace = Pace()
    for number in range(1500):
        pace, turn = pace.turn(f"tenant-{number:060}", 1, None, NOW, 1000)
        assert turn.wait >= 0
    assert len(pace.model_dump_json()) < 200_000, "an item of DynamoDB's has 400 KB"


def test_a_job_keeps_its_place() -> None:
    pace, turns = Pace(), list[Turn]()
    for _ in range(10):
        pace, turn = pace.turn("a", 1, None, NOW, 5)
        turns.append(turn)
    pace, again = pace.turn("a", 1, turns[4].place, NOW + 1, 5)
    assert again.place == turns[4].place
    assert again.wait == pytest.approx(turns[4].wait - 1)
    assert [turn.near for turn in turns[2:]] == [True, True, True, True, False, False, False, False]


def test_a_place_before_a_tenant_was_forgotten_is_at_the_front() -> None:
    pace = Pace(passed=100)
    _, turn = pace.turn("a", 1, 7_000_000, NOW, 5)
    assert (turn.wait, turn.place) == (0, 100)


# --- refusals ---


def test_without_a_rate_and_a_refusal_nobody_waits_and_nothing_is_noted() -> None:
    pace = Pace()
    for ask in jobs("a", 100):
        after, turn = pace.turn("a", 1, None, ask.at, 0)
        assert turn == Turn(0, 0, None)
        assert after is pace


def test_after_a_refusal_nobody_calls_then_one_at_a_time_then_all() -> None:
    pace = Pace().refused(NOW, 30)
    went = played([*jobs("a", 10), *jobs("b", 10), *jobs("c", 200, NOW + 90)], 0, pace=pace)
    first = [one.at - NOW for one in went if one.ask.tenant != "c"]
    assert 30 <= first[0] <= 30.1
    assert all(2 <= later - sooner <= 2.5 for sooner, later in pairwise(first))
    order = [one.ask.tenant for one in went[:20]]
    assert abs(order[:10].count("a") - 5) <= 2
    assert [one.at for one in went if one.ask.tenant == "c"] == [
        ask.at for ask in jobs("c", 200, NOW + 90)
    ]


def test_a_rate_spreads_the_calls_after_a_refusal() -> None:
    pace = Pace().refused(NOW, 30)
    went = played(jobs("a", 6), 20, pace=pace)
    since = [one.at - NOW - 30 for one in went]
    assert since == pytest.approx([3.1 * number for number in range(6)], abs=0.2)


def test_refusals_of_one_cool_down_count_once_and_of_the_next_on_top() -> None:
    pace = Pace()
    assert pace.refusals_at(NOW) == 1
    pace = pace.refused(NOW, 10)
    assert pace.refusals_at(NOW + 9) == 1
    pace = pace.refused(NOW + 9, 0.5)
    assert pace.cool_until == NOW + 10, "whoever asked for longer is heeded"
    assert pace.refusals_at(NOW + 11) == 2
    pace = pace.refused(NOW + 11, 10)
    assert pace.refusals_at(NOW + 80) == 3
    assert pace.refusals_at(NOW + 81) == 1


def test_a_refusal_ends_the_wait_for_a_probe() -> None:
    pace, _ = Pace().refused(NOW, 1).turn("a", 1, None, NOW + 1, 0)
    assert pace.turn("a", 1, None, NOW + 1.5, 0)[1].wait == pytest.approx(1.5)
    assert pace.refused(NOW + 1.1, 0.2).turn("a", 1, None, NOW + 1.5, 0)[1].wait == 0


def test_upstream_is_asked_again_however_long_it_wants_to_be_left_alone() -> None:
    _, turn = Pace().refused(NOW, 86_400).turn("a", 1, None, NOW, 0)
    assert turn.wait == 300


def test_a_long_wait_for_others_is_looked_at_again_half_way() -> None:
    pace, turn = Pace(), Turn(0, 0, None)
    for _ in range(40):
        pace, turn = pace.turn("a", 1, None, NOW, 5)
    assert turn.again == pytest.approx(turn.wait / 2, rel=0.05)
    cool = Pace().refused(NOW, 200)
    assert cool.turn("a", 1, None, NOW, 0)[1].again == 200


@given(st.integers(0, 50), st.none() | st.floats(0, 1000))
def test_a_wait_is_what_was_asked_or_grows(refusals: int, asked: float | None) -> None:
    wait = backoff(refusals, asked)
    least, most = asked or 0, min(2**refusals, 60)
    assert least <= wait <= least + (most / 4 if asked is not None else most)
