"""The composition root: settings and adapters become Easel.

What is imported and made here stays for the life of a process. To look through it for garbage again
and again would take a fifteenth of a cold start: none is collected until ``build`` has been called.
"""

from __future__ import annotations

import gc

gc.disable()

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from time import sleep, time
from typing import TYPE_CHECKING

from easel.aws import clients
from easel.aws.books import Books
from easel.aws.bucket import Bucket
from easel.aws.events import Events
from easel.aws.inbox import Inbox
from easel.aws.ledger import Ledger
from easel.aws.limits import Limits
from easel.aws.pace import Paces
from easel.aws.queue import Queue
from easel.aws.tenants import Tenants
from easel.catalogue import Catalogue
from easel.lifecycle import Lifecycle
from easel.notifications import Notifier
from easel.outbox import Outbox
from easel.requests import Reader
from easel.settings import Settings
from easel.worker import Worker

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from easel.upstream import Upstream


_LAST_SECONDS = 10
"""What is left of a function's time for building the answer."""


@dataclass(frozen=True, slots=True)
class Easel:
    """All a door needs. ``inline`` runs its jobs in the caller's own invocation."""

    settings: Settings
    catalogue: Catalogue
    tenants: Tenants
    limits: Limits
    books: Books
    bucket: Bucket
    reader: Reader
    inbox: Inbox
    outbox: Outbox
    lifecycle: Lifecycle
    inline: Lifecycle
    clock: Callable[[], float]

    def ends_at(self, context: LambdaContext) -> float:
        """Return the Unix time by which a function must be done, its answer built."""
        return self.clock() + context.get_remaining_time_in_millis() / 1000 - _LAST_SECONDS


def build(
    settings: Settings | None = None,
    *,
    clock: Callable[[], float] = time,
    sleep: Callable[[float], None] = sleep,
) -> Easel:
    """Connect everything; the environment says to what."""
    settings = settings or Settings.from_env()
    catalogue = Catalogue.load()
    dynamodb = clients.dynamodb()
    ledger = Ledger(
        dynamodb,
        settings.jobs_table,
        settings.retention_days,
        sleep,
        settings.ledger_table,
        settings.keep_prompts,
    )
    bucket = Bucket(cache(clients.s3), settings.bucket)
    inbox = Inbox(dynamodb, settings.jobs_table, settings.retention_days)
    outbox = Outbox(bucket, inbox, ledger.job, settings.inbox_wait_seconds, clock)
    worker = Worker(
        settings,
        catalogue,
        ledger,
        bucket,
        Notifier(ledger, outbox, events(settings), clock),
        upstream(settings),
        Paces(dynamodb, settings.jobs_table, settings.upstream_images_per_minute, clock, sleep),
        bool(settings.work_queue_url),
        clock,
        sleep,
    )
    url = settings.work_queue_url
    queue = Queue(cache(clients.sqs), url) if url else None
    lifecycle = Lifecycle(settings, catalogue, ledger, bucket, queue, worker, outbox, clock, sleep)
    made = Easel(
        settings=settings,
        catalogue=catalogue,
        tenants=Tenants(dynamodb, settings.tenants_table),
        limits=Limits(dynamodb, settings.jobs_table, clock),
        books=Books(dynamodb, settings.ledger_table),
        bucket=bucket,
        reader=Reader(catalogue, settings),
        inbox=inbox,
        outbox=outbox,
        lifecycle=lifecycle,
        inline=replace(lifecycle, queue=None, worker=replace(worker, gives_back=False)),
        clock=clock,
    )
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    return made


def events(settings: Settings) -> Events | None:
    """Return the event bus, if the deployment has one."""
    if not settings.event_bus:
        return None
    return Events(cache(clients.events), settings.event_bus, settings.bucket)


def upstream(settings: Settings) -> Callable[[], Upstream]:
    """Return what makes the upstream adapter at its first use, with OpenAI's SDK behind it."""

    @cache
    def made() -> Upstream:
        from easel.aws.secrets import Secrets
        from easel.upstream import Upstream

        return Upstream(Secrets(clients.secrets(), settings.upstream_secret).upstream)

    return made
