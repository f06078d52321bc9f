"""Actors: code that stops before whatever it does outside, so that a test decides what comes next.

Each runs in a thread of its own, but only one at a time: the one that is stepped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

FATES = ("die", "lost", "cut", "busy", "later")
"""What may happen to a step, beside ``go``; ``model.world`` says what each means where."""
_STUCK_SECONDS = 60
_LONGEST_LIFE = 500


class Died(BaseException):
    """The process is gone; no ``except Exception`` brings it back."""


class Actor:
    """Somebody who acts, step by step. ``at`` is what comes next; None: it is over."""

    current: Actor | None = None
    """Who is being stepped; None while the test itself looks."""

    def __init__(
        self, act: Callable[[Actor], object], foreseen: tuple[type[Exception], ...]
    ) -> None:
        self.at: str | None = "start"
        self.foreseen: tuple[type[BaseException], ...] = (Died, *foreseen)
        self.error: BaseException | None = None
        self.fated = False
        """Whether anything of it has not simply worked."""
        self.leased: str | None = None
        """The last job it took."""
        self.attempt = 0
        """The number of the attempt it last wrote down."""
        self.answered = False
        """Whether the answer to an attempt under way was there when it took the job."""
        self.opened: str | None = None
        """The job it opened, not only met."""
        self.hits = 0
        """How often it has told the ledger of a hit."""
        self._fate, self._dead = "go", False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, args=(act,), daemon=True).start()
        self._wait()

    def step(self, fate: str = "go") -> None:
        """Let it do what comes next, with this fate, and stop before what follows.

        Raises what nobody has foreseen.
        """
        assert self.at, "it is over"
        self._fate, Actor.current = fate, self
        self.fated = self.fated or fate != "go"
        try:
            self._go.release()
            self._wait()
        finally:
            Actor.current = None
        if self.error and not isinstance(self.error, self.foreseen):
            raise self.error

    def go(self, until: str | int | None = None) -> None:
        """Let it go on to its end; or until this comes next, or for so many steps."""
        for steps in range(_LONGEST_LIFE):
            if self.at is None or until in (self.at, steps):
                return
            self.step()
        raise AssertionError(f"no end of it, at {self.at}")

    def pause(self, at: str) -> str:
        """Stop before doing this; return its fate. Raises Died."""
        if not self._dead:
            self.at = at
            self._back.release()
            self._go.acquire()
            self._dead = self._fate == "die"
        if self._dead:
            raise Died
        return self._fate

    def _run(self, act: Callable[[Actor], object]) -> None:
        try:
            self.pause("start")
            act(self)
        except BaseException as error:
            self.error = error
        self.at = None
        self._back.release()

    def _wait(self) -> None:
        assert self._back.acquire(timeout=_STUCK_SECONDS), f"stuck after {self.at}"


def fate(at: str) -> str:
    """Stop whoever acts before doing this; return what shall become of it. Raises Died."""
    return Actor.current.pause(at) if Actor.current else "go"
