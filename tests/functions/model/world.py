"""The world around Easel: who acts in it, and what the reference model knows of every job.

All of Easel is real, on moto; the clock, upstream and the event bus are this world's.

    fate         a call upstream       its answer        telling the bus
    go           is billed             comes             works
    die          the process is gone, before it or after it
    lost         not billed, unknown   never comes       works, but seems not to
    cut          is refused            is no image       fails
    busy, later  429; wait a while     has no usage      fails

Of what is moderated a ``cut`` call says that it is blocked; all but it and ``go`` say nothing.
"""

from __future__ import annotations

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from easel import bootstrap
from easel.aws.items import plain
from easel.aws.jobs import of_item
from easel.doors.calls import deliver
from easel.errors import EaselError, UpstreamBusy, UpstreamRefused, UpstreamUnknown
from easel.identity import CALLED_SECONDS, Identity
from easel.jobs import Job
from easel.questions import Question
from easel.rendered import Rendered
from easel.requests import Request
from easel.settings import Settings
from easel.tenants import Tenant
from tests.functions.model.actors import Actor, fate
from tests.functions.model.line import LINE_ERRORS, Line
from tests.unit.examples import picture, rendered, request

START = datetime(2026, 11, 30, 23, 50, tzinfo=UTC).timestamp()
"""Ten minutes before a month's end."""
_USAGE = {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448}
_PICTURE = base64.b64encode(picture()).decode()
_NO_IMAGE = base64.b64encode(b"no image").decode()


@dataclass(frozen=True)
class Opened:
    """A job that was opened: under which pointer, and by whom asked for in the inbox."""

    job: Job
    pointer: str


