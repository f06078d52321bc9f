"""Image bytes: whether they are sound, and other sizes of the same. Pure.

What bytes are is told by ``formats``, from their beginning. Pillow is imported where pixels are
decoded, with the one format needed, and nothing of it escapes: what it cannot read is an
InvalidRequest.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

from easel.errors import InvalidRequest
from easel.formats import Header, Kind, invalid, resize_svg, sniff, take_apart

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 50 * 2**20
"""OpenAI's limit for an input image."""
MAX_MASK_BYTES = 4 * 2**20
"""OpenAI's limit for a mask."""
MAX_EDGE = 16_384
MAX_PIXELS = 64_000_000
"""What is decoded at most, 256 MB as RGBA: above most cameras' pictures, below Pillow's limit."""
MOST_SECONDS = 0.8
"""Of CPU, to decode an image, or all that come with one call. Plain JPEGs below 50 MB pass."""
_MOST_ALPHA = 8_388_608
_ALPHA_DECODINGS = 3
"""Of an image whose alpha is a mask: to check it, to take the alpha, and to check it as any."""

_INPUT_KINDS = ("png", "jpeg", "webp")
_ORIENTATION, _MOST_EXIF_BYTES = 0x0112, 65_536
_SIDEWAYS = (5, 6, 7, 8)
_QUALITY = 95
_PREVIEW_EDGE, _PREVIEW_QUALITY = 1536, 85
"""Enough to see what a picture is of, in a few hundred kilobytes."""


def digest(data: bytes) -> str:
    """Return the SHA-256 of image bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def verify(data: bytes, param: str) -> Header:
    """Check an input image whole, and return its header as it is displayed (EXIF applied).

    PNG, JPEG or WebP, less than 50 MB, at most 16384 pixels an edge and 64 million in all, and
    not too dear to decode, which is looked at before. Raises
    InvalidRequest(code="invalid_image_file").
    """
    header = sniff(data, param)
    admit(header, len(data), param)
    take_apart(data, header, param)
    with _decoding(param):
        return _displayed(header, data, param)


def admit(header: Header, length: int, param: str) -> None:
    """Check what the first bytes tell of an input image of so many bytes, as ``verify`` does."""
    if length >= MAX_BYTES:
        raise invalid("The image must have less than 50 MB", param)
    if header.kind not in _INPUT_KINDS:
        raise invalid(f"The image is {header.kind.upper()}; send PNG, JPEG or WebP", param)
    _check_extent(header, param)
    afford(header, length, param)


def afford(header: Header, length: int, param: str) -> None:
    """Refuse an image of so many bytes whose decoding takes too long."""
    if header.seconds(length) > MOST_SECONDS:
        raise invalid(
            f"The image takes too long to decode: {length} bytes of {header.kind.upper()} with "
            f"{header.width}x{header.height} pixels. Send fewer pixels, 8 bits a channel instead "
            "of 16, or a JPEG that is not progressive",
            param,
        )


def verify_mask(data: bytes, first: Header, param: str = "mask") -> Header:
    """Check a mask or markup against the first image, and return its header.

    A PNG with alpha of the first image's dimensions, a mask of less than 4 MB
    (``image_edit_params``). Raises InvalidRequest(code="invalid_image_file").
    """
    if param == "mask" and len(data) >= MAX_MASK_BYTES:
        raise invalid(f"The {param} must have less than 4 MB", param)
    header = sniff(data, param)
    if header.kind != "png" or not header.alpha:
        raise invalid(f"The {param} must be a PNG with an alpha channel", param)
    if (header.width, header.height) != (first.width, first.height):
        raise invalid(
            f"The {param} has {header.width}x{header.height} pixels; it must have those of the "
            f"first image, {first.width}x{first.height}",
            param,
        )
    return verify(data, param)


def resize(data: bytes, width: int, height: int) -> bytes:
    """Return the picture at exactly this size in pixels, of the same kind, its alpha kept.

    A GIF keeps its frames and their timing; an SVG is given the new width and height. Raises
    InvalidRequest(code="invalid_image_file") if it cannot be read.
    """
    header = sniff(data)
    if header.kind == "svg":
        return resize_svg(data, header, width, height)
    _check_extent(header, None)
    with _decoding(None), _open(header.kind, data) as image:
        return _resize(header.kind, data, image, (width, height))


def previews(data: bytes) -> Iterator[bytes]:
    """Yield what the picture shows as JPEGs of at most 1536 pixels an edge: each frame of a GIF.

    One that is transparent somewhere is shown on white, on black, and without its alpha, where
    these differ: nobody knows which of them a model sees. Raises
    InvalidRequest(code="invalid_image_file") if it cannot be read, as an SVG, which has no pixels.
    """
    header = sniff(data)
    if header.kind == "svg":
        raise invalid("An SVG has no pixels to look at", None)
    _check_extent(header, None)
    with _decoding(None):
        image = _open(header.kind, data)
    with image:
        for frame in range(getattr(image, "n_frames", 1) if header.kind == "gif" else 1):
            with _decoding(None):
                image.seek(frame)
                views = _views(image.copy() if header.kind == "gif" else image)
                distinct = dict.fromkeys(map(_small, views))
            yield from distinct


def alpha_mask(data: bytes) -> bytes | None:
    """Return a sound picture's alpha as a mask, a PNG; None where all of it is opaque.

    Raises InvalidRequest for one that is larger than the models were whose masks these were.
    """
    from PIL import Image

    header = sniff(data)
    if not header.alpha:
        return None
    seconds = _ALPHA_DECODINGS * header.seconds(len(data))
    if header.width * header.height > _MOST_ALPHA or seconds > MOST_SECONDS:
        raise invalid(
            "The image's own alpha is a mask up to 8 million pixels, and fewer where these are "
            "dear to decode. Send a 'mask'",
            "image",
        )
    with _decoding("image"), _open(header.kind, data) as image:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] == 255:
            return None
        mask = Image.new("RGBA", image.size)
        mask.putalpha(alpha)
        out = BytesIO()
        mask.save(out, "PNG", compress_level=1)  # a fifth of the time, and hardly larger
        return out.getvalue()


def _check_extent(header: Header, param: str | None) -> None:
    if max(header.width, header.height) > MAX_EDGE or header.width * header.height > MAX_PIXELS:
        raise invalid(
            f"The image has {header.width}x{header.height} pixels; send at most {MAX_EDGE} an edge "
            f"and {MAX_PIXELS} in all",
            param,
        )


@contextmanager
def _decoding(param: str | None) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # else a decoder's go to the log, by the thousand
        try:
            yield
        except InvalidRequest:
            raise
        except Exception as error:  # decoders fail in every way on damaged bytes
            raise invalid("The image is damaged or truncated", param) from error


def _open(kind: Kind, data: bytes) -> Image:
    from PIL import Image

    if kind == "webp":
        import_module("PIL.WebPImagePlugin")  # else Pillow would import every format it has
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return Image.open(BytesIO(data), formats=[kind.upper()])


def _displayed(header: Header, data: bytes, param: str) -> Header:
    with _open(header.kind, data) as image:
        image.verify()  # the checksums, and the end, of a PNG; loading alone needs neither
    with _open(header.kind, data) as image:
        if image.size != (header.width, header.height):
            raise ValueError("the decoder reads other dimensions than the header says")
        if header.kind != "jpeg" and getattr(image, "n_frames", 1) > 1:
            raise invalid("The image is animated; send one frame of it", param)
        image.draft(None, (header.width // 8, header.height // 8))  # a JPEG, read whole but small
        image.load()
        if _sideways(image):
            return replace(header, width=header.height, height=header.width)
        return header


def _sideways(image: Image) -> bool:
    """Tell whether its EXIF has it displayed so; one that is longer than a JPEG's is not read."""
    # An old way to write it is in hexadecimal, with line ends.
    said = len(image.info.get("exif", "")), len(image.info.get("Raw profile type exif", "")) / 2.1
    return max(said) <= _MOST_EXIF_BYTES and image.getexif().get(_ORIENTATION) in _SIDEWAYS


