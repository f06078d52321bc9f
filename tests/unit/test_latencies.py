"""When a waiter looks again: seldom, and soon after a picture is done. With -s, in figures."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.jobs import LEASE_SECONDS, Job
from easel.latencies import (
    DUE_SECONDS,
    DUE_SHARE,
    EARLY_SECONDS,
    EARLY_SHARE,
    SHORTEST_SECONDS,
    Latencies,
)
from easel.lifecycle import Lifecycle
from easel.settings import Settings
from tests.unit.examples import NOW, answer, job, request, succeeded

PATIENCE = 25
"""``WaitSeconds``: then the caller goes on to another function."""
RENEWED = LEASE_SECONDS / 3


@dataclass
class Run:
    """One job's time, its worker and its waiter: a ledger, a clock and a sleep for the lifecycle.

    ``ends`` is so many seconds after NOW; a worker that ``dies`` renews its lease no more.
    """

    starts: float
    ends: float
    dies: float = math.inf
    now: float = NOW
    looks: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    opened: Job = field(default_factory=job)

    def job(self, tenant: str, job_id: str) -> Job:
        self.looks.append(self.now - NOW)
        passed = self.now - NOW
        if passed < self.starts:
            return self.opened
        begun = self.opened.model_copy(update={"started_at": int(NOW + self.starts)})
        if passed >= self.ends:
            return begun.close("succeeded", NOW + self.ends, answer=answer())
        renewals = max(0, min(passed, self.dies) - self.starts) // RENEWED * RENEWED
        due_at = int(NOW + self.starts + renewals + LEASE_SECONDS)
        return begun.model_copy(update={"status": "running", "lease": "x", "due_at": due_at})

    def send(self, tenant: str, job_id: str) -> bool:
        self.sent.append(self.now - NOW)
        return True

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def lifecycle(self, latencies: Latencies) -> Lifecycle:
        mine: Any = {"ledger": self, "queue": self}
        others = dict.fromkeys(("catalogue", "bucket", "worker", "outbox"), cast("Any", None))
        return Lifecycle(
            Settings(),
            **mine,
            **others,
            clock=self.clock,
            sleep=self.sleep,
            latencies=latencies,
        )

    def waited(self, door: Latencies, jobs: Latencies | None = None) -> float:
        """Wait as a caller does, hop by hop; return how long after its end the job was seen so."""
        found, latencies = self.opened, door
        while found.open:
            if latencies is not door:
                found = self.lifecycle(latencies).find("demo", found.id)
            found = self.lifecycle(latencies).wait(found, self.now + PATIENCE)
            latencies = jobs or door
        return self.now - NOW - self.ends


def taught(*seconds: float) -> Latencies:
    """Return what jobs that took so long have taught."""
    latencies = Latencies()
    for one in seconds:
        latencies.learn(done(one), NOW + one)
    return latencies


def done(seconds: float, **changes: Any) -> Job:
    made = succeeded(**changes)
    return made.model_copy(update={"started_at": NOW, "finished_at": int(NOW + seconds)})


def running(**changes: Any) -> Job:
    change = {"status": "running", "lease": "x", "due_at": NOW + 999, "started_at": NOW}
    return job(**{**change, **changes})


durations = st.floats(0.2, 400)


@given(st.lists(durations, max_size=20), st.floats(0, 3), durations)
def test_what_a_picture_waits_to_be_seen_is_bounded(
    recent: list[float], starts: float, seconds: float
) -> None:
    run = Run(starts, starts + seconds)
    delay = run.waited(taught(*recent))
    # Times are whole seconds, and a job's may have begun at any moment of its first.
    passed = starts + seconds + 1
    share, longest = DUE_SHARE, DUE_SECONDS
    if recent and passed < min(recent[-16:]) + 3:
        share, longest = EARLY_SHARE, EARLY_SECONDS
    assert 0 <= delay <= max(SHORTEST_SECONDS, min(longest, share * passed)) + 1e-6


@given(st.lists(durations, max_size=20), st.floats(0, 3), st.floats(1, 200))
def test_a_dead_worker_is_noticed_when_its_lease_ends(
    recent: list[float], starts: float, dies: float
) -> None:
    run = Run(starts, 10_000, dies=starts + dies)
    run.lifecycle(taught(*recent)).wait(run.opened, NOW + 300)
    lapsed = int(NOW + starts + dies // RENEWED * RENEWED + LEASE_SECONDS) - NOW
    assert run.sent == [pytest.approx(lapsed, abs=0.001)]


@given(st.lists(durations, max_size=20), st.floats(0.1, 290))
def test_a_wait_ends_with_a_look_at_its_deadline(recent: list[float], patience: float) -> None:
    run = Run(0, 10_000)
    assert run.lifecycle(taught(*recent)).wait(run.opened, NOW + patience).open
    assert run.looks[-1] == pytest.approx(patience, abs=0.001)


def test_nothing_is_learnt_from_what_failed() -> None:
    latencies = taught(60, 61)
    failed = done(2).model_copy(update={"status": "failed"})
    latencies.learn(failed, NOW + 2)
    assert latencies.pause(running(), NOW + 4) == EARLY_SHARE * 4


def test_a_wait_in_vain_teaches_that_it_takes_longer() -> None:
    latencies = Latencies()
    latencies.learn(running(), NOW + 25)
    latencies.learn(running(), NOW + 4)
    assert latencies.pause(running(), NOW + 20) == EARLY_SECONDS
    assert latencies.pause(running(), NOW + 24.5) == pytest.approx(0.5)
    latencies.learn(done(4), NOW + 4)  # it has got faster
    assert latencies.pause(running(), NOW + 10) == DUE_SHARE * 10


def test_the_oldest_are_forgotten() -> None:
    assert taught(2, *[50] * 16).pause(running(), NOW + 4) == EARLY_SHARE * 4


@pytest.mark.parametrize(
    "other",
    [
        request(model="gpt-image-2"),
        request(parameters={"quality": "low"}),
        request(operation="edit"),
        request(parameters={"quality": "medium", "n": 2}),
    ],
    ids=["model", "quality", "operation", "n"],
)
def test_each_kind_is_learnt_by_itself(other: Any) -> None:
    assert taught(50).pause(running(request=other), NOW + 10) == DUE_SHARE * 10


def test_who_waits_for_a_turn_is_looked_at_when_it_comes() -> None:
    given_back = running(status="queued", lease=None, due_at=NOW + 40)
    latencies = taught(2)
    assert latencies.pause(given_back, NOW + 30) == EARLY_SECONDS
    assert latencies.pause(given_back, NOW + 38) == 2


# --- in figures ---


class Figures(NamedTuple):
    looks: float
    delay: float
    worst: float

    @property
    def cost(self) -> float:
        """What they cost, in seconds of a waiting door: as ``make cost`` has it."""
        return self.looks / 180 + self.delay


def beaten(run: Run) -> float:
    """Wait as Easel did before: by a beat that grows to a second, and begins anew with each hop."""
    while True:
        pause, until = 0.1, run.now + PATIENCE
        while run.now < until:
            run.sleep(min(pause, until - run.now))
            pause = min(pause * 1.5, 1.0)
            if not run.job("", "").open:
                return run.now - NOW - run.ends
        run.job("", "")


def drawn(median: float, spread: float, jobs: int) -> Iterable[Run]:
    """Yield jobs whose latencies are spread as upstream's are: log-normally."""
    dice = random.Random(42)
    for _ in range(jobs):
        starts = dice.uniform(0.02, 0.4)
        yield Run(starts, starts + median * math.exp(dice.gauss(0, spread)))


