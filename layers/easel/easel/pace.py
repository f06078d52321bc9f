"""Upstream's pace for one model: whose call may go now, and when the others ask again. Pure.

    at = free + (place - passed) * lines * interval

``free`` is when upstream takes a call again: after the cool-down that a refusal has set, and so
that no minute sees more images than the rate. Every tenant with jobs waiting has a line of its own,
in which its jobs have their places, one behind the other. ``passed`` is how far the lines have been
served; all move on together (start-time fair queueing, Goyal, Vin and Cheng, 1996). So a tenant
that comes goes next, whatever others have queued, while its line counts as if it had come behind
theirs: having been idle is no credit. A slot that nobody comes for is soon anybody's, since
``free`` stays behind.

Without a rate nobody waits, but for a minute after a cool-down: then one call goes at a time, two
seconds apart, so that a refusal that is still to come meets one of them, not all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

WINDOW_SECONDS = 62
"""Upstream's minute, and two seconds in which calls may overtake each other on their way."""
_BURST = 1
"""Images that may go ahead of their time after a rest."""
_PROBE_SECONDS = 2
_RECOVERY_SECONDS = 60
_LONGEST_BACKOFF_SECONDS = 60
_LONGEST_COOL_DOWN_SECONDS = 300
"""However long upstream asks for: its operator may have raised the limit meanwhile."""
_LONGEST_LOOK_SECONDS = 30
"""Who has to wait longer asks again after half of it: others may have left."""
_LATE_SECONDS = 120
"""How much later than told a job may come, with a sweep a minute and a queue, and be waited for."""
_MOST_LINES = 1000
_COURTESY = 0.12
"""Of a turn: so long who is next leaves the slot to those whose turn it was before."""
_HASTE = 8
"""Who is an image behind leaves it for a ninth of that alone."""
_NEAR = 3
"""With no more images than so many before it, a job's turn is near."""
_IMAGE = 1_000_000
"""Places are counted in millionths of an image."""


class Line(NamedTuple):
    """A tenant's line: the place behind its last job, and until when one of them is to come."""

    end: int
    until: float


class Room(NamedTuple):
    """The next room in the minute, kept from others for a tenant whose turn has come."""

    tenant: str
    at: float
    """When there is enough of it."""
    until: float
    """How long it is kept."""


class Turn(NamedTuple):
    """In how many seconds the job may call; 0: now."""

    wait: float
    again: float
    """In how many to ask again: then, or half-way there."""
    place: int | None
    """The job's place in its tenant's line, to be shown when it asks again."""
    near: bool = True
    """Whether only a few are before it."""


