"""What may be said about the work: ids, sizes, durations and costs.

Never a prompt, an image, a key, a presigned URL or a whole event. An unexpected error is logged by
its type and its place in the code, since its message may quote any of these.

Metrics, in the namespace ``Easel``, have few dimensions, each of a few values: a tenant's class,
never its name, and a model of the catalogue. Money is micro-dollars. Per class and model:

| metric | what |
|---|---|
| JobsSucceeded, JobsFailed, JobsCancelled | jobs by their end |
| Images, MicroDollars, HeldMicroDollars | images, charge and hold of jobs that have ended |
| BudgetRefusals | what no budget had room for: calls, and further attempts of jobs |
| CacheHits | calls that were answered without a job of their own |

Per model and operation, since upstream knows no tenants:

| metric | what |
|---|---|
| UpstreamLatency | milliseconds until upstream's images had arrived, and were stored |
| UpstreamLimited | its 429s |
| UpstreamFailed | its 5xxs, and lines that were lost |

Without either, for their alarms: ChargesAboveHold; UpstreamClosed, calls that the key or account is
refused for; UnexpectedErrors, of Easel itself or of AWS. And ModerationFailures, what nobody could
judge.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from easel.errors import NEVER, BudgetExceeded, UpstreamFailure, UpstreamMisconfigured

if TYPE_CHECKING:
    from easel.errors import EaselError
    from easel.jobs import Job

# Libraries say at DEBUG whatever passes through them, bodies and keys included: nobody hears it.
logging.disable(logging.DEBUG)

logger = Logger(service="easel")
metrics = Metrics(namespace="Easel", service="easel")


def closed(job: Job) -> None:
    """Log and count a job that has ended; money in micro-dollars."""
    made = len(job.answer.images) if job.answer else 0
    error = job.error and job.error["code"]
    logger.info(
        "job closed",
        extra={
            **_about(job),
            "error": error,
            "images": made,
            "charge": job.charge,
            "hold": job.hold,
            "seconds": (job.finished_at or 0) - job.created_at,
            "refusals": job.refusals,
        },
    )
    counted = {f"Jobs{job.status.capitalize()}": 1, "Images": made}
    counted |= {"MicroDollars": job.charge, "HeldMicroDollars": job.hold}
    if error == BudgetExceeded.code:
        counted["BudgetRefusals"] = 1
    _count(counted, tenant_class=job.tenant_class, model=job.request.model)
    if job.charge > job.hold:
        # By itself: an alarm looks at one set of dimensions.
        _count({"ChargesAboveHold": 1})


@contextmanager
def admitted(job: Job) -> Iterator[None]:
    """Count the job that no budget has room for, when the block says so."""
    try:
        yield
    except BudgetExceeded:
        _count({"BudgetRefusals": 1}, tenant_class=job.tenant_class, model=job.request.model)
        raise


@contextmanager
def called(job: Job, clock: Callable[[], float]) -> Iterator[None]:
    """Count the block's call to upstream: how long it took to answer, or that it would not."""
    said = {"model": job.request.model, "operation": job.request.operation}
    began = clock()
    try:
        yield
    except UpstreamFailure as failure:
        if _closed(failure):
            _count({"UpstreamClosed": 1})  # by itself, as above
        elif failure.status == 429:
            _count({"UpstreamLimited": 1}, **said)
        elif failure.status >= 500:
            _count({"UpstreamFailed": 1}, **said)
        raise
    milliseconds = round((clock() - began) * 1000)
    _count({"UpstreamLatency": milliseconds}, MetricUnit.Milliseconds, **said)


def unjudged(job: Job, stage: str, error: EaselError) -> None:
    """Log and count what moderation could not judge; ``error`` by its code alone."""
    about = {"tenant": job.tenant, "job": job.id, "stage": stage}
    logger.warning("moderation failed", extra={**about, "error": error.code})
    _count({"ModerationFailures": 1})
    if _closed(error):
        _count({"UpstreamClosed": 1})


def hit(job: Job) -> None:
    """Log and count a call that was answered from the cache, or joined the job by it."""
    logger.info("cache hit", extra=_about(job))
    _count({"CacheHits": 1}, tenant_class=job.tenant_class, model=job.request.model)


def unexpected(error: BaseException, **ids: str) -> None:
    """Log an error nobody foresaw, without its message; ``ids`` say what it happened to."""
    frames = traceback.extract_tb(error.__traceback__)
    logger.error(
        "unexpected error",
        extra={
            **ids,
            "error": type(error).__name__,
            "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        },
    )
    _count({"UnexpectedErrors": 1})


def _closed(error: EaselError) -> bool:
    """Whether upstream makes nothing for anybody until the operator has mended it."""
    return isinstance(error, UpstreamMisconfigured) or error.code in NEVER


def _about(job: Job) -> dict[str, str]:
    return {
        "tenant": job.tenant,
        "job": job.id,
        "operation": job.request.operation,
        "model": job.request.model,
        "status": job.status,
    }


def _count(
    counted: dict[str, int], unit: MetricUnit = MetricUnit.Count, /, **dimensions: str
) -> None:
    """Say all of it now, in one line: nothing waits for the next."""
    for name, value in dimensions.items():
        metrics.add_dimension(name=name, value=value)
    for name, amount in counted.items():
        metrics.add_metric(name=name, unit=unit, value=amount)
    metrics.flush_metrics()
