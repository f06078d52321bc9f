"""What a manifest in the inbox asks for, once all the pictures it names are there.

While some are not, it waits; and then it looks again, so that a picture that has come between is
not missed. One that comes later finds the manifest waiting (``aws.inbox``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from easel import manifest
from easel.doors.references import BEGINNING_BYTES, tenancy
from easel.errors import InvalidRequest, NotFound
from easel.formats import CONTENT_TYPES
from easel.inputs import MAX_IMAGES, Image, Inputs, begun
from easel.keys import digest
from easel.manifest import Manifest
from easel.questions import Question, Waiting
from easel.requests import Asked, Tenancy

if TYPE_CHECKING:
    from easel.aws.bucket import Found
    from easel.bootstrap import Easel
    from easel.tenants import Tenant

_MOST_PICTURES = MAX_IMAGES + 2
"""With mask and markup."""


class _Missing(Exception):
    """A picture that the manifest names is not there."""


def asked(easel: Easel, tenant: Tenant, question: Question) -> Asked | None:
    """Return what the manifest asks for; None where it waits. Raises EaselError."""
    found = easel.bucket.find(question.key, question.version, first=manifest.MAX_BYTES + 1)
    if found is None:
        raise gone()
    named = manifest.read(found.data, question.key)
    for _ in "looked", "looked again":
        keys = named.pictures[:_MOST_PICTURES]
        missing = tuple(key for key in keys if not easel.bucket.has(key))
        try:
            return _understood(easel, tenant, question, named, missing)
        except _Missing:
            easel.inbox.wait(Waiting(question, named.pictures, missing))
    return None


def kept(easel: Easel, question: Question, found: Found, param: str) -> Image:
    """Keep a picture of the inbox among the inputs: its owner may take it away. Never loads it.

    ``question`` names the picture. Raises InvalidRequest, if its beginning shows that it is none.
    """
    key = f"inputs/{question.tenant}/inbox-{digest(f'{question.key} {question.content}')}"
    image = begun(found.data, found.length, key, found.etag, param)
    # What its metadata says, a prompt perhaps, is in the job, for as long as that is to be kept.
    kind = CONTENT_TYPES[image.kind]
    etag = easel.bucket.take(question.key, question.version, key, kind)
    return image.model_copy(update={"etag": etag})


def gone() -> NotFound:
    """Return the error of an object that is no longer there."""
    return NotFound("The object was gone before it could be read.")


def _understood(
    easel: Easel, tenant: Tenant, question: Question, named: Manifest, missing: tuple[str, ...]
) -> Asked:
    """Raises _Missing where all is well but for what is missing; else as Reader.read does."""
    used: dict[str, str] = {}

    def locate(file_id: str, param: str) -> Image:
        if file_id not in named.pictures:
            return theirs.locate(file_id, param)
        found = None if missing else easel.bucket.find(file_id, first=BEGINNING_BYTES)
        if found is None:
            raise _Missing
        used[file_id] = found.content
        return _picture(easel, question, file_id, found, param)

    theirs = tenancy(easel, tenant)
    ours: Tenancy = replace(theirs, locate=locate)
    today = easel.lifecycle.today()
    try:
        return easel.reader.read(named.operation, ours, named.fields, Inputs(), today=today)
    finally:
        easel.inbox.use(question.tenant, used, easel.clock())


def _picture(easel: Easel, question: Question, key: str, found: Found, param: str) -> Image:
    theirs = replace(question, key=key, version=found.version, etag=found.content)
    try:
        return kept(easel, theirs, found, param)
    except InvalidRequest as error:
        name = key.removeprefix(question.folder)
        raise InvalidRequest(f"{name}: {error.message}", code=error.code, param=param) from None