def _resize(kind: Kind, data: bytes, image: Image, size: tuple[int, int]) -> bytes:
    options: dict[str, Any] = {"quality": _QUALITY, "lossless": data[12:16] == b"VP8L"}
    if "icc_profile" in image.info:
        options["icc_profile"] = image.info["icc_profile"]
    frames = [image]
    if kind == "gif":
        frames, options = _animation(image)
    first, *others = [_resample(frame, size) for frame in frames]
    out = BytesIO()
    first.save(out, kind.upper(), append_images=others, **options)
    return out.getvalue()


def _views(image: Image) -> Iterator[Image]:
    """Yield what may be seen of one frame, which may be made smaller by it."""
    from PIL import Image as Picture

    shown = _scalable(image)
    if not shown.has_transparency_data:
        yield shown
        return
    shown = shown if shown.mode == "RGBA" else shown.convert("RGBA")
    bare, alpha = shown.convert("RGB"), shown.getchannel("A")
    _shrink(bare)
    _shrink(alpha)
    yield bare
    for colour in "white", "black":
        yield Picture.composite(bare, Picture.new("RGB", bare.size, colour), alpha)


def _shrink(image: Image) -> None:
    # Without a gap it averages whole blocks, and a JPEG is read no larger than needed.
    image.thumbnail((_PREVIEW_EDGE, _PREVIEW_EDGE), reducing_gap=1.0)


def _small(shown: Image) -> bytes:
    """Return a small JPEG of the image, which may be made smaller by it."""
    _shrink(shown)
    out = BytesIO()
    shown.convert("RGB").save(out, "JPEG", quality=_PREVIEW_QUALITY)
    return out.getvalue()


def _animation(image: Image) -> tuple[list[Image], dict[str, Any]]:
    """Return the frames of a GIF, and what it takes to show them as before."""
    from PIL import ImageSequence

    frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)]
    durations = [frame.info.get("duration", 0) for frame in frames]
    loop = {"loop": image.info["loop"]} if "loop" in image.info else {}
    return frames, {"save_all": True, "duration": durations, "disposal": 2, **loop}


def _resample(image: Image, size: tuple[int, int]) -> Image:
    """Scale to cover the size, and crop evenly what is over: nothing is stretched."""
    from PIL import ImageOps
    from PIL.Image import Resampling

    return ImageOps.fit(_scalable(image), size, Resampling.LANCZOS)


def _scalable(image: Image) -> Image:
    """Return the image in a mode whose values can be averaged."""
    if image.mode.startswith("I"):  # Pillow would cut off what is above 8 bits
        image = image.convert("I").point(lambda level: level * (1 / 257)).convert("L")
        image.info.pop("transparency", None)
    if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        return image.convert("RGBA")
    if image.mode not in ("RGB", "RGBA", "L", "LA", "CMYK"):
        return image.convert("RGB")
    return image
