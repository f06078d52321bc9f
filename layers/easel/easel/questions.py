"""Questions: the objects of the inbox, and where their answers belong. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import unquote_plus

from easel.errors import InvalidRequest

PREFIX = "inbox/"
WAITING = "inbox#"
"""How the ids begin of all that waits, beside jobs' ids."""
LONGEST_KEY = 1024
"""Bytes of a key in S3."""
EVENT_SECONDS = 1000
"""After which S3's event of an object that could not be handled has come again, and more: the inbox
queue hides it for 960."""
_LONGEST_PLACE = 1000
"""Bytes of an answer's key before its ending."""
_SEQUENCER_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Question:
    """One version of an object in the inbox, as S3 tells of it."""

    key: str
    etag: str
    version: str | None
    """None where the bucket keeps no versions, or the event names none."""
    sequencer: str
    """Hexadecimal, padded on the right, as AWS says that they compare (S3's "Event message
    structure"): of one key's versions the newest has the greatest. Zero: unknown."""
    due_at: int
    """Until when it may wait for other objects, in Unix seconds."""

    @classmethod
    def of_event(cls, put: Mapping[str, Any], due_at: float) -> Self:
        """Return the question of an event's ``s3.object``. Raises KeyError for one that is none."""
        return cls(
            key=unquote_plus(put["key"]),
            etag=put["eTag"],
            version=put.get("versionId"),
            sequencer=put.get("sequencer", "").upper().ljust(_SEQUENCER_DIGITS, "0"),
            due_at=int(due_at),
        )

    @property
    def tenant(self) -> str:
        """Whose prefix the key is under, whether or not there is such a tenant."""
        return self._path.partition("/")[0] or "-"

    @property
    def folder(self) -> str:
        """What the names of a manifest's pictures begin at."""
        return self.key[: self.key.rindex("/") + 1]

    @property
    def name(self) -> str:
        """What follows the tenant; empty for an object that lies under no tenant's prefix."""
        tenant, _, name = self._path.partition("/")
        return name if tenant else ""

    @property
    def manifest(self) -> bool:
        """Whether it is to be read as a manifest."""
        return self.key.lower().endswith(".json")

    @property
    def content(self) -> str:
        """What tells the object's contents apart."""
        return self.version or self.etag

    @property
    def idempotency_key(self) -> str:
        """What an event that comes twice shares."""
        return f"{self.key} {self.content} {self.sequencer}"

    @property
    def reply_to(self) -> str:
        """Where in the outbox the answer belongs, without its ending.

        A name too long for that is cut, and ends in a digest of itself.
        """
        place = f"outbox/{self._path}"
        encoded = place.encode()
        if len(encoded) <= _LONGEST_PLACE:
            return place
        digest = hashlib.sha256(encoded).hexdigest()[:32]
        return f"{encoded[: _LONGEST_PLACE - 33].decode(errors='ignore')}-{digest}"

    @property
    def _path(self) -> str:
        return self.key.removeprefix(PREFIX)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question that cannot be answered yet."""

    question: Question
    pictures: tuple[str, ...] = ()
    """Keys of all that a manifest names."""
    missing: tuple[str, ...] = ()
    """Those of them that were not there when it was last looked."""
    late: bool = False
    """Whether its time was over, and it waits on for an event that has failed."""


class Claim(NamedTuple):
    """Whose answer belongs at a place of the outbox: a job's, or a refusal."""

    sequencer: str | None
    """None or zero: the order is unknown, and the later claim stands."""
    version: str | None
    job: str | None = None
    refusal: str | None = None
    """An error's body, as JSON."""

    @property
    def ordered(self) -> bool:
        """Whether it is known which of two versions is the newer."""
        return bool((self.sequencer or "").strip("0"))


def incomplete(question: Question, missing: tuple[str, ...], seconds: int) -> InvalidRequest:
    """Return the error of a question that has waited so long in vain."""
    if question.manifest:
        names = ", ".join(repr(key.removeprefix(question.folder)) for key in missing)
        message = f"Missing after {seconds} s: {names}. Put what is missing and the manifest again."
    else:
        message = (
            f"The picture has no 'prompt' in its metadata, and no manifest has named it within "
            f"{seconds} s. Put the picture and a manifest again."
        )
    return InvalidRequest(message, code="inbox_incomplete", param="images")
