"""One item a model, which many change at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from easel.aws import clients
from easel.aws.pace import Paces
from easel.errors import EaselError
from easel.jobs import Job
from easel.pace import Turn
from tests.unit.examples import NOW, job, request

numbers = count()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def paces(environ: dict[str, str], pauses: list[float]) -> Paces:
    return Paces(clients.dynamodb(), environ["JOBS_TABLE"], 5, lambda: NOW, pauses.append)


@pytest.fixture
def of(paces: Paces) -> Callable[..., Job]:
    """Return what makes jobs of a model that no other test has."""
    model = f"model-{next(numbers)}"

    def made(tenant: str = "demo", **changes: Any) -> Job:
        return job(tenant, request=request(model=model), **changes)

    return made


def met(paces: Paces, times: int, meanwhile: Callable[[], object]) -> Paces:
    """Let something happen between the reading and the writing, so many times."""
    left: Iterator[int] = iter(range(times))

    def now() -> float:
        if next(left, None) is not None:
            meanwhile()
        return NOW

    return replace(paces, clock=now)


def test_a_turn_that_is_taken_is_counted_for_all(paces: Paces, of: Callable[..., Job]) -> None:
    assert [paces.turn(of()).wait for _ in range(2)] == [0, 0]
    third, other = paces.turn(of()), replace(paces).turn(of("other"))
    assert third.wait == pytest.approx(12.4)
    assert other.wait >= third.wait
    again = replace(paces, clock=lambda: NOW + 14)
    assert again.turn(of().model_copy(update={"place": third.place})).wait == 0


def test_what_was_changed_meanwhile_is_read_again(
    paces: Paces, of: Callable[..., Job], pauses: list[float]
) -> None:
    assert met(paces, 1, lambda: paces.turn(of())).turn(of()).wait == 0
    assert len(pauses) == 1
    assert paces.turn(of()).wait == pytest.approx(12.4), "both were counted"


def test_where_others_are_always_faster_nothing_is_called(
    paces: Paces, of: Callable[..., Job], pauses: list[float]
) -> None:
    steps = count(1)

    def refuse() -> None:
        paces.refused(of().request.model, next(steps))

    with pytest.raises(EaselError) as busy:
        met(paces, 100, refuse).turn(of())
    assert (busy.value.status, busy.value.retry) == (503, True)
    assert len(pauses) == 8


def test_a_refusal_is_everybodys(paces: Paces, of: Callable[..., Job]) -> None:
    wait = paces.refused(of().request.model, 30)
    assert 30 <= wait <= 30.5
    told = paces.turn(of("other"))
    assert told.wait == pytest.approx(wait)
    later = replace(paces, clock=lambda: NOW + 32)
    assert later.turn(of("other", place=told.place)).wait == 0
    assert 30 < later.refused(of().request.model, 30) <= 31, "the second in a row"


def test_models_have_nothing_to_do_with_each_other(paces: Paces, of: Callable[..., Job]) -> None:
    paces.refused(of().request.model, 30)
    assert paces.turn(job(request=request(model="another"))).wait == 0


def test_who_has_no_time_to_wait_has_not_asked(paces: Paces, of: Callable[..., Job]) -> None:
    for _ in range(2):
        paces.turn(of())
    assert paces.turn(of(), patience=5).wait == pytest.approx(12.4)
    assert paces.turn(of(), patience=20).wait == pytest.approx(12.4)
    assert paces.turn(of(), patience=20).wait == pytest.approx(24.8, rel=0.05)


def test_without_a_rate_a_call_costs_one_read_and_no_write(
    paces: Paces, of: Callable[..., Job]
) -> None:
    seen: list[tuple[str, bool | None]] = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        seen.append((model.name, params.get("ConsistentRead")))

    paces.client.meta.events.register(
        "before-parameter-build.dynamodb", lambda params, model, **_: note(model, params)
    )
    free = replace(paces, rate=0)
    assert [free.turn(of()) for _ in range(3)] == [Turn(0, 0, None)] * 3
    assert seen == [("GetItem", False)] * 3
