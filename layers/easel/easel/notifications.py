"""What is told outside of a job's end: the inbox's answer, and the event.

Both are told after close, by whoever ran the job, at least once: a closed job that still owes them
keeps its place among what is due, so that the sweep sends a worker to tell them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from easel import telemetry
from easel.jobs import FIRST_LOOK_SECONDS

if TYPE_CHECKING:
    from easel.aws.events import Events
    from easel.aws.ledger import Ledger
    from easel.jobs import Job
    from easel.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells what closed jobs owe. Without a bus (``events``) there is nobody to tell of events."""

    ledger: Ledger
    outbox: Outbox
    events: Events | None
    clock: Callable[[], float]

    def notify(self, job: Job) -> None:
        """Tell what the job owes, if anything; an event that did not go off is put off."""
        if not job.owing:
            return
        if job.reply_to and not job.replied:
            self.outbox.reply(job)
        if self.events and not self.events.finished(job):
            telemetry.logger.warning("event not sent", extra={"job": job.id})
            self.ledger.put_off(job, int(self._later(job)))
        else:
            self.ledger.told(job)

    def _later(self, job: Job) -> float:
        """Return when to try again: after as long again as it has waited since its end."""
        now = self.clock()
        return now + max(FIRST_LOOK_SECONDS, now - (job.finished_at or now))
