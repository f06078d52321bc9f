"""Image formats, as their leading bytes tell them. Pure, and the standard library alone."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from easel.errors import InvalidRequest

type Kind = Literal["png", "jpeg", "webp", "gif", "svg"]

CONTENT_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}

_JPEG_SEGMENTS = 4096
"""Looked through at most for a JPEG's frame header."""
_MOST_PIECES = 16_384
"""Chunks of a PNG, segments and stray bytes of a JPEG: encoders write fewer into 50 MB, and a
decoder takes them one by one."""
_MOST_PACKED = 16
"""Chunks of a PNG that a decoder unpacks, a megabyte each, whenever it opens it."""
_MOST_EXIF_BYTES = 65_535
"""What a JPEG's one segment holds; a decoder joins others, and reads all of it."""
_MOST_SCANNED = 640_000_000
"""Pixels that all scans of a JPEG together go over: a progressive one has ten."""
_MARKER = re.compile(rb"\xff++([^\x00\x01\xd0-\xd7\xff])")
_PNG_CHANNELS: Mapping[int, int] = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PLAIN, _PROGRESSIVE = (2, 12), (5, 36)
_LOSSY, _LOSSLESS = (17, 45), (19, 17)
"""The effort of a JPEG, and of a WebP."""
_SVG_PROLOG = 65_536
"""Bytes looked through at most for an SVG's root element."""
# Possessive and atomic throughout: matching is linear, whatever a caller sends.
_SVG = re.compile(
    rb"((?:\xef\xbb\xbf)?\s*+(?><\?xml[^>]*+>\s*+)?+(?><!--.*?-->\s*+|<!DOCTYPE[^>]*+>\s*+)*+<svg)"
    rb"((?=[\s/>])(?>[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(rb"""(?<![\w:-])([\w:-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_LENGTH = re.compile(rb"([0-9]{1,6}(?:\.[0-9]{1,9})?)(?:px)?")
_SVG_EXTENT = (b"width", b"height", b"preserveAspectRatio")


@dataclass(frozen=True, slots=True)
class Header:
    """What the leading bytes say. Pixels; 0 where an SVG does not say."""

    kind: Kind
    width: int
    height: int
    alpha: bool
    effort: tuple[float, float] = field(default=(0, 0), compare=False)
    """Nanoseconds of CPU that decoding takes a pixel, and a byte: measured, of the worst."""

    def seconds(self, length: int) -> float:
        """Return the CPU that so many bytes take to be decoded, and shown small."""
        pixel, byte = self.effort
        return (self.width * self.height * pixel + length * byte) / 1e9


def invalid(problem: str, param: str | None) -> InvalidRequest:
    """Return the error of a picture that is not what it should be."""
    return InvalidRequest(f"{problem}.", code="invalid_image_file", param=param)


def sniff(data: bytes, param: str | None = None) -> Header:
    """Return what the bytes themselves say they are; no claimed type is believed.

    Raises InvalidRequest(code="invalid_image_file") for anything but PNG, JPEG, WebP, GIF and SVG.
    """
    for matches, read in _READERS:
        if matches(data):
            try:
                header = read(data)
            except (struct.error, IndexError):
                raise invalid("The image is truncated or damaged", param) from None
            if header.kind != "svg" and not (header.width and header.height):
                raise invalid("The image has no pixels", param)
            return header
    raise invalid("The image must be a PNG, JPEG, WebP, GIF or SVG, and is none", param)


def take_apart(data: bytes, header: Header, param: str | None) -> None:
    """Refuse what is made to keep a decoder busy: its pieces are counted before it is decoded.

    Raises InvalidRequest(code="invalid_image_file").
    """
    if header.kind == "jpeg":
        sound = _sound_jpeg(data, header.width * header.height)
    else:
        sound = header.kind != "png" or _sound_png(data)
    if not sound:
        raise invalid("The image is in too many pieces, or its EXIF too long; save it anew", param)


def resize_svg(data: bytes, header: Header, width: int, height: int) -> bytes:
    """Return an SVG that shows itself at this size in pixels, filling it without stretching."""
    root = _SVG.match(data, 0, _SVG_PROLOG)
    if root is None:
        raise invalid("The image has no <svg> element", None)
    kept = _ATTRIBUTE.sub(lambda it: b"" if it[1] in _SVG_EXTENT else it[0], root[2])
    extent = b' width="%d" height="%d" preserveAspectRatio="xMidYMid slice"' % (width, height)
    if b"viewBox" not in root[2] and header.width and header.height:
        extent += b' viewBox="0 0 %d %d"' % (header.width, header.height)
    return root[1] + extent + kept + data[root.end(2) :]


def _png(data: bytes) -> Header:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    keyed = b"tRNS" in _png_chunks(data)
    # Of a channel of 16 bits each byte is looked at, and half of them thrown away.
    unpacked = depth * _PNG_CHANNELS.get(colour, 4) / (2 if depth == 16 else 4)
    # What cannot be averaged as it is is converted first, every pixel of it.
    shown = 12 if keyed or colour in (3, 4) else 6
    return Header("png", width, height, keyed or colour in (4, 6), (shown + unpacked, 10))


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """Yield the types of the chunks before the pixels, as many as may be."""
    offset = 8
    for _ in range(_MOST_PIECES):
        if offset + 8 > len(data) or data[offset + 4 : offset + 8] == b"IDAT":
            return
        length, kind = struct.unpack_from(">I4s", data, offset)
        yield kind
        offset += 12 + length


def _sound_png(data: bytes) -> bool:
    before = [*_png_chunks(data)]
    # Of two sizes the decoder would believe the last, of two animations neither.
    if before.count(b"IHDR") > 1 or before.count(b"acTL") > 1:
        return False
    offset, packed = 8, 0
    for _ in range(_MOST_PIECES):
        if offset + 8 > len(data):
            return packed <= _MOST_PACKED
        packed += _packed(data, offset)
        offset += 12 + int.from_bytes(data[offset : offset + 4])
    return False


def _packed(data: bytes, offset: int) -> bool:
    """Tell whether the chunk is compressed, other than pixels."""
    kind = data[offset + 4 : offset + 8]
    if kind == b"iTXt":  # its keyword, and whether its text is
        end = data.find(b"\0", offset + 8, offset + 88)
        return data[end + 1 : end + 2] != b"\0"
    return kind in (b"iCCP", b"zTXt")


def _sound_jpeg(data: bytes, pixels: int) -> bool:
    offset, pieces, scans, exif = 2, 0, 0, 0
    while (found := _MARKER.search(data, offset)) and found[1] != b"\xd9":
        # What lies between two segments is a scan's own, once there has been one.
        pieces += 1 if scans else found.end() - offset
        scans += found[1] == b"\xda"
        length = int.from_bytes(data[found.end() : found.end() + 2])
        exif += length if data.startswith(b"Exif\0\0", found.end() + 2) else 0
        if pieces > _MOST_PIECES or scans * pixels > _MOST_SCANNED or exif > _MOST_EXIF_BYTES:
            return False
        offset = found.end() + length
    return True


def _jpeg(data: bytes) -> Header:
    offset = 2
    for _ in range(_JPEG_SEGMENTS):
        fill, marker, length = struct.unpack_from(">BBH", data, offset)
        if marker == 0xFF:
            offset += 1
        elif fill == 0xFF and 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, offset + 5)
            return Header("jpeg", width, height, False, _PROGRESSIVE if marker == 0xC2 else _PLAIN)
        else:
            offset += 2 + length
    raise IndexError("no frame header")


def _webp(data: bytes) -> Header:
    (chunk,) = struct.unpack_from("4s", data, 12)
    if chunk == b"VP8X":
        flags, across, down = struct.unpack_from("<B3x3s3s", data, 20)
        width, height = int.from_bytes(across, "little"), int.from_bytes(down, "little")
        return Header("webp", width + 1, height + 1, bool(flags & 0x10), _LOSSY)
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        return Header("webp", width, height, bool(bits >> 28 & 1), _LOSSLESS)
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("webp", width & 0x3FFF, height & 0x3FFF, False, _LOSSY)


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    colours = 3 << (flags & 7) + 1 if flags & 0x80 else 0
    control = data.find(b"\x21\xf9\x04", 13 + colours, 1024 + colours)
    return Header("gif", width, height, control > 0 and bool(data[control + 3] & 1))


def _svg(data: bytes) -> Header:
    root = _SVG.match(data, 0, _SVG_PROLOG)
    attributes = {name: a or b for name, a, b in _ATTRIBUTE.findall(root[2])} if root else {}
    box = re.split(rb"[\s,]+", attributes.get(b"viewBox", b"").strip())
    across, down = box[2:] if len(box) == 4 else (b"", b"")
    width = _length(attributes.get(b"width", b"")) or _length(across)
    height = _length(attributes.get(b"height", b"")) or _length(down)
    return Header("svg", width, height, True)


def _length(text: bytes) -> int:
    number = _LENGTH.fullmatch(text.strip())
    return round(float(number[1])) if number else 0


_READERS: tuple[tuple[Callable[[bytes], object], Callable[[bytes], Header]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n.{4}IHDR", re.DOTALL).match, _png),
    (re.compile(rb"\xff\xd8\xff").match, _jpeg),
    (re.compile(rb"RIFF.{4}WEBPVP8[ LX]", re.DOTALL).match, _webp),
    (re.compile(rb"GIF8[79]a").match, _gif),
    (lambda data: _SVG.match(data, 0, _SVG_PROLOG), _svg),
)