class Pace(BaseModel):
    """What is known of one model. Times are Unix seconds; the rate is images a minute, 0: none."""

    model_config = ConfigDict(frozen=True)

    cool_until: float = 0
    steady_at: float = 0
    """When the last cool-down is over for a minute."""
    probe_at: float = 0
    """When, before that, the next call may go."""
    refusals: int = 0
    """Cool-downs since upstream was steady."""
    calls: tuple[tuple[float, int], ...] = ()
    """When calls of the last minute went, and for how many images."""
    passed: int = 0
    lines: dict[str, Line] = {}
    kept: Room | None = None

    def turn(
        self, tenant: str, images: int, place: int | None, now: float, rate: int
    ) -> tuple[Self, Turn]:
        """Return the tenant's job's turn, and the pace after it was asked for.

        ``place`` is what the job was given when it asked before, or None.
        """
        if not rate and now >= self.steady_at:
            return self, Turn(0, 0, place)
        interval = WINDOW_SECONDS / rate if rate else _PROBE_SECONDS
        lines = {name: line for name, line in self.lines.items() if self._waits(line, now)}
        others = len(lines.keys() - {tenant})
        end, first = self._place(lines.get(tenant), images, place, others)
        free = self._free(images, rate, interval)
        ahead = max(0, first - self.passed) * (others + 1) / _IMAGE
        # Of those whose turn has come, who is furthest behind is first.
        behind = max(0, self.passed - first) / _IMAGE
        courtesy = _COURTESY / (1 + _HASTE * behind) if others else 0
        at = free + (ahead + courtesy) * interval
        kept = self.kept if self.kept and self.kept.until > now else None
        if kept and kept.tenant != tenant:
            at = max(at, kept.at + courtesy * interval)
        elif not ahead and self._room(images, rate) > now:
            # For many images at once there would else never be room, while others call for one.
            kept = Room(tenant, at, at + _LONGEST_LOOK_SECONDS)
        if at <= now:
            kept = None if kept and kept.tenant == tenant else kept
            lines[tenant] = Line(end, now)
            passed = max(self.passed, first) + images * _IMAGE // (others + 1)
            changed = {"lines": lines, "passed": passed, "kept": kept}
            return self._called(images, now, rate, changed), Turn(0, 0, first)
        turn = Turn(at - now, _again(at, free, now), first, ahead <= _NEAR)
        if tenant not in lines and others >= _MOST_LINES:
            return self, turn._replace(place=None)
        until = max(now + turn.again, lines[tenant].until if tenant in lines else 0)
        lines[tenant] = Line(end, until)
        return self.model_copy(update={"lines": lines, "kept": kept}), turn

    def refused(self, now: float, wait: float) -> Self:
        """Return the pace after upstream refused a call, and is left alone for so many seconds."""
        until = now + min(wait, _LONGEST_COOL_DOWN_SECONDS)
        until = max(until, self.cool_until)
        change = {"cool_until": until, "steady_at": until + _RECOVERY_SECONDS, "probe_at": 0}
        return self.model_copy(update={**change, "refusals": self.refusals_at(now)})

    def refusals_at(self, now: float) -> int:
        """Return which refusal in a row one of now is; those of one cool-down count once."""
        before = self.refusals if now < self.steady_at else 0
        return max(1, before + (now >= self.cool_until))

    def _waits(self, line: Line, now: float) -> bool:
        """Whether some job of the line's is still expected."""
        return line.end > self.passed and line.until + _LATE_SECONDS > now

    def _place(
        self, line: Line | None, images: int, place: int | None, others: int
    ) -> tuple[int, int]:
        """Return where the job's line ends with it, and its own place."""
        if line and place is not None:
            return line.end, place
        if line:
            place = max(self.passed, line.end)
        elif place is None:
            # Before the others' next, and those that come at once one before the other. Its line
            # ends as if it had come behind: who often comes anew is not served more.
            end = self.passed + images * _IMAGE
            return end, self.passed - (random.randrange(_IMAGE // 2, _IMAGE) if others else 0)
        else:
            place = min(place, self.passed)
        return place + images * _IMAGE, place

    def _free(self, images: int, rate: int, interval: float) -> float:
        """Return when upstream takes so many images, were there nobody else."""
        if not rate:
            return max(self.cool_until, self.probe_at)
        spaced = 0.0
        for at, count in self.calls:
            spaced = max(spaced, at) + count * interval
        return max(self.cool_until, spaced - _BURST * interval, self._room(images, rate))

    def _room(self, images: int, rate: int) -> float:
        """Return since when, or from when, a minute has room for so many."""
        if not rate:
            return 0
        taken, since = sum(count for _, count in self.calls), 0.0
        for at, count in self.calls:
            if taken + min(images, rate) <= rate:
                break
            taken, since = taken - count, at + WINDOW_SECONDS
        return since

    def _called(self, images: int, now: float, rate: int, changed: Mapping[str, Any]) -> Self:
        calls = tuple(call for call in self.calls if call[0] > now - WINDOW_SECONDS)
        change = {
            "calls": (*calls, (now, images)) if rate else (),
            "probe_at": 0 if rate else now + _PROBE_SECONDS,
        }
        return self.model_copy(update={**changed, **change})


def _again(at: float, free: float, now: float) -> float:
    """Return in how many seconds to ask again; half of a long wait for others is left out."""
    queueing = at - max(free, now)
    return at - now - (queueing / 2 if queueing > _LONGEST_LOOK_SECONDS else 0)


def backoff(refusals: int, asked: float | None) -> float:
    """Return the seconds to wait: what upstream asked, or exponential with full jitter."""
    jitter = random.uniform(0, min(2**refusals, _LONGEST_BACKOFF_SECONDS))
    return asked + jitter / 4 if asked is not None else jitter
