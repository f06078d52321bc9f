"""Moderation: OpenAI's own judgement of what is asked and what is made (``/v1/moderations``, free).

    policy          before the call                  after it, before anybody can read
    off
    prompt          the prompt, each input image
    prompt+output   the prompt, each input image     each output, frame by frame

The tenant's policy stands in place of the deployment's. Prompt and images are judged one by one,
an image as a small JPEG: the endpoint takes one at a time, and fails at some that are sound. Of a
mask only the transparency counts, so it is not looked at. What goes upstream unread, in parameters
that the catalogue does not know, is judged as the prompt is.

A call that fails is repeated a few times. Then, where the deployment fails ``open``, the job goes
on unjudged; else nothing is bought, or what was bought stays in quarantine (``answers``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

from easel import telemetry
from easel.errors import (
    InvalidRequest,
    ModerationBlocked,
    ModerationUnavailable,
    UpstreamBusy,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamUnknown,
    names,
)
from easel.images import previews

if TYPE_CHECKING:
    from easel.catalogue import Catalogue
    from easel.jobs import Job
    from easel.requests import Request
    from easel.settings import Settings
    from easel.tenants import Moderation
    from easel.upstream import Upstream

Stage = Literal["prompt", "input image", "output"]

_CALL_SECONDS = 10
_PATIENCE_SECONDS = 20
"""How long one prompt or image is tried to be judged, and how often."""
_TRIES = 3
_LONGEST_PAUSE_SECONDS = 5
_THIS_ALONE = 400
"""The status of what cannot be judged itself."""
_MOST_SILENT = 2
_LONGEST_TEXT = 32_000


@dataclass(frozen=True, slots=True)
class Moderator:
    """Judges jobs. ``upstream`` makes the adapter, where it is needed."""

    settings: Settings
    catalogue: Catalogue
    upstream: Callable[[], Upstream]
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def policy(self, job: Job) -> Moderation:
        """Return what is judged of the job."""
        return job.moderation or self.settings.moderation_policy

    def admit(self, job: Job, inputs: Mapping[str, IO[bytes]]) -> Job:
        """Return the job if prompt and inputs may go upstream; once judged, it is so for good.

        Raises ModerationBlocked or ModerationUnavailable, or InvalidRequest for outputs that could
        never be judged.
        """
        policy = self.policy(job)
        if policy == "off" or job.moderated:
            return job
        if policy == "prompt+output" and job.request.parameters.get("output_format") == "svg":
            raise InvalidRequest(
                "Outputs are moderated here, and an SVG cannot be: ask for another format.",
                param="output_format",
            )
        beside = "\n".join(self.catalogue.texts(job.request.parameters))
        judged = self._pass(job, _asked(job.request, beside, inputs))
        return job.model_copy(update={"moderated": judged})

    def release(self, job: Job, outputs: Iterable[bytes]) -> None:
        """Judge the outputs. Raises ModerationBlocked or ModerationUnavailable."""
        self._pass(job, (("output", each) for each in outputs))

    def _pass(self, job: Job, given: Iterable[tuple[Stage, str | bytes]]) -> bool:
        """Judge one after the other; tell whether that is done, as nothing was blocked.

        What cannot be judged itself will never be; after two in a row that nobody answered for,
        nobody is asked about the rest either.
        """
        judged, silent = True, 0
        for stage, each in given:
            try:
                self._judge(stage, each)
                silent = 0
            except (UpstreamFailure, InvalidRequest) as error:
                telemetry.unjudged(job, stage, error)
                if self.settings.moderation_failure == "closed":
                    raise ModerationUnavailable(_UNAVAILABLE[stage], retry_after=5) from None
                if error.status == _THIS_ALONE:
                    continue
                judged, silent = False, silent + 1
                if silent == _MOST_SILENT:
                    break
        return judged

    def _judge(self, stage: Stage, given: str | bytes) -> None:
        """Judge every view of it; one that cannot be judged spares none of the others."""
        unjudged = None
        for each in [given] if isinstance(given, str) else previews(given):
            try:
                judged = self._asked(each)
            except UpstreamRefused as refused:
                if refused.status != _THIS_ALONE:
                    raise
                unjudged, judged = refused, None
            if judged is not None:
                categories = names(judged)
                raise ModerationBlocked(
                    _BLOCKED[stage].format(", ".join(categories) or "harmful"),
                    param=_PARAMS[stage],
                    moderation_details={
                        "moderation_stage": "output" if stage == "output" else "input",
                        "categories": categories,
                    },
                )
        if unjudged:
            raise unjudged

    def _asked(self, given: str | bytes) -> tuple[str, ...] | None:
        """Ask, and ask again where that may help. Raises UpstreamFailure."""
        until = self.clock() + _PATIENCE_SECONDS
        tries = 0
        while True:
            left = until - self.clock()
            try:
                return self.upstream().moderate(given, timeout=max(1, min(left, _CALL_SECONDS)))
            except (UpstreamBusy, UpstreamUnknown) as failure:
                tries += 1
                pause = failure.retry_after or random.uniform(0, 2**tries / 2)
                late = self.clock() + pause + 1 > until
                if tries == _TRIES or pause > _LONGEST_PAUSE_SECONDS or late:
                    raise
            self.sleep(pause)


def _asked(
    request: Request, beside: str, inputs: Mapping[str, IO[bytes]]
) -> Iterator[tuple[Stage, str | bytes]]:
    """Yield what a request asks to be looked at, no more than one image in memory at a time.

    The prompt by itself, whatever texts come ``beside`` it: more of them would make it harmless.
    """
    yield "prompt", request.prompt
    for start in range(0, len(beside), _LONGEST_TEXT):
        yield "prompt", beside[start : start + _LONGEST_TEXT]
    for image in (*request.images, *([request.markup] if request.markup else ())):
        file = inputs[image.key]
        file.seek(0)
        yield "input image", file.read()


UNJUDGED = "What was made could not be judged in time. It is charged, and not delivered."
_BLOCKED: Mapping[Stage, str] = {
    "prompt": "The prompt was blocked by moderation ({}); nothing was bought. Rephrase it.",
    "input image": "An input image was blocked by moderation ({}); nothing was bought.",
    "output": "What was made was blocked by moderation ({}). It is charged, and not delivered.",
}
_PARAMS: Mapping[Stage, str | None] = {"prompt": "prompt", "input image": "image", "output": None}
_BEFORE = "Moderation does not answer just now; nothing was bought. Ask again."
_UNAVAILABLE: Mapping[Stage, str] = {
    "prompt": _BEFORE,
    "input image": _BEFORE,
    "output": UNJUDGED,
}
