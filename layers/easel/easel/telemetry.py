"""What may be said about the work: ids, sizes, durations and costs.

Never a prompt, an image, a key, a presigned URL or a whole event. An unexpected error is logged by
its type and its place in the code, since its message may quote any of these.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from easel.jobs import Job

logger = Logger(service="easel")
metrics = Metrics(namespace="Easel", service="easel")


def closed(job: Job) -> None:
    """Log and count a job that has ended; money in micro-dollars."""
    made = len(job.answer.images) if job.answer else 0
    logger.info(
        "job closed",
        extra={
            "tenant": job.tenant,
            "job": job.id,
            "operation": job.request.operation,
            "model": job.request.model,
            "status": job.status,
            "error": job.error and job.error["code"],
            "images": made,
            "charge": job.charge,
            "hold": job.hold,
            "seconds": (job.finished_at or 0) - job.created_at,
            "refusals": job.refusals,
        },
    )
    metrics.add_dimension(name="operation", value=job.request.operation)
    metrics.add_dimension(name="model", value=job.request.model)
    metrics.add_metric(name=f"Jobs{job.status.capitalize()}", unit=MetricUnit.Count, value=1)
    metrics.add_metric(name="Images", unit=MetricUnit.Count, value=made)
    metrics.add_metric(name="MicroDollars", unit=MetricUnit.Count, value=job.charge)
    metrics.flush_metrics()
    if job.charge > job.hold:
        # By itself: an alarm looks at one set of dimensions.
        metrics.add_metric(name="ChargesAboveHold", unit=MetricUnit.Count, value=1)
        metrics.flush_metrics()


def hit(job: Job) -> None:
    """Log a call that was answered from the cache, or joined the job by it."""
    logger.info(
        "cache hit",
        extra={
            "tenant": job.tenant,
            "job": job.id,
            "operation": job.request.operation,
            "model": job.request.model,
            "status": job.status,
        },
    )


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
