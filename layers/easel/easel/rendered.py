"""What upstream answers: images one at a time, as they arrive, then words made to fit a job.

An answer of ten images is forty megabytes of JSON, nearly all of it base64 in ``b64_json``. That is
cut out while it is read; the JSON that remains is small, and is read as any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import pybase64
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from easel.errors import UpstreamUnknown

LONGEST_TEXT = 1_000
"""Characters of upstream's words that are kept, so that a job stays within DynamoDB's 400 KB."""
UNREADABLE = "Upstream answered, but not with images that can be read; it may have been billed."
_IMAGE = b"b64_json"


def whole(text: Any) -> str:
    """Return the text cut to what is kept of it, half characters as question marks."""
    return str(text)[:LONGEST_TEXT].encode(errors="replace").decode()


Words = Annotated[str | None, BeforeValidator(lambda said: said and whole(said))]
"""What upstream says, made to fit."""


class Datum(BaseModel):
    """What is said of one image. In place of its base64 is its number, as text."""

    model_config = ConfigDict(extra="ignore")

    b64_json: str
    revised_prompt: Words = None


class Said(BaseModel):
    """Upstream's answer without its images (``openai.types.ImagesResponse``)."""

    model_config = ConfigDict(extra="ignore")

    created: int
    data: list[Datum] = Field(min_length=1)
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: dict[str, Any] | None = None
    svg_usage: dict[str, Any] | None = None


class Rendered:
    """Upstream's answer, while it arrives."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Read the JSON in these pieces."""
        self._chunks = chunks
        self._said: Said | None = None

    def pictures(self) -> Iterator[bytes]:
        """Yield the decoded images, one at a time, once. Raises UpstreamUnknown: they are paid for.

        What this raises after an image is true of all: the answer is not one.
        """
        rest, count = bytearray(), 0
        try:
            for text in _cut(self._chunks, rest):
                count += 1
                data = _decoded(text)
                text.clear()
                yield data
                del data
            # Not pydantic's own parser: it would give up paid pictures for half a character.
            said = Said.model_validate(json.loads(rest))
        except (ValueError, RecursionError, ValidationError):
            raise UpstreamUnknown(UNREADABLE) from None
        if [datum.b64_json for datum in said.data] != [str(number) for number in range(count)]:
            raise UpstreamUnknown(UNREADABLE)
        self._said = said

    @property
    def said(self) -> Said:
        """What was said beside the images, when all of them have been taken."""
        if self._said is None:
            raise RuntimeError("the images are not all taken yet")
        return self._said


def _cut(chunks: Iterable[bytes], rest: bytearray) -> Iterator[bytearray]:
    """Yield each image's base64 as JSON has it; ``rest`` becomes the JSON with numbers instead."""
    image: bytearray | None = None
    inside, name, opened, closed, count = False, b"", 0, 0, 0
    for piece, quoted in _pieces(chunks):
        into = rest if image is None else image
        into += piece
        if not quoted:
            continue
        inside = not inside
        if inside:
            if name == _IMAGE and rest[closed:].strip() == b":":
                image = bytearray()
            rest += b'"'
            opened = len(rest)
            continue
        done, image = image, None
        if done is not None:
            rest += str(count).encode()
            count += 1
        name = bytes(rest[opened:])
        rest += b'"'
        closed = len(rest)
        if done is not None:
            yield done


def _pieces(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the JSON cut at the quotes that begin and end its strings; whether one follows.

    Quotes and backslashes are never part of another character in UTF-8, so bytes will do.
    """
    inside, held = False, b""
    for chunk in chunks:
        data, at = held + chunk, 0
        while (quote := _quote(data, at) if inside else data.find(b'"', at)) >= 0:
            yield data[at:quote], True
            at, inside = quote + 1, not inside
        # A backslash at the end is one half of something.
        end = at + len(data[at:].rstrip(b"\\")) if inside else len(data)
        yield data[at:end], False
        held = data[end:]


def _quote(data: bytes, at: int) -> int:
    """Return where the string ends that the bytes are within; -1 where it goes on."""
    quote = data.find(b'"', at)
    while quote > at and data[quote - 1] == 0x5C:
        before = data[at:quote]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            break
        quote = data.find(b'"', quote + 1)
    return quote


def _decoded(text: bytearray) -> bytes:
    """Return the image. Raises ValueError where it is none."""
    if b"\\" in text:  # a slash may be written as two characters
        return pybase64.b64decode(json.loads(b'"' + text + b'"'), validate=True)
    return pybase64.b64decode(text, validate=True)