@dataclass
class Known:
    """What has happened outside of Easel's own tables."""

    opened: list[Opened] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    bills: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    """What upstream billed: job → attempt → micro-dollars."""
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the ledger was told of a hit: tenant and row."""
    unseen: set[str] = field(default_factory=set)
    """Jobs of which a call to upstream may have ended unseen."""
    stored: set[str] = field(default_factory=set)
    """Keys in the bucket."""
    told: list[tuple[str, str]] = field(default_factory=list)
    """Jobs and statuses on the event bus."""
    received: set[str] = field(default_factory=set)
    """Jobs whose end a caller was told."""
    handed: set[str] = field(default_factory=set)
    """Jobs whose images were handed to another call."""
    joined: set[str] = field(default_factory=set)
    """Jobs that another caller waits for, too."""
    holders: dict[str, Actor] = field(default_factory=dict)
    """Who took a job last."""
    written: dict[str, Job] = field(default_factory=dict)
    """Jobs as they were last leased, or written whole."""
    passed: set[str] = field(default_factory=set)
    """Jobs whose outputs were judged, the last time, and passed."""
    actors: list[Actor] = field(default_factory=list)
    ends: dict[str, Job] = field(default_factory=dict)
    """Closed jobs as they were first seen."""

    def opened_as(self, job: str) -> Opened:
        """Return how the job was opened."""
        return next(one for one in self.opened if one.job.id == job)

    def blind(self, job: str) -> bool:
        """Whether a call for the job may have been billed without Easel knowing."""
        return job in self.unseen or any(one.error and one.leased == job for one in self.actors)


class World:
    """Easel, the time, and what is known."""

    def __init__(self, environ: dict[str, str], **changes: Any) -> None:
        self.now = START
        self.known = Known()
        self.line = Line(self._heard)
        settings = replace(Settings.from_env(environ), **{"event_bus": "bus", **changes})
        easel = bootstrap.build(settings, clock=lambda: self.now, sleep=self._sleep)
        bus: Any = self if settings.event_bus else None
        worker = replace(
            easel.lifecycle.worker,
            notifier=replace(easel.lifecycle.worker.notifier, events=bus),
            upstream=lambda: self,  # type: ignore[arg-type,return-value]  # two methods of it
            renew_seconds=1e6,
        )
        self.easel = replace(
            easel,
            lifecycle=replace(easel.lifecycle, worker=worker),
            inline=replace(easel.inline, worker=replace(worker, gives_back=False)),
        )
        self.ledger = easel.lifecycle.ledger
        self.tables = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables
        assert easel.lifecycle.queue
        for one in (self.ledger, easel.bucket, easel.lifecycle.queue):
            self.line.connect(one.client)

    def cleared(self) -> World:
        """Return the same world as it was at first."""
        for table in self.tables.values():
            table.items.clear()
        self.now, self.known = START, Known()
        self.line.written.clear()
        return self

    # Who acts.

    def call(
        self,
        tenant: Tenant,
        request: Request,
        identity: Identity,
        *,
        wait: float = 0,
        inline: bool = False,
        later: bool = False,
        question: Question | None = None,
    ) -> Actor:
        """Let a caller open a job and wait so many seconds; or only take its id (``later``)."""
        easel = replace(self.easel, lifecycle=self.easel.inline) if inline else self.easel
        before = list(self.known.opened)

        def act(actor: Actor) -> None:
            until, since = self.now + wait, self.now
            met = easel.lifecycle.open(
                tenant, request, {}, identity, delivered=later, question=question
            )
            job = self.job(met.job.id)
            assert actor.hits == (met.by == "cached") or actor.fated, "a hit is counted"
            if met.by == "cached":
                self._judge_hit(actor, tenant, request, identity, met.job, since)
            elif identity.idempotency_key is None:
                self._judge(actor, identity.retries, job, before)
                assert actor.opened != job.id or not self._cached(job, identity, before, since), (
                    "bought what the cache had"
                )
            job = met.job
            if later or question:
                return
            job = easel.lifecycle.wait(job, until)
            if not job.open:
                deliver(easel, job)
                if self.job(job.id).delivered:
                    self.known.received.add(job.id)
                else:
                    assert job.keyed or actor.fated, "what is received is noted"
                assert images(job) <= self.known.stored, "told of images that are not there"

        return self._actor(act)

    def work(self, tenant: str, job: str, seconds: float = 900) -> Actor:
        """Let a worker get a message."""
        worker = self.easel.lifecycle.worker
        return self._actor(lambda _: worker.run(tenant, job, self.now + seconds))

    def sweep(self) -> Actor:
        """Let the sweep look."""
        return self._actor(lambda _: self.easel.lifecycle.sweep())

    def cancel(self, tenant: str, job: str) -> Actor:
        """Let a caller cancel a job."""
        return self._actor(lambda _: self.easel.lifecycle.cancel(tenant, job))

    def _actor(self, act: Callable[[Actor], object]) -> Actor:
        actor = Actor(act, foreseen=(EaselError, *LINE_ERRORS))
        self.known.actors.append(actor)
        return actor

    def _judge(self, actor: Actor, retries: int | None, job: Job, before: list[Opened]) -> None:
        """Check that the call is the right job, whatever others did meanwhile."""
        known = self.known
        if actor.opened == job.id:
            assert not (retries and self._repeatable(job, before)), "a retry bought anew"
        elif retries == 0:
            assert job.status == "succeeded", "a new call joined"
            assert job.id not in known.received | known.handed, "handed over twice"
            known.handed.add(job.id)
        elif retries is None and job.open:
            assert job.created_at <= self.now - self.patience, "joined too early"
            known.joined.add(job.id)
        elif retries is None and job.created_at > self.now - self.patience:
            assert (job.finished_at or self.now) <= self.now - CALLED_SECONDS, (
                "handed over too early"
            )

    def _judge_hit(
        self,
        actor: Actor,
        tenant: Tenant,
        request: Request,
        identity: Identity,
        job: Job,
        since: float,
    ) -> None:
        """Check that the job may answer the call, which began at ``since``."""
        assert actor.opened is None, "a hit buys nothing"
        assert identity.idempotency_key is None, "a key is a purchase"
        assert not job.keyed
        assert (job.tenant, job.request) == (tenant.name, request), "another's picture"
        assert not job.no_store, "kept from others"
        ttl = identity.cache.ttl(self.easel.settings.cache_ttl_seconds, 30 * 86_400)
        assert ttl, "nobody said so"
        if job.open:
            self.known.joined.add(job.id)
        else:
            assert job.status == "succeeded"
            assert (job.finished_at or 0) >= int(since) - ttl, "too old"

    def _cached(self, new: Job, identity: Identity, before: list[Opened], since: float) -> bool:
        """Whether the cache could have answered all the while, from before ``since`` until now."""
        ttl = identity.cache.ttl(self.easel.settings.cache_ttl_seconds, 30 * 86_400)
        jobs = {job.id: job for job, _ in self.jobs()}
        pointer = self.known.opened_as(new.id).pointer
        return bool(ttl) and any(
            job.tenant == new.tenant
            and not job.no_store
            and (
                job.open
                or (
                    job.status == "succeeded"
                    and self.now - ttl <= (job.finished_at or 0) < int(since)
                )
            )
            for job in (jobs[one.job.id] for one in before if one.pointer == pointer)
        )

    def _repeatable(self, new: Job, before: list[Opened]) -> list[Job]:
        """Return the jobs that a retry should have met rather than open this one."""
        jobs = {job.id: job for job, _ in self.jobs()}
        pointer = self.known.opened_as(new.id).pointer
        same = [jobs[one.job.id] for one in before if one.pointer == pointer]
        since = new.created_at - self.easel.settings.retry_window_seconds
        return [
            job
            for job in same
            if job.tenant == new.tenant
            and not job.worth_repeating()
            and (job.open or (job.finished_at or 0) >= since)
        ]

    @property
    def patience(self) -> float:
        """How long a caller waits at most, in seconds."""
        return self.easel.settings.integration_timeout_millis / 1000

    # What Easel is surrounded by.

    def _sleep(self, seconds: float) -> None:
        fate("sleep")
        self.now += seconds

    def moderate(self, given: str | bytes, *, timeout: float) -> tuple[str, ...] | None:
        """Be upstream's moderation."""
        actor = Actor.current
        assert actor
        assert actor.leased
        how = fate("moderate")
        if isinstance(given, bytes):
            self.known.passed.discard(actor.leased)
        if how in ("lost", "busy", "later"):
            raise UpstreamBusy("Not now.", status=429, retry_after=90 if how == "later" else None)
        if how == "cut":
            return ("violence",)
        if isinstance(given, bytes):
            self.known.passed.add(actor.leased)
        return None

    def render(self, request: Request, inputs: Any, *, timeout: float) -> Rendered:
        """Be upstream, which bills what it begins to answer."""
        actor = Actor.current
        assert actor
        assert actor.leased
        how = fate("call")
        if how == "lost":
            self.known.unseen.add(actor.leased)
            raise UpstreamUnknown("The line was lost.")
        if how == "cut":
            raise UpstreamRefused("Blocked.", status=400, code="moderation_blocked")
        if how in ("busy", "later"):
            raise UpstreamBusy("Not now.", status=429, retry_after=90 if how == "later" else None)
        bills = self.known.bills[actor.leased]
        assert not actor.answered, "bought although the answer was there"
        assert actor.attempt not in bills, "one attempt was bought twice"
        bills[actor.attempt] = self.easel.catalogue.model(request.model).charge(_USAGE, None)
        return self._answered(actor.leased, request, bills, actor.attempt)

    def _answered(
        self, job: str, request: Request, bills: dict[int, int], attempt: int
    ) -> Rendered:
        how = fate("answer")
        if how in ("lost", "cut"):
            self.known.unseen.add(job)
        if how == "lost":
            raise UpstreamUnknown("The line was lost.")
        data = _NO_IMAGE if how == "cut" else _PICTURE
        usage = None if how in ("busy", "later") else _USAGE
        if usage is None:
            bills[attempt] = request.ceiling(self.easel.catalogue)
        return rendered(data, created=int(self.now), usage=usage)

    def finished(self, job: Job) -> bool:
        """Be the event bus."""
        how = fate("tell")
        if how in ("go", "lost"):
            self.known.told.append((job.id, job.status))
        return how == "go"

    def _heard(
        self, actor: Actor, operation: str, request: AWSPreparedRequest, answer: AWSResponse
    ) -> None:
        if operation in ("PutObject", "CopyObject"):
            self._stored(actor, operation, urlsplit(request.url).path[1:])
            return
        body = json.loads(request.body) if operation in _HEARD else {}
        if operation == "SendMessage":
            message = json.loads(body["MessageBody"])
            self.known.messages.append((message["tenant"], message["job"]))
        elif ":hits" in body.get("ExpressionAttributeValues", ()):
            key = plain(body["Key"])
            self.known.hits[key["tenant"], key["sk"]] += 1
            actor.hits += 1
        elif ":owner" in body.get("ExpressionAttributeValues", ()):
            self._leased(actor, of_item(plain(json.loads(answer.content)["Attributes"])))
        elif operation == "TransactWriteItems":
            puts = [one["Put"]["Item"] for one in body["TransactItems"] if "Put" in one]
            self._wrote(actor, of_item(plain(puts[0])), puts[-1]["sk"]["S"])

    def _stored(self, actor: Actor, operation: str, key: str) -> None:
        self.known.stored.add(key)
        settings = self.easel.settings
        if settings.moderation_policy == "prompt+output" and key.startswith("images/"):
            assert key.endswith("/answer.json") or operation == "CopyObject", "seen unjudged"
            if operation == "CopyObject" and settings.moderation_failure == "closed":
                assert actor.leased in self.known.passed, "let out though it did not pass"

    def _leased(self, actor: Actor, job: Job) -> None:
        last = self.known.written[job.id]
        free = last.status == "queued" or last.due_at <= self.now
        assert free or last.lease == job.lease, "a lease is respected"
        before = self.known.holders.get(job.id)
        if before and before is not actor and before.at:
            self.known.unseen.add(job.id)
        self.known.holders[job.id], actor.leased = actor, job.id
        self.known.written[job.id] = job
        actor.answered = (
            bool(job.pending or job.unjudged) and f"{job.prefix}answer.json" in self.known.stored
        )

    def _wrote(self, actor: Actor, job: Job, last: str) -> None:
        self.known.written[job.id] = job
        actor.attempt = job.attempts[-1].number if job.attempts else 0
        if last.startswith(("same#", "key#")):
            actor.opened = job.id
            self.known.opened.append(Opened(job, last))

    # What there is.

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return all of a table; it is no step of anybody."""
        return [plain(item.to_json()["Attributes"]) for item in self.tables[table].all_items()]

    def job(self, job_id: str) -> Job:
        """Return a job as it is now, which there must be."""
        found = [job for job, _ in self.jobs() if job.id == job_id]
        assert found, "a caller's job is in the ledger"
        return found[0]

    def jobs(self) -> list[tuple[Job, dict[str, Any]]]:
        """Return every job, with its row."""
        rows = [row for row in self.rows(self.ledger.jobs_table) if row["sk"].startswith("job#")]
        return [(of_item(row), row) for row in rows]


_HEARD = ("SendMessage", "UpdateItem", "TransactWriteItems")


def images(job: Job) -> set[str]:
    """Return the keys of what the job made."""
    return {image.key for image in job.answer.images} if job.answer else set()


def asked(number: int) -> Request:
    """Return one of a few requests."""
    return request(prompt=f"cat number {number}")


def put(tenant: Tenant, version: int) -> Question:
    """Return a version of the tenant's one question in the inbox."""
    return Question(
        f"inbox/{tenant.name}/cat.png", f"e{version}", None, f"{version:X}".zfill(64), 0
    )
