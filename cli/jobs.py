"""What is stuck, and the way back: jobs that nobody looks after, and messages that were given up.

A work message comes to its dead letters when function after function has died of it; its job is
failed as too old by then, or still open. A message of the inbox does when its object could not be
handled. A dead letter is judged by what the ledger says today:

    job open                    send     the message goes to the work queue again
    failed, surely unbilled     reopen   the job is opened again, with a new hold in its tenant's
                                         budgets of today; then as above. Not of a suspended one
    otherwise                   drop     it is done, paid, or gone: there is nothing to do
    an object of the inbox      send     S3's message goes to the inbox queue again

The dead letter is deleted last: after a death in between it is judged again, and a job that is
open already is not held twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import unquote_plus

from cli.stack import Failure, Stack, explained
from easel.aws import clients
from easel.aws.ledger import Ledger
from easel.aws.tenants import Tenants
from easel.catalogue import Catalogue
from easel.jobs import Job, LeaseLost
from easel.responses import cost_usd
from easel.tenants import DIRECT, Tenant

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_OVERDUE_SECONDS = 120
"""After two sweeps a job that is due should have been looked at."""
_HIDDEN_SECONDS = 300
"""For how long SQS keeps a message from others that is being looked at, should this process die."""
_WAIT_SECONDS = 1
"""Only a receive that waits asks all of SQS's servers, so that nothing means: nothing there."""
_BATCH = 10
"""As many messages as SQS takes and gives at once."""

_DONE = {"send": "sent again", "reopen": "reopened", "drop": "dropped"}


class Overdue(NamedTuple):
    """A job that the sweep should have looked at long ago."""

    tenant: str
    id: str
    status: str
    age_seconds: int
    attempts: int
    hold_usd: float

    def __str__(self) -> str:
        return (
            f"{self.tenant} {self.id}: {self.status}, {self.age_seconds // 60} min old, "
            f"attempts {self.attempts}, hold {_usd(self.hold_usd)}"
        )


class DeadLetter(NamedTuple):
    """A message that was given up, as SQS has handed it out."""

    id: str
    receipt: str
    body: str


class Verdict(NamedTuple):
    """What a dead letter is about, and what is to be done with it. ``hold`` is micro-dollars."""

    letter: DeadLetter
    about: dict[str, Any]
    """The work queue's: tenant and job; the inbox's: objects, their keys."""
    state: str
    redrive: Literal["send", "reopen", "drop"]
    hold: int = 0
    job: Job | None = None

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        said = {"state": self.state, "redrive": self.redrive, "hold_usd": cost_usd(self.hold)}
        return {"message": self.letter.id, **self.about, **said}

    def __str__(self) -> str:
        hold = f", hold {_usd(cost_usd(self.hold))}" if self.hold else ""
        return f"{self.name}: {self.state}; redrive: {self.redrive}{hold}"

    @property
    def name(self) -> str:
        """What to call it in a line."""
        words = [self.about.get("tenant"), self.about.get("job"), *self.about.get("objects", ())]
        return " ".join(filter(None, words)) or f"message {self.letter.id}"


class Outcome(NamedTuple):
    """What became of a dead letter; ``failure`` says why it is still there."""

    verdict: Verdict
    failure: str | None = None

    def __str__(self) -> str:
        if self.failure:
            return f"FAIL  {self.verdict.name}: {self.failure}"
        return f"ok    {self.verdict.name}: {self.verdict.state}; {_DONE[self.verdict.redrive]}"


