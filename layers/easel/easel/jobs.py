"""A job: one unit of paid work.

    queued ──> running ──> succeeded | failed | cancelled
       ^          │
       └──────────┘  a worker that must wait long gives its job back

An attempt is one call to upstream that may be billed. A call that surely was not leaves no
attempt behind, only a count of refusals. An open job whose last attempt is answered waits for its
images to be judged.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from easel.errors import Conflict, EaselError, Gone
from easel.inputs import Image
from easel.questions import Question
from easel.requests import Request
from easel.tenants import STANDARD, Moderation, day, month

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

ID = r"^job_[0-9a-f]{35}$"
"""What a job's id looks like; ids are in the order of their jobs' opening."""

LEASE_SECONDS = 60
"""How long a job belongs to a worker that has stopped renewing."""

FIRST_LOOK_SECONDS = 60
"""After this the sweep takes a queued job's message for lost."""


class LeaseLost(Exception):
    """The job is no longer as it was when it was read: taken over, closed, or joined."""


class Attempt(BaseModel):
    """One call to upstream that may be billed. ``hold`` and ``charge`` are micro-dollars."""

    model_config = ConfigDict(frozen=True)

    number: int
    hold: int
    state: Literal["calling", "answered", "unknown"] = "calling"
    charge: int | None = None

    def settle(self, charge: int) -> Attempt:
        """Return the attempt answered, at what it truly cost."""
        return self.model_copy(update={"state": "answered", "charge": charge})

    def lose(self) -> Attempt:
        """Return the attempt with its outcome unknown: it is charged at its hold, estimated."""
        return self.model_copy(update={"state": "unknown", "charge": self.hold})


class Answer(BaseModel):
    """What upstream made of a request, beside its images: also stored as ``answer.json``."""

    model_config = ConfigDict(frozen=True)

    created: int
    images: tuple[Image, ...]
    revised_prompts: tuple[str | None, ...] = ()
    usage: dict[str, Any] | None = None
    svg_usage: dict[str, Any] | None = None
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


