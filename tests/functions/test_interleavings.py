"""Two at once, their steps in every order: nothing is lost, and nothing is bought twice.

A step is a call to AWS, to upstream or to the event bus. The short form stops each of the two once,
and two workers twice; with ``EASEL_MODEL`` set there is every order of two workers, and the others
are stopped twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from easel.cache import CacheControl
from easel.identity import CALLED_SECONDS, Identity
from easel.jobs import LEASE_SECONDS
from easel.tenants import Tenant
from tests.functions.conftest import Deployed
from tests.functions.model.actors import Actor
from tests.functions.model.books import audit, settle
from tests.functions.model.world import World, asked, put

LONG = bool(os.environ.get("EASEL_MODEL"))
NEW, RETRIED, BLIND = Identity(retries=0), Identity(retries=1), Identity()
TENANT = Tenant(name="one")
LAPSE = LEASE_SECONDS + 1
Two = tuple[Actor, Actor]


def opened(world: World) -> tuple[str, str]:
    """Open a job, and return its tenant and id."""
    call(world, NEW).go()
    job = world.known.opened[-1].job
    return job.tenant, job.id


def call(world: World, identity: Identity) -> Actor:
    return world.call(TENANT, asked(0), identity)


def dead(world: World, at: str) -> tuple[str, str]:
    """Open a job, and let its worker die before this step; its lease has lapsed."""
    job = opened(world)
    worker = world.work(*job)
    worker.go(until=at)
    worker.step("die")
    world.now += LAPSE
    return job


def workers(world: World) -> Two:
    job = opened(world)
    return world.work(*job), world.work(*job)


def workers_after(at: str) -> Callable[[World], Two]:
    def two(world: World) -> Two:
        job = dead(world, at)
        return world.work(*job), world.work(*job)

    return two


def worker_and_cancel(world: World) -> Two:
    job = opened(world)
    return world.work(*job), world.cancel(*job)


def worker_and_sweep(world: World) -> Two:
    job = dead(world, "answer")
    world.now += world.easel.settings.max_job_age_seconds
    return world.work(*job), world.sweep()


def cancel_and_join(world: World) -> Two:
    job = opened(world)
    world.now += world.patience
    return world.cancel(*job), call(world, BLIND)


def cancel_and_retry(world: World) -> Two:
    job = opened(world)
    return world.cancel(*job), call(world, RETRIED)


def made_and_uncalled(identity: Identity) -> Callable[[World], Two]:
    def two(world: World) -> Two:
        world.work(*opened(world)).go()
        world.now += CALLED_SECONDS
        return call(world, identity), call(world, identity)

    return two


CACHED = Identity(retries=0, cache=CacheControl(max_age=60))


def two_at_the_cache(world: World) -> Two:
    return call(world, CACHED), call(world, CACHED)


def cancel_and_hit(world: World) -> Two:
    return world.cancel(*opened(world)), call(world, CACHED)


def worker_and_hit(world: World) -> Two:
    return world.work(*opened(world)), call(world, CACHED)


def two_versions(world: World) -> Two:
    jobs = []
    for version in 1, 2:
        question = put(TENANT, version)
        key = Identity(idempotency_key=question.idempotency_key)
        world.call(TENANT, asked(0), key, question=question).go()
        jobs.append(world.known.opened[-1].job)
    old, new = jobs
    return world.work(old.tenant, old.id), world.work(new.tenant, new.id)


def same_key(world: World) -> Two:
    key = Identity(idempotency_key="a")
    return call(world, key), call(world, key)


def orders(
    two: Callable[[], Two], fates: Sequence[str], stops: int, between: Callable[[], None]
) -> Iterator[list[int]]:
    """Go through every order of two actors' steps in which they are stopped so often.

    ``fates`` are those of the first calls to upstream; ``between`` is called where one is stopped
    for the other.
    """
    todo: list[list[int]] = [[]]
    while todo:
        begun = todo.pop()
        actors, order, turn, stopped, calls = two(), list[int](), 0, 0, iter(fates)
        while any(actor.at for actor in actors):
            chosen = begun[len(order)] if len(order) < len(begun) else turn
            if not actors[chosen].at:
                chosen = 1 - chosen
            elif len(order) >= len(begun) and stopped < stops and actors[1 - turn].at:
                todo.append([*order, 1 - turn])
            if chosen != turn and actors[turn].at:
                stopped += 1
                between()
            turn = chosen
            actors[turn].step(next(calls, "go") if actors[turn].at == "call" else "go")
            order.append(turn)
        yield order


@pytest.fixture
def world(deployed: Deployed) -> World:
    return World(deployed.environ, event_bus="")


def explored(
    world: World,
    two: Callable[[World], Two],
    fates: Sequence[str] = (),
    *,
    stops: int,
    lapse: float = 0,
) -> int:
    """Judge every order; return how many there were. ``lapse``: seconds that pass at each stop."""

    def between() -> None:
        audit(world)
        world.now += lapse

    count = 0
    for order in orders(lambda: two(world.cleared()), fates, stops, between):
        try:
            audit(world)
            settle(world)
        except AssertionError as wrong:
            wrong.add_note(f"in the order {order}")
            raise
        count += 1
    return count


@pytest.mark.parametrize(("attempts", "lapse"), [(1, 0), (1, LAPSE), (2, LAPSE)])
def test_two_workers_on_one_job(deployed: Deployed, attempts: int, lapse: float) -> None:
    world = World(deployed.environ, max_paid_attempts=attempts)
    assert explored(world, workers, stops=4 if LONG else 2, lapse=lapse) > 9


@pytest.mark.parametrize(
    "two",
    {
        "two workers after one that died calling": workers_after("call"),
        "two workers after one that died storing": workers_after("PutObject"),
        "a worker and a cancellation": worker_and_cancel,
        "a worker and the sweep of an old job": worker_and_sweep,
        "a cancellation and a join": cancel_and_join,
        "a cancellation and a retry": cancel_and_retry,
        "two callers and one uncalled picture": made_and_uncalled(NEW),
        "two retries and one uncalled picture": made_and_uncalled(RETRIED),
        "two callers with one key": same_key,
        "two callers whom the cache may answer": two_at_the_cache,
        "a cancellation and a hit": cancel_and_hit,
        "a worker and a hit": worker_and_hit,
        "two versions of a question": two_versions,
    }.items(),
    ids=lambda pair: pair[0],
)
def test_two_at_once(world: World, two: tuple[str, Callable[[World], Two]]) -> None:
    assert explored(world, two[1], stops=3 if LONG else 1) > 3


def test_a_worker_that_gives_back_and_a_cancellation(deployed: Deployed) -> None:
    """What is cancelled has been held twice, once it was lost and once refused."""
    world = World(deployed.environ, max_paid_attempts=2)
    assert explored(world, worker_and_cancel, ["lost", "later"], stops=3 if LONG else 2) > 9


JUDGED = {"moderation_policy": "prompt+output", "moderation_failure": "closed"}


@pytest.mark.parametrize("died", ["moderate", "CopyObject", "DeleteObjects"])
def test_two_workers_where_outputs_are_judged(deployed: Deployed, died: str) -> None:
    """After one that died judging, letting out, or tidying up."""

    def two(world: World) -> Two:
        job = opened(world)
        worker = world.work(*job)
        worker.go(until="answer")
        worker.go(until=died)
        worker.step("die")
        world.now += LAPSE
        return world.work(*job), world.work(*job)

    world = World(deployed.environ, event_bus="", **JUDGED)
    stops = 3 if LONG else 1
    assert explored(world, two, stops=stops, lapse=LAPSE) >= (1 if died == "DeleteObjects" else 4)


def test_a_worker_that_judges_and_the_sweep_of_an_old_job(deployed: Deployed) -> None:
    def two(world: World) -> Two:
        job = opened(world)
        worker = world.work(*job)
        worker.go(until="answer")
        worker.go(until="moderate")
        worker.step("die")
        world.now += world.easel.settings.max_job_age_seconds + LAPSE
        return world.work(*job), world.sweep()

    world = World(deployed.environ, event_bus="", **JUDGED)
    assert explored(world, two, stops=3 if LONG else 1) > 3
    [job] = [job for job, _ in world.jobs()]
    assert (job.status, job.charge) == ("failed", job.attempts[0].charge)
    assert job.charge < job.hold