class DeadLetters(NamedTuple):
    """A dead-letter queue, and the queue that its messages came from."""

    client: SQSClient
    url: str
    source: str

    @contextmanager
    def received(self) -> Iterator[list[DeadLetter]]:
        """Have all its messages while the block runs; what is not deleted is visible afterwards."""
        found: dict[str, DeadLetter] = {}
        try:
            while new := self._receive():
                more = new.keys() - found.keys()
                found |= new  # the latest receipt is the one that counts
                if not more:
                    break
            yield list(found.values())
        finally:
            for some in batched(found.values(), _BATCH, strict=False):
                # For what was deleted this fails, in the answer and without harm.
                self.client.change_message_visibility_batch(
                    QueueUrl=self.url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": one.receipt, "VisibilityTimeout": 0}
                        for index, one in enumerate(some)
                    ],
                )

    def send(self, letter: DeadLetter) -> None:
        """Send the message where it came from."""
        self.client.send_message(QueueUrl=self.source, MessageBody=letter.body)

    def delete(self, letter: DeadLetter) -> None:
        """Take the message out."""
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=letter.receipt)

    def _receive(self) -> dict[str, DeadLetter]:
        got = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
        )
        return {
            one["MessageId"]: DeadLetter(one["MessageId"], one["ReceiptHandle"], one["Body"])
            for one in got.get("Messages", ())
        }


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is stuck in a stack. Times are Unix seconds."""

    ledger: Ledger
    tenants: Tenants
    queues: Mapping[Literal["work", "inbox"], DeadLetters]
    clock: Callable[[], float] = field(default=time.time)
    catalogue: Catalogue = field(default_factory=Catalogue.load)

    @classmethod
    def of(cls, stack: Stack) -> Self:
        """Return the stack's."""
        sqs = clients.sqs()
        retention_days = 0  # is said of what is closed, and nothing is closed here
        tables = stack.jobs_table_name, retention_days, time.sleep, stack.ledger_table_name
        return cls(
            Ledger(clients.dynamodb(), *tables),
            Tenants(clients.dynamodb(), stack.tenants_table_name),
            {
                "work": DeadLetters(sqs, stack.work_dead_letters_url, stack.work_queue_url),
                "inbox": DeadLetters(sqs, stack.inbox_dead_letters_url, stack.inbox_queue_url),
            },
        )

    def overdue(self) -> Iterator[Overdue]:
        """Yield the jobs that two sweeps have left: open ones, and ends that were not told."""
        now = int(self.clock())
        for tenant, job_id in self.ledger.due(now - _OVERDUE_SECONDS):
            job = self.ledger.job(tenant, job_id)
            if job and (job.open or job.owing) and job.due_at <= now - _OVERDUE_SECONDS:
                age, made = now - job.created_at, len(job.attempts)
                hold_usd = cost_usd(job.hold if job.open else 0)
                yield Overdue(tenant, job_id, job.status, age, made, hold_usd)

    def judged(self) -> Iterator[tuple[str, Verdict]]:
        """Yield every dead letter's queue and verdict, changing nothing."""
        for queue, letters in self.queues.items():
            with letters.received() as found:
                verdicts = [self._judge(queue, letter) for letter in found]
            yield from ((queue, verdict) for verdict in verdicts)

    def redrive(self, planned: Sequence[Verdict]) -> Iterator[Outcome]:
        """Do with each dead letter what today's verdict says; yield what became of it.

        One that would need a higher hold than was ``planned`` is left, and those that were not
        planned are.
        """
        left = {verdict.letter.id: verdict for verdict in planned}
        for queue, letters in self.queues.items():
            with letters.received() as found:
                for letter in found:
                    if plan := left.pop(letter.id, None):
                        yield self._redriven(letters, self._judge(queue, letter), plan.hold)
        for plan in left.values():
            yield Outcome(plan, "It is no longer there; see `easel jobs stuck`.")

    def _judge(self, queue: str, letter: DeadLetter) -> Verdict:
        try:
            body = json.loads(letter.body)
            if queue == "inbox":
                keys = [unquote_plus(one["s3"]["object"]["key"]) for one in body["Records"]]
                return Verdict(letter, {"objects": keys}, "not handled", "send")
            tenant, job_id = str(body["tenant"]), str(body["job"])
        except (ValueError, KeyError, TypeError):
            return Verdict(letter, {}, "no message of Easel's", "drop")
        job = self.ledger.job(tenant, job_id)
        return self._of_job(letter, {"tenant": tenant, "job": job_id}, job)

    def _of_job(self, letter: DeadLetter, about: dict[str, Any], job: Job | None) -> Verdict:
        if job is None:
            return Verdict(letter, about, "gone", "drop")
        if job.open:
            return Verdict(letter, about, "open", "send", job=job)
        state = f"{job.status} {job.error['code']}" if job.error else job.status
        if not job.unbilled:
            return Verdict(letter, about, state, "drop", job=job)
        try:
            hold = job.request.ceiling(self.catalogue)
        except KeyError:
            return Verdict(letter, about, f"{state}, its model retired", "drop", job=job)
        return Verdict(letter, about, state, "reopen", hold, job)

    def _redriven(self, letters: DeadLetters, verdict: Verdict, most: int) -> Outcome:
        try:
            with explained():
                self._act(letters, verdict, most)
        except Failure as failure:
            return Outcome(verdict, str(failure))
        return Outcome(verdict)

    def _act(self, letters: DeadLetters, verdict: Verdict, most: int) -> None:
        """Do it. Raises Failure where it is no longer what was agreed to."""
        job = verdict.job
        if verdict.hold > most:
            raise Failure(_CHANGED)
        if job and verdict.redrive == "reopen":
            self._reopen(job, verdict.hold)
        if verdict.redrive != "drop":
            letters.send(verdict.letter)
        letters.delete(verdict.letter)

    def _reopen(self, job: Job, hold: int) -> None:
        """Open it again, within its tenant's budgets of today. Raises Failure, or EaselError."""
        named = job.tenant != DIRECT
        tenant = self.tenants.payer(job.tenant) if named else Tenant(name=DIRECT)
        budgets = {"month_budget": tenant.month_budget, "day_budget": tenant.day_budget}
        again = job.reopen(hold, self.clock()).model_copy(update=budgets)
        try:
            self.ledger.reopen(job, again)
        except LeaseLost:
            raise Failure(_CHANGED) from None


def plan(verdicts: Sequence[Verdict]) -> str:
    """Say what redrive would do: how many messages, and all the new holds."""
    count = {each: sum(one.redrive == each for one in verdicts) for each in _DONE}
    holds = {one.name: one.hold for one in verdicts}  # two letters may be of one job
    return (
        f"Dead letters: {len(verdicts)}. To reopen, with new holds of "
        f"{_usd(cost_usd(sum(holds.values())))} in all: {count['reopen']}; "
        f"to send again: {count['send']}; to drop: {count['drop']}."
    )


_CHANGED = "It has changed meanwhile; redrive again."


def _usd(amount: float) -> str:
    return f"{amount:.6f} USD"