class Job(BaseModel):
    """One unit of paid work. Times are Unix seconds, money is micro-dollars."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    tenant_class: str = STANDARD
    """The tenant's when the job was opened; for metrics."""
    id: str
    request: Request
    hold: int
    month: str
    day: str
    created_at: int
    month_budget: int | None = None
    """What the tenant could commit in the month, and in the day, when the job was opened."""
    day_budget: int | None = None
    due_at: int
    """When the sweep should look: a lease's end, or when a queued job is next to be run."""
    status: Status = "queued"
    started_at: int | None = None
    finished_at: int | None = None
    lease: str | None = None
    attempts: tuple[Attempt, ...] = ()
    refusals: int = 0
    """Calls that surely were not billed, and how many of them upstream failed at (5xx)."""
    failures: int = 0
    moderation: Moderation | None = None
    """What is judged of it: the policy when it was opened; None: the deployment's."""
    moderated: bool = False
    """Whether its prompt and its inputs were judged, as far as they can be, and passed."""
    place: int | None = None
    """Its place in its tenant's line before upstream (``pace``)."""
    answer: Answer | None = None
    charge: int = 0
    error: dict[str, Any] | None = None
    keyed: bool = False
    """Whether an idempotency key is bound to it."""
    no_store: bool = False
    """Whether its caller keeps it from answering others (``cache``)."""
    delivered: bool = False
    """Whether its end was told to a caller, or the caller will come for it by its id."""
    reply_to: str | None = None
    """Where in the outbox the answer belongs; None for other doors."""
    version: str | None = None
    """The inbox's object that it answers, in S3's words; and so the following."""
    sequencer: str | None = None
    untold: bool = False
    """Whether its end is still to be told, in the outbox or on the event bus."""
    replied: bool = False
    """Whether only the event bus is left of that."""

    @classmethod
    def new(
        cls,
        tenant: str,
        request: Request,
        *,
        hold: int,
        now: float,
        tenant_class: str = STANDARD,
        month_budget: int | None = None,
        day_budget: int | None = None,
        moderation: Moderation | None = None,
        keyed: bool = False,
        no_store: bool = False,
        delivered: bool = False,
        question: Question | None = None,
        untold: bool = False,
    ) -> Self:
        """Return a queued job with an id that is time-ordered and unguessable."""
        return cls(
            tenant=tenant,
            tenant_class=tenant_class,
            id=f"job_{int(now * 1000):011x}{secrets.token_hex(12)}",
            request=request,
            hold=hold,
            month=month(now),
            day=day(now),
            created_at=int(now),
            due_at=int(now) + FIRST_LOOK_SECONDS,
            month_budget=month_budget,
            day_budget=day_budget,
            moderation=moderation,
            keyed=keyed,
            no_store=no_store,
            delivered=delivered,
            reply_to=question.reply_to if question else None,
            version=question.version if question else None,
            sequencer=question.sequencer if question else None,
            untold=untold,
        )

    @property
    def periods(self) -> tuple[tuple[str, int | None], ...]:
        """The ledger's items that the job's money is in, each with its budget."""
        return ((f"month#{self.month}", self.month_budget), (f"day#{self.day}", self.day_budget))

    @property
    def open(self) -> bool:
        """Whether the job may still change."""
        return self.status in ("queued", "running")

    @property
    def owing(self) -> bool:
        """Whether the job has ended, and its end is still to be told outside."""
        return not self.open and self.untold

    @property
    def unbilled(self) -> bool:
        """Whether the job has failed, surely nothing was bought, and its prompt is still there."""
        return self.status == "failed" and not self.attempts and self.request.said is not None

    @property
    def prefix(self) -> str:
        """Where the next attempt's images belong, or the last one's, once it has begun."""
        return f"images/{self.tenant}/{self.id}/{self.attempts[-1].number}/"

    @property
    def pending(self) -> Attempt | None:
        """The attempt whose outcome nobody has recorded."""
        last = self.attempts[-1] if self.attempts else None
        return last if last and last.state == "calling" else None

    @property
    def unjudged(self) -> bool:
        """Whether the open job is paid for, and only its images' judgement is wanting."""
        return self.open and bool(self.attempts) and self.attempts[-1].state == "answered"

    def lapsed(self, now: float) -> bool:
        """Whether nobody is at work on an open job that should be worked on."""
        return self.open and self.due_at <= now

    def worth_repeating(self) -> bool:
        """Whether a retry may buy anew: nothing was billed, and it could go better."""
        if self.status == "cancelled":
            return True
        hopeless = self.error is None or self.error["retry"] is False
        return self.status == "failed" and self.charge == 0 and not hopeless

    def older_than(self, seconds: float, now: float) -> bool:
        """Whether the job was opened longer ago than that."""
        return now - self.created_at > seconds

    def begin(self, hold: int) -> Self:
        """Return the job with its next attempt calling; ``hold`` is that attempt's own."""
        attempt = Attempt(number=len(self.attempts) + 1, hold=hold)
        return self.model_copy(update={"attempts": (*self.attempts, attempt)})

    def refuse(self, *, failed: bool = False) -> Self:
        """Return the job after a call that surely was not billed; ``failed``: at a 5xx."""
        counted = {"refusals": self.refusals + 1, "failures": self.failures + failed}
        return self.model_copy(update={"attempts": self.attempts[:-1], **counted})

    def end(self, attempt: Attempt) -> Self:
        """Return the job with its last attempt's outcome known."""
        return self.model_copy(update={"attempts": (*self.attempts[:-1], attempt)})

    def close(
        self,
        status: Status,
        now: float,
        *,
        answer: Answer | None = None,
        error: EaselError | None = None,
    ) -> Self:
        """Return the job ended, charged for its attempts and held by nobody."""
        return self.model_copy(
            update={
                "status": status,
                "finished_at": int(now),
                "due_at": int(now) + FIRST_LOOK_SECONDS,
                "lease": None,
                "charge": sum(attempt.charge or 0 for attempt in self.attempts),
                "answer": answer,
                "error": error and error.record(),
            }
        )

    def reopen(self, hold: int, now: float) -> Self:
        """Return the ``unbilled`` job queued again under its id, as if it were opened now."""
        return self.model_copy(
            update={
                "status": "queued",
                "hold": hold,
                "month": month(now),
                "day": day(now),
                "created_at": int(now),
                "due_at": int(now) + FIRST_LOOK_SECONDS,
                "started_at": None,
                "finished_at": None,
                "refusals": 0,
                "failures": 0,
                "place": None,
                "error": None,
                "delivered": False,
                "replied": False,
                "untold": True,  # whether anybody is to be told, the notifier knows
            }
        )

    def shown_error(self) -> dict[str, Any] | None:
        """Return what the job ended in, in OpenAI's shape, if it was an error."""
        return self.error and EaselError.from_record(self.error).body()["error"]

    def raise_error(self) -> None:
        """Raise what a failed or cancelled job ended in."""
        if self.status == "cancelled":
            again = "with a new Idempotency-Key" if self.keyed else "again"
            raise Conflict(
                f"The job was cancelled; ask {again} to make the picture.", code="job_cancelled"
            )
        if self.error is not None:
            error = EaselError.from_record(self.error)
            if self.keyed or self.charge:
                error.retry = False  # the key stays bound to this job; and what was paid is paid
            raise error

    def expired(self, now: float, retention_days: int) -> bool:
        """Whether the job's images are past their retention."""
        return self.finished_at is not None and now > self.finished_at + retention_days * 86_400

    def gone(self) -> Gone:
        """Return the error of images that are past their retention."""
        return Gone(f"The images of {self.id} are not kept any longer.")
