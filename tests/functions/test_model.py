"""Jobs' lives, drawn: anybody at any time, and each stopped, overtaken, cut off or dead.

The reference model is ``model``. With ``EASEL_MODEL=1000`` so many lives are drawn; without it a
few, the same every time.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from easel.cache import CacheControl
from easel.catalogue import Catalogue
from easel.identity import Identity
from easel.requests import Request
from easel.tenants import Tenant
from tests.functions.conftest import Deployed
from tests.functions.model.actors import FATES, Actor
from tests.functions.model.books import audit, settle
from tests.functions.model.world import World, asked, put

LIVES = int(os.environ.get("EASEL_MODEL", "0"))
SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    derandomize=not LIVES,
    max_examples=LIVES or 8,
    stateful_step_count=50 if LIVES else 20,
)
MOST_AT_ONCE = 4


class Course(NamedTuple):
    """How somebody goes on: after so many seconds, to the end, or up to a step and no further."""

    after: float
    until: str | int | None
    fate: str
    """What becomes of that step, and of so many."""
    times: int


class Call(NamedTuple):
    tenant: Tenant
    request: Request
    identity: Identity
    how: dict[str, Any]


class Put(NamedTuple):
    """A version of the tenant's one question is put into the inbox; or its event comes again."""

    tenant: Tenant
    version: int


class Work(NamedTuple):
    """A message comes, for one of the jobs: first those at work, then those that wait."""

    which: int
    seconds: int


class Cancel(NamedTuple):
    which: int


class Sweep(NamedTuple):
    pass


class Resume(NamedTuple):
    """One of those who were stopped goes on."""

    which: int


PRICE = asked(0).ceiling(Catalogue.load())
RICH, POOR = Tenant(name="rich"), Tenant(name="poor", month_budget=3 * PRICE, day_budget=2 * PRICE)
tenants = st.sampled_from((RICH, RICH, POOR))
any_of = st.sampled_from((0, 0, 0, 0, 1, 2, 3))
calls = st.builds(
    Call,
    tenants,
    st.sampled_from((0, 0, 0, 1)).map(asked),
    st.builds(
        Identity,
        retries=st.sampled_from((0, 0, 1, 2, None)),
        cache=st.sampled_from(("", "", "max-age=60", "max-age=5000", "no-cache", "no-store")).map(
            CacheControl.read
        ),
    )
    | st.sampled_from("ab").map(
        lambda key: Identity(idempotency_key=key, cache=CacheControl.read("max-age=5000"))
    ),
    st.sampled_from(({}, {"wait": 3}, {"later": True}, {"inline": True, "wait": 60})),
)
ACTS: dict[str, st.SearchStrategy[NamedTuple]] = {
    "call": calls,
    "put": st.builds(Put, tenants, st.integers(1, 3)),
    "work": st.builds(Work, any_of, st.sampled_from((900, 900, 900, 310, 200))),
    "cancel": st.builds(Cancel, any_of),
    "sweep": st.builds(Sweep),
    "resume": st.builds(Resume, any_of),
}
OFTEN = ("call", "call", "put", "work", "work", "work", "cancel", "sweep", "resume", "resume")
acts = st.sampled_from(OFTEN).flatmap(ACTS.__getitem__)
STEPS = ("TransactWriteItems", "UpdateItem", "PutObject", "CopyObject", "moderate", "call")
STEPS_OR_COUNTS = (*STEPS, "answer", "tell", 1, 2, 4, 6)
courses = st.builds(
    Course,
    st.sampled_from((0, 0, 0, 0, 61, 61, 11, 30, 700, 4000)),
    st.sampled_from((None,) * 8 + STEPS_OR_COUNTS),
    st.sampled_from(("go", "go", *FATES)),
    st.sampled_from((1, 4)),
)


class Lives(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world.cleared()
        self.live: list[Actor] = []

    # One rule for all: of several, hypothesis would leave some out of most lives.
    @rule(act=acts, course=courses)
    def go(self, act: NamedTuple, course: Course) -> None:
        self.world.now += course.after
        actor = self.somebody(act)
        actor.go(course.until)
        for _ in range(course.times):
            if actor.at:
                actor.step(course.fate)
        self.live = [one for one in self.live if one.at]

    def somebody(self, act: NamedTuple) -> Actor:
        """Return who does this, or goes on.

        Where there is no such job, or nobody was stopped, there is a new call; where too many
        were, one of them goes on.
        """
        if self.live and (isinstance(act, Resume) or len(self.live) == MOST_AT_ONCE):
            return self.live[-1 - getattr(act, "which", 0) % len(self.live)]
        self.live.append(self.begun(act))
        return self.live[-1]

    def begun(self, act: NamedTuple) -> Actor:
        world = self.world
        match act:
            case Call(tenant, request, identity, how):
                return world.call(tenant, request, identity, **how)
            case Put(tenant, version):
                question = put(tenant, version)
                identity = Identity(idempotency_key=question.idempotency_key)
                return world.call(tenant, asked(version), identity, question=question)
            case Work(which, seconds) if job := self.job(which):
                return world.work(*job, seconds)
            case Cancel(which) if job := self.job(which):
                return world.cancel(*job)
            case Sweep():
                return world.sweep()
            case _:
                return world.call(RICH, asked(0), Identity(retries=0))

    def job(self, which: int) -> tuple[str, str] | None:
        status = {job.id: job.status for job, _ in self.world.jobs()}
        opened = [one.job for one in self.world.known.opened]
        opened.sort(key=lambda job: (status[job.id] == "running", status[job.id] == "queued"))
        job = opened[-1 - which % len(opened)] if opened else None
        return (job.tenant, job.id) if job else None

    @invariant()
    def audited(self) -> None:
        audit(self.world)

    def teardown(self) -> None:
        wrong = sys.exception()
        for actor in [one for one in self.live if one.at]:
            actor.step("die") if wrong else actor.go()
        if not wrong:
            settle(self.world)


JUDGED = {"moderation_policy": "prompt+output", "moderation_failure": "closed"}
CACHED = {"cache_ttl_seconds": 700}


@pytest.mark.parametrize(
    ("attempts", "bus", "more"), [(1, "bus", {}), (2, "", {}), (1, "bus", JUDGED), (1, "", CACHED)]
)
def test_nothing_is_lost_and_nothing_bought_twice(
    deployed: Deployed, attempts: int, bus: str, more: dict[str, Any]
) -> None:
    world = World(deployed.environ, max_paid_attempts=attempts, event_bus=bus, **more)
    run_state_machine_as_test(lambda: Lives(world), settings=SETTINGS)
