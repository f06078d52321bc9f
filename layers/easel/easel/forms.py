"""multipart/form-data: a body's text fields and files. Pure.

The grammar is the ``multipart`` library's; this module decides what is a file, reads RFC 2231
names, which the library does not, and turns its errors into ones a caller can read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)

from easel.errors import InvalidRequest

MAX_PARTS = 64
"""16 images, a mask, and every parameter there is, several times over."""
FILE_NAMES = ("image", "mask", "markup")
"""Parts of these names (and ``image[]``) are files even without a filename."""

_BOUNDARY = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]+)\"|([^\s;\"]+))", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_EXTENDED = re.compile(
    r";\s*(name|filename)\*\s*=\s*(utf-8|iso-8859-1|us-ascii)'[\w-]*'([^\s;]*)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, as it was sent. Its content type and filename are claims."""

    name: str
    filename: str | None
    content_type: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """A form's parts by name, each name's in the order they came."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)


def parse(body: bytes, content_type: str) -> Form:
    """Parse a multipart body. Raises InvalidRequest, saying what would be right."""
    form = Form()
    try:
        for segment, data in _parts(body, _boundary(content_type)):
            _add(form, segment, data)
    except ParserLimitReached as error:
        raise InvalidRequest(
            f"The multipart body is beyond its limits ({error}): send at most {MAX_PARTS} parts "
            "with short headers."
        ) from error
    except MultipartError as error:
        raise InvalidRequest(
            f"The multipart body cannot be read ({error.args[0]}): each part must start with the "
            "boundary and have a Content-Disposition header in UTF-8, lines must end with CRLF, "
            "and the body must end with --boundary--."
        ) from error
    return form


def _boundary(content_type: str) -> str:
    boundary = _BOUNDARY.search(content_type)
    form = content_type.lower().lstrip().startswith("multipart/form-data")
    if not form or not boundary or not content_type.isascii():
        raise InvalidRequest(
            "Expected the header Content-Type: multipart/form-data; boundary=..., as HTTP "
            "libraries write it when they are not given a content type of yours."
        )
    return boundary[1] or boundary[2]


def _parts(body: bytes, boundary: str) -> Iterator[tuple[MultipartSegment, bytes]]:
    with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
        pieces: list[bytes] = []
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, pieces = event, []
            elif event is None:
                yield segment, b"".join(pieces)
            else:
                pieces.append(event)


def _add(form: Form, segment: MultipartSegment, data: bytes) -> None:
    extended = _extended(segment.header("Content-Disposition"))
    name = extended.get("name", segment.name)
    filename = extended.get("filename", segment.filename)
    if not name:
        raise InvalidRequest(
            'Every part needs a name: Content-Disposition: form-data; name="prompt".'
        )
    if filename is None and name.partition("[")[0] not in FILE_NAMES:
        form.fields.setdefault(name, []).append(_text(name, data))
    elif filename != "" or data:
        upload = Upload(name, filename, segment.content_type, data)
        form.files.setdefault(name, []).append(upload)


def _extended(disposition: str) -> dict[str, str]:
    """Return the RFC 2231 parameters (``filename*=utf-8''na%C3%AFve.png``), decoded."""
    bare = _QUOTED.sub('""', disposition)
    try:
        return {
            name.lower(): unquote(value, encoding=charset, errors="strict")
            for name, charset, value in _EXTENDED.findall(bare)
        }
    except UnicodeError as error:
        raise InvalidRequest(
            "An RFC 2231 name cannot be read: write it as filename*=utf-8''na%C3%AFve.png."
        ) from error


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"The field {name[:80]!r} is not UTF-8 text. If it is a file, send it with a filename.",
            param=name,
        ) from error
