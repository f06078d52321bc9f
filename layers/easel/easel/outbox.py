"""The outbox: pictures and a document, beside their question's name.

Of a key's versions the newest one's answer stays. Who answers first claims the place
(``aws.inbox``), writes the answer of whoever has it then, and looks again: if a newer version has
claimed it meanwhile, its answer is written anew. So whoever writes last leaves the newest; where a
death comes between, the question is still unanswered, and comes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from easel.questions import EVENT_SECONDS, Claim, Question, incomplete
from easel.responses import cost_usd

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.aws.inbox import Inbox
    from easel.errors import EaselError
    from easel.jobs import Job


@dataclass(frozen=True, slots=True)
class Outbox:
    """Writes answers. ``find(tenant, id)`` finds a job."""

    bucket: Bucket
    inbox: Inbox
    find: Callable[[str, str], Job | None]
    wait_seconds: int
    clock: Callable[[], float]

    def reply(self, job: Job) -> None:
        """Copy the job's images to ``{reply_to}.{kind}`` and write ``{reply_to}.json`` last."""
        self._answer(job.tenant, str(job.reply_to), Claim(job.sequencer, job.version, job=job.id))

    def refuse(self, question: Question, error: EaselError) -> None:
        """Write why a question in the inbox became no job."""
        refusal = json.dumps(error.body()["error"])
        claim = Claim(question.sequencer, question.version, refusal=refusal)
        self._answer(question.tenant, question.reply_to, claim)

    def expire(self, tenant: str, sk: str, bound: Callable[[Question], bool]) -> None:
        """Refuse what has waited in the inbox under this key of the table, if its time is over.

        Not what is ``bound`` to a job meanwhile, nor, once, what lacks nothing: S3's event of it
        has failed, and comes again.
        """
        waiting = self.inbox.waiting(tenant, sk)
        if not waiting or waiting.question.due_at > self.clock():
            return
        question, missing = waiting.question, waiting.missing
        if not bound(question):
            if missing and not waiting.late and all(map(self.bucket.has, missing)):
                self.inbox.wait_on(question, int(self.clock()) + EVENT_SECONDS)
                return
            self.refuse(question, incomplete(question, missing, self.wait_seconds))
        self.inbox.done(question)

    def _answer(self, tenant: str, place: str, claim: Claim) -> None:
        stands: Claim | None = self.inbox.claim(tenant, place, claim, self.clock())
        written = None
        while stands and stands != written:
            self._write(tenant, place, stands)
            written, stands = stands, self.inbox.claimed(tenant, place)

    def _write(self, tenant: str, place: str, claim: Claim) -> None:
        job = self.find(tenant, claim.job) if claim.job else None
        if job:
            document = self._delivered(job, place)
        else:
            document = {"id": None, "status": "failed", "error": json.loads(claim.refusal or "{}")}
        document["version"] = claim.version
        self.bucket.put(
            f"{place}.json", json.dumps(document, indent=1).encode(), "application/json"
        )

    def _delivered(self, job: Job, place: str) -> dict[str, Any]:
        """Copy the job's images; return its document."""
        made = job.answer.images if job.answer else ()
        keys = []
        for index, image in enumerate(made):
            suffix = f"-{index}" if len(made) > 1 else ""
            keys.append(f"{place}{suffix}.{image.kind}")
            self.bucket.copy(image.key, keys[-1])
        return {
            "id": job.id,
            "status": job.status,
            "model": job.request.model,
            "prompt": job.request.said,
            "cost_usd": cost_usd(job.charge),
            "images": keys,
            "error": job.shown_error(),
        }
