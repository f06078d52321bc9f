"""An attempt's answer at rest: its images, and ``answer.json`` beside them, written last.

What is complete is never rebought. Where outputs are judged first, the images lie under
``quarantine/`` until they are: then they are copied to where they belong, and deleted there once
the job is closed. ``answer.json`` says where they lie, and is always in the one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from easel import formats, images
from easel.errors import InvalidRequest, UpstreamUnknown
from easel.inputs import Image, described
from easel.jobs import Answer, Job, LeaseLost

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.catalogue import Catalogue
    from easel.rendered import Rendered

_IMAGES, _QUARANTINE = "images/", "quarantine/"


@dataclass(frozen=True, slots=True)
class Answers:
    """Keeps answers."""

    bucket: Bucket
    keep_prompts: bool = True
    """Whether upstream's own wordings of the prompt are kept, too."""

    def keep(self, job: Job, rendered: Rendered, *, hidden: bool) -> Answer:
        """Store each image as it arrives, in quarantine if ``hidden``; then the answer.

        Raises UpstreamUnknown where it is none.
        """
        prefix = _hidden(job.prefix) if hidden else job.prefix
        kept = tuple(
            self._keep(job, f"{prefix}{index}", data)
            for index, data in enumerate(rendered.pictures())
        )
        said = rendered.said
        answer = Answer(
            images=kept,
            revised_prompts=tuple(datum.revised_prompt for datum in said.data if self.keep_prompts),
            **said.model_dump(exclude={"data"}),
        )
        self.bucket.put(
            f"{job.prefix}answer.json", answer.model_dump_json().encode(), "application/json"
        )
        return answer

    def left(self, job: Job) -> Answer | None:
        """Return the answer that an earlier worker completed, if it can be read."""
        found = self.bucket.find(f"{job.prefix}answer.json")
        try:
            return Answer.model_validate_json(found.data) if found else None
        except ValidationError:
            return None

    def outputs(self, answer: Answer) -> Iterator[bytes]:
        """Yield the images, one at a time. Raises LeaseLost where another has released them."""
        for image in answer.images:
            with _unless_released():
                data = self.bucket.get(image.key)
            yield data

    def release(self, answer: Answer) -> Answer:
        """Copy the images out of quarantine; return the answer as it then is.

        Raises LeaseLost where another has released them.
        """
        return answer.model_copy(update={"images": tuple(map(self._released, answer.images))})

    def discard(self, answer: Answer) -> None:
        """Delete from quarantine what has been released."""
        if hidden(answer):
            self.bucket.delete([image.key for image in answer.images])

    def _keep(self, job: Job, name: str, data: bytes) -> Image:
        try:
            if job.request.resample:
                data = images.resize(data, *job.request.resample)
            header = formats.sniff(data)
        except InvalidRequest:
            raise UpstreamUnknown("Upstream answered with bytes that are no image.") from None
        key = f"{name}.{header.kind}"
        self.bucket.put(key, data, formats.CONTENT_TYPES[header.kind])
        return described(data, header, key, images.digest(data))

    def _released(self, image: Image) -> Image:
        if not image.key.startswith(_QUARANTINE):
            return image
        key = _IMAGES + image.key.removeprefix(_QUARANTINE)
        with _unless_released():
            self.bucket.copy(image.key, key)
        return image.model_copy(update={"key": key})


def hidden(answer: Answer) -> bool:
    """Whether the images are in quarantine."""
    return any(image.key.startswith(_QUARANTINE) for image in answer.images)


def charged(job: Job, answer: Answer, catalogue: Catalogue) -> Job:
    """Return the job with its last attempt answered, at what that cost.

    That is its hold, where upstream did not say what it used.
    """
    attempt = job.attempts[-1]
    try:
        model = catalogue.model(job.request.model)
        charge = model.charge(answer.usage or {}, answer.svg_usage)
    # Usage that is none, or of a model that has left the catalogue.
    except (ValueError, TypeError, AttributeError, LookupError):
        charge = attempt.hold
    return job.end(attempt.settle(charge))


@contextmanager
def _unless_released() -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise LeaseLost from None


def _hidden(prefix: str) -> str:
    return _QUARANTINE + prefix.removeprefix(_IMAGES)
