"""Answers of the inbox: pictures and a document, beside their question's name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from easel.responses import cost_usd

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.errors import EaselError
    from easel.jobs import Job


def reply(bucket: Bucket, job: Job) -> None:
    """Copy the job's images to ``{reply_to}.{kind}`` and write ``{reply_to}.json`` last."""
    made = job.answer.images if job.answer else ()
    keys = []
    for index, image in enumerate(made):
        suffix = f"-{index}" if len(made) > 1 else ""
        keys.append(f"{job.reply_to}{suffix}.{image.kind}")
        bucket.copy(image.key, keys[-1])
    error = job.error and {name: job.error[name] for name in ("message", "type", "param", "code")}
    _write(
        bucket,
        str(job.reply_to),
        {
            "id": job.id,
            "status": job.status,
            "model": job.request.model,
            "prompt": job.request.prompt,
            "cost_usd": cost_usd(job.charge),
            "images": keys,
            "error": error,
        },
    )


def refuse(bucket: Bucket, reply_to: str, error: EaselError) -> None:
    """Write why a question in the inbox became no job."""
    _write(bucket, reply_to, {"id": None, "status": "failed", **error.body()})


def _write(bucket: Bucket, reply_to: str, document: dict[str, Any]) -> None:
    bucket.put(f"{reply_to}.json", json.dumps(document, indent=1).encode(), "application/json")
