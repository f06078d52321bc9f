"""The event bus: that a job has ended, for whoever has a rule for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from easel.responses import cost_usd

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

    from easel.jobs import Job

SOURCE = "easel"
DETAIL_TYPE = "easel.job.finished"


@dataclass(frozen=True, slots=True)
class Events:
    """Puts events."""

    connect: Callable[[], EventBridgeClient]
    """Makes the client, or returns the one it made: most functions never put an event."""
    bus: str
    bucket: str
    """Where the images lie that an event names."""

    def finished(self, job: Job) -> bool:
        """Tell that the job has ended; tell whether the event surely went off."""
        entry: Any = {
            "EventBusName": self.bus,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Time": datetime.fromtimestamp(job.finished_at or job.created_at, UTC),
            "Detail": json.dumps(detail(job, self.bucket)),
        }
        try:
            answer = self.connect().put_events(Entries=[entry])
        except (BotoCoreError, ClientError):
            return False
        return answer["FailedEntryCount"] == 0


def detail(job: Job, bucket: str) -> dict[str, Any]:
    """Return what an event says of its job: never a prompt, never a URL."""
    made = job.answer.images if job.answer else ()
    return {
        "tenant": job.tenant,
        "job": job.id,
        "operation": job.request.operation,
        "status": job.status,
        "model": job.request.model,
        "cost_usd": cost_usd(job.charge),
        "bucket": bucket,
        "images": [image.key for image in made],
        "error": job.error and job.error["code"],
    }
