"""Jobs' lives, drawn: anybody at any time, and each stopped, overtaken, cut off or dead.

``EASEL_MODEL=1000`` draws so many; without it a few, the same every time.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

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
    max_examples=LIVES or 20,
    stateful_step_count=50 if LIVES else 25,
)
_MOST_AT_ONCE = 4
HOW: tuple[dict[str, Any], ...] = ({}, {"wait": 3}, {"later": True}, {"inline": True, "wait": 60})
PRICE = asked(0).ceiling(Catalogue.load())

Course = tuple[int, str, int] | None
"""So many steps, then this fate so many times, and there it stops; None: to the end."""
TO_THE_END: st.SearchStrategy[Course] = st.none()
courses = TO_THE_END | st.tuples(
    st.integers(0, 11), st.sampled_from(("go", *FATES)), st.sampled_from((1, 4))
)
tenants = st.sampled_from(
    (Tenant(name="rich"), Tenant(name="poor", month_budget=5 * PRICE, day_budget=3 * PRICE))
)
requests = st.sampled_from((0, 0, 0, 1)).map(asked)
identities = st.one_of(
    st.sampled_from((0, 1, 2, None)).map(lambda count: Identity(retries=count)),
    st.sampled_from("ab").map(lambda key: Identity(idempotency_key=key)),
)
any_of = st.integers(0, 7)
"""Which of those there are, the latest first, and around again."""
some_at_once = precondition(lambda self: len(self.live) < _MOST_AT_ONCE)
a_job = precondition(lambda self: self.world.known.opened and len(self.live) < _MOST_AT_ONCE)


class Lives(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world.cleared()
        self.live: list[Actor] = []

    def go(self, actor: Actor, course: Course) -> None:
        if actor not in self.live:
            self.live.append(actor)
        steps, fate, times = course or (0, "go", 0)
        for how in ("go",) * steps + (fate,) * times:
            if actor.at:
                actor.step(how)
        if course is None:
            actor.finish()
        self.live = [one for one in self.live if one.at]

    @some_at_once
    @rule(
        tenant=tenants,
        request=requests,
        identity=identities,
        how=st.sampled_from(HOW),
        course=courses,
    )
    def call(
        self,
        tenant: Tenant,
        request: Request,
        identity: Identity,
        how: dict[str, Any],
        course: Course,
    ) -> None:
        self.go(self.world.call(tenant, request, identity, **how), course)

    @some_at_once
    @rule(tenant=tenants, version=st.integers(1, 3), course=courses)
    def put(self, tenant: Tenant, version: int, course: Course) -> None:
        question = put(tenant, version)
        identity = Identity(idempotency_key=question.idempotency_key)
        request = asked(version)
        self.go(self.world.call(tenant, request, identity, question=question), course)

    @a_job
    @rule(which=any_of, seconds=st.sampled_from((900, 900, 310, 200)), course=courses)
    def work(self, which: int, seconds: int, course: Course) -> None:
        self.go(self.world.work(*self.job(which), seconds), course)

    @a_job
    @rule(which=any_of, course=courses)
    def cancel(self, which: int, course: Course) -> None:
        self.go(self.world.cancel(*self.job(which)), course)

    @some_at_once
    @rule(course=courses)
    def sweep(self, course: Course) -> None:
        self.go(self.world.sweep(), course)

    @precondition(lambda self: self.live)
    @rule(which=any_of, course=courses)
    def resume(self, which: int, course: Course) -> None:
        self.go(self.live[-1 - which % len(self.live)], course)

    @rule(seconds=st.sampled_from((61, 11, 30, 600, 1000, 3700)))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @invariant()
    def audited(self) -> None:
        audit(self.world)

    def job(self, which: int) -> tuple[str, str]:
        opened = self.world.known.opened
        job = opened[-1 - which % len(opened)].job
        return job.tenant, job.id

    def teardown(self) -> None:
        wrong = sys.exception()
        for actor in [one for one in self.live if one.at]:
            actor.step("die") if wrong else actor.finish()
        if not wrong:
            settle(self.world)


@pytest.mark.parametrize("attempts", [1, 2])
def test_nothing_is_lost_and_nothing_bought_twice(deployed: Deployed, attempts: int) -> None:
    world = World(deployed.environ, max_paid_attempts=attempts)
    run_state_machine_as_test(lambda: Lives(world), settings=SETTINGS)