def figures(runs: Iterable[Run], wait: Callable[[Run], float]) -> Figures:
    kept = [(wait(run), len(run.looks)) for run in runs]
    delays = [delay for delay, _ in kept]
    return Figures(fmean(looks for _, looks in kept), fmean(delays), max(delays))


KINDS = {
    "2.6-flare, low": (6, 0.15),
    "2.5-flare, medium": (27, 0.25),
    "2, medium": (80, 0.25),
    "2, high": (195, 0.22),
}


@pytest.mark.parametrize("kind", KINDS)
def test_waits_look_less_often_and_end_sooner_than_by_a_beat(kind: str) -> None:
    median, spread = KINDS[kind]
    jobs = 400
    door, hops = Latencies(), Latencies()
    beat = figures(drawn(median, spread, jobs), beaten)
    cold = figures(drawn(median, spread, jobs), lambda run: run.waited(Latencies()))
    warm = figures(drawn(median, spread, jobs), lambda run: run.waited(door, hops))
    said = [f"\n{kind}: {median} s; {jobs} jobs"]
    for name, one in (("beat", beat), ("cold", cold), ("warm", warm)):
        late = f"{one.delay:.3f} s late, {one.worst:.2f} s at most"
        said.append(f"  {name}: {one.looks:6.1f} looks, {late}; both cost {one.cost:.2f} s")
    print("\n".join(said))  # noqa: T201  # what DECISIONS.md quotes
    assert warm.cost < 0.95 * beat.cost
    assert warm.delay < beat.delay
    assert warm.looks < cold.looks
    assert warm.looks < beat.looks or median < 10
