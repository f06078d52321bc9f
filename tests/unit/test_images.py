"""Image bytes: what they are, what is refused, and other sizes of them."""

from __future__ import annotations

import functools
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from easel import images
from easel.errors import InvalidRequest
from easel.formats import CONTENT_TYPES, Header, sniff
from easel.images import alpha_mask, digest, resize, verify, verify_mask

PACKAGE = Path(images.__file__).parent.parent
SIZE = (48, 32)
KINDS = {
    "png": ("PNG", "RGB", {}),
    "png-alpha": ("PNG", "RGBA", {}),
    "png-palette": ("PNG", "P", {"transparency": 3}),
    "png-grey": ("PNG", "LA", {}),
    "png-16bit": ("PNG", "I;16", {}),
    "jpeg": ("JPEG", "RGB", {}),
    "jpeg-progressive": ("JPEG", "RGB", {"progressive": True}),
    "jpeg-cmyk": ("JPEG", "CMYK", {}),
    "webp": ("WEBP", "RGB", {}),
    "webp-alpha": ("WEBP", "RGBA", {}),
    "webp-lossless": ("WEBP", "RGBA", {"lossless": True}),
    "gif": ("GIF", "P", {}),
    "gif-alpha": ("GIF", "RGBA", {}),
}
ALPHA = {"png-alpha", "png-palette", "png-grey", "webp-alpha", "webp-lossless", "gif-alpha"}
INPUTS = [name for name in KINDS if not name.startswith("gif")]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 32"><path d="M0 0"/></svg>'


@functools.cache
def picture(name: str, size: tuple[int, int] = SIZE) -> bytes:
    kind, mode, options = KINDS[name]
    image = Image.linear_gradient("L").resize(size)
    if mode in ("RGBA", "LA"):
        alpha = Image.linear_gradient("L").resize(size).point(lambda level: 255 * (level > 127))
        image = Image.merge("LA", (image, alpha)).convert(mode)
    out = BytesIO()
    image.convert(mode).save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def inserted(data: bytes, at: int, extra: bytes) -> bytes:
    return data[:at] + extra + data[at:]


def png_claiming(width: int, height: int, depth: int = 8, colour: int = 6) -> bytes:
    """Return a PNG of a few bytes that says it is this large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + picture("png-alpha")[33:]


def jpeg_claiming(name: str, width: int, height: int) -> bytes:
    """Return a JPEG that says it is this large."""
    data = picture(name)
    at = data.index(b"\xff\xc2" if "progressive" in name else b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def webp_claiming(width: int, height: int) -> bytes:
    """Return a lossless WebP that says it is this large."""
    data = picture("webp-lossless")
    return data[:21] + struct.pack("<I", width - 1 | height - 1 << 14) + data[25:]


def refused(data: bytes, param: str = "image") -> str:
    with pytest.raises(InvalidRequest) as caught:
        verify(data, param)
    assert (caught.value.code, caught.value.param) == ("invalid_image_file", param)
    return caught.value.message


# --- What bytes are ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_the_leading_bytes_tell_kind_dimensions_and_alpha(name: str) -> None:
    expected = Header(KINDS[name][0].lower(), *SIZE, alpha=name in ALPHA)
    assert sniff(picture(name)) == expected
    assert expected.kind in CONTENT_TYPES


@pytest.mark.parametrize(
    ("data", "width", "height"),
    [
        (SVG, 48, 32),
        (b'<?xml version="1.0"?>\n<!-- a > b --><!DOCTYPE svg>\n' + SVG, 48, 32),
        (b'\xef\xbb\xbf  <svg width="10.4px" height=\'20\' viewBox="0 0 1 1"/>', 10, 20),
        (b'<svg width="100%" height="100%" viewBox="0,0,640.5,480"/>', 640, 480),
        (b'<svg data-a=">" stroke-width="9" width="7" height="8">', 7, 8),
        (b"<svg>", 0, 0),
        (b'<svg viewBox="odd">', 0, 0),
    ],
)
def test_an_svg_says_its_dimensions_or_not(data: bytes, width: int, height: int) -> None:
    assert sniff(data) == Header("svg", width, height, alpha=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        b"%PDF-1.7",
        b"<html><svg></svg></html>",
        b"<svgx>",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff" * 10_000,
        b"GIF89a\1",
        b"GIF89a\0\0\1\0\0\0\0",
        b"RIFF\0\0\0\0WEBPVP8X",
        png_claiming(0, 5),
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sniff(data)
    assert caught.value.code == "invalid_image_file"


def test_a_hostile_svg_is_read_in_linear_time() -> None:
    for data in (b"<!---->" * 9000, b"<!DOCTYPE x>" * 5000, b"<svg " + b"a='b'" * 12_000):
        with pytest.raises(InvalidRequest):
            sniff(data)
    assert sniff(b"<svg " + b"a " * 30_000 + b">").width == 0


def test_a_digest_is_sha256() -> None:
    assert digest(b"abc") == sha256(b"abc").hexdigest()


def test_sniffing_needs_no_pillow() -> None:
    program = (
        "import sys; from easel.formats import sniff; from easel.images import verify;"
        "data = sys.stdin.buffer.read();"
        "sniff(data); print('PIL' in sys.modules); verify(data, 'image');"
        "print('PIL.AvifImagePlugin' in sys.modules, 'PIL.TiffImagePlugin' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=picture("webp"),
        capture_output=True,
        check=True,
        cwd=PACKAGE,
    )
    assert done.stdout.decode().split() == ["False", "False", "False"]


# --- Input images -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", INPUTS)
def test_a_sound_input_image_passes(name: str) -> None:
    assert verify(picture(name), "image") == sniff(picture(name))


@pytest.mark.parametrize("data", [picture("gif"), SVG], ids=["gif", "svg"])
def test_other_kinds_are_no_input(data: bytes) -> None:
    assert "send PNG, JPEG or WebP" in refused(data)


@pytest.mark.parametrize("name", INPUTS)
def test_a_truncated_image_is_refused(name: str) -> None:
    data = picture(name)
    for length in range(0, len(data) - 4, max(1, len(data) // 40)):
        refused(data[:length])
    refused(data[:-5])


def test_a_damaged_png_is_refused() -> None:
    data = bytearray(picture("png"))
    data[len(data) // 2] ^= 0x10
    refused(bytes(data))


@pytest.mark.parametrize("size", [(30_000, 30_000), (16_385, 1), (8001, 8000), (2**31 - 1, 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    assert f"{size[0]}x{size[1]}" in refused(png_claiming(*size))
    with pytest.raises(InvalidRequest, match="at most"):
        resize(png_claiming(*size), 16, 16)


MEGABYTE = 2**20
DEAR = {
    "a PNG of 16 bits a channel": png_claiming(6000, 4000, depth=16),
    "a PNG with alpha of 60 million pixels": png_claiming(9488, 6324),
    "a PNG with a palette": png_claiming(8000, 8000, colour=3),
    "a PNG of noise": png_claiming(8000, 4800, colour=2) + bytes(45 * MEGABYTE),
    "a WebP": webp_claiming(8000, 8000),
    "a WebP of noise": webp_claiming(6000, 4000) + bytes(30 * MEGABYTE),
    "a progressive JPEG": jpeg_claiming("jpeg-progressive", 8660, 5774) + bytes(30 * MEGABYTE),
}


@pytest.mark.parametrize("data", DEAR.values(), ids=list(DEAR))
def test_what_is_dear_to_decode_is_refused_before_it_is(data: bytes) -> None:
    assert "takes too long to decode" in refused(data)
    with pytest.raises(InvalidRequest, match="too long to decode"):
        images.admit(sniff(data[:4096]), len(data), "image")


@pytest.mark.parametrize(
    ("head", "megabytes"),
    [
        (jpeg_claiming("jpeg", 8660, 5774), 49),
        (jpeg_claiming("jpeg", 9566, 6377), 49),
        (jpeg_claiming("jpeg-cmyk", 8000, 8000), 49),
        (jpeg_claiming("jpeg-progressive", 8660, 5774), 14),
        (png_claiming(6000, 4000, colour=2), 47),
        (png_claiming(6000, 4000), 28),
        (png_claiming(7680, 4320), 12),
        (png_claiming(4000, 3000, depth=16, colour=2), 30),
        (webp_claiming(6000, 4000), 18),
    ],
)
def test_photographs_and_screens_are_not_dear(head: bytes, megabytes: int) -> None:
    images.admit(sniff(head), megabytes * MEGABYTE, "image")


def test_a_png_that_says_two_things_is_refused() -> None:
    """The decoder would believe the second, and what it costs was told by the first."""
    second = png_claiming(*SIZE, depth=16)[8:33]
    assert "pieces" in refused(inserted(PNG, 33, second))


def test_dimensions_that_the_pixels_belie_are_refused() -> None:
    refused(png_claiming(4000, 4000))


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def scanned(times: int) -> bytes:
    """Return a progressive JPEG of 1.6 million pixels whose last scan comes so often again."""
    data = picture("jpeg-progressive", (1600, 1000))
    return inserted(data, len(data) - 2, data[data.rindex(b"\xff\xda") : -2] * times)


PNG, JPEG = picture("png"), picture("jpeg")
SCAN = JPEG.index(b"\xff\xda")
MANY = 300_000
PACKED = zlib.compress(bytes(1 << 19))
BUSY = {
    "a PNG of empty chunks": inserted(PNG, 33, chunk(b"teXt", b"") * MANY),
    "a PNG of empty pixels": inserted(PNG, 33, chunk(b"IDAT", b"") * MANY),
    "a JPEG of comments": inserted(JPEG, SCAN, segment(0xFE) * MANY),
    "a PNG of two animations": inserted(PNG, 33, chunk(b"acTL", struct.pack(">II", 2, 0)) * 2),
    "a PNG of packed texts": inserted(PNG, 33, chunk(b"iTXt", b"a\0\1\0\0\0" + PACKED) * 17),
    "a PNG of profiles": inserted(PNG, 33, chunk(b"iCCP", b"a\0\0" + PACKED) * 17),
    "a JPEG of EXIF, ever longer": inserted(JPEG, SCAN, segment(0xE1, b"Exif\0\0..") * MANY),
    "a JPEG of much EXIF": inserted(JPEG, SCAN, segment(0xE1, b"Exif\0\0" + bytes(9000)) * 8),
    "a JPEG of padding": inserted(JPEG, SCAN, b"\xff" * MANY),
    "a JPEG of stray bytes": inserted(JPEG, SCAN, b"\0" * MANY),
    "a JPEG of scans": scanned(1000),
}


@pytest.mark.parametrize("data", BUSY.values(), ids=list(BUSY))
def test_what_would_keep_a_decoder_busy_is_refused_before_it_is_decoded(data: bytes) -> None:
    assert "pieces" in refused(data)


def test_as_many_pieces_as_encoders_write_pass() -> None:
    verify(scanned(20), "image")
    verify(inserted(JPEG, SCAN, segment(0xE2, bytes(65_000)) * 200), "image")
    verify(inserted(PNG, 33, chunk(b"teXt", b"a\0b") * 10_000), "image")
    verify(inserted(PNG, 33, chunk(b"zTXt", b"a\0\0" + PACKED) * 16), "image")
    xmp = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000))
    verify(inserted(JPEG, SCAN, segment(0xE1, b"Exif\0\0" + bytes(65_000)) + xmp * 9), "image")
    titles = chunk(b"iTXt", b"Title\0\0\0de\0\0" + b"ein Fuchs") * 40
    verify(inserted(PNG, 33, titles), "image")


NONSENSE = (
    struct.pack("<IHHIIH", 0x002A4949, 8, 0, 0, 0, 0)[:8]
    + struct.pack("<H", 4000)
    + (struct.pack("<HHII", 0x9286, 7, 1 << 30, 1 << 30) * 4000)
)
"""An EXIF block of 4000 entries that lie far beyond it."""


@pytest.mark.parametrize(
    "data",
    [
        inserted(PNG, 33, chunk(b"eXIf", NONSENSE)),
        inserted(JPEG, SCAN, segment(0xE1, b"Exif\0\0" + NONSENSE)),
    ],
    ids=["png", "jpeg"],
)
def test_what_a_decoder_dislikes_is_not_logged(data: bytes) -> None:
    with warnings.catch_warnings(record=True) as logged:
        warnings.simplefilter("always")
        verify(data, "image")
    assert logged == []


def test_an_exif_that_is_too_long_is_not_read() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways, padding = exif.tobytes().removeprefix(b"Exif\0\0"), bytes(70_000)
    for block, size in ((sideways, (32, 48)), (sideways + padding, SIZE)):
        header = verify(inserted(PNG, 33, chunk(b"eXIf", block)), "image")
        assert (header.width, header.height) == size


def test_an_exif_in_hexadecimal_may_be_twice_as_long() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes() + bytes(40_000)
    lines = "\n".join(block.hex()[at : at + 72] for at in range(0, 2 * len(block), 72))
    text = f"Raw profile type exif\0\nexif\n{len(block):8}\n{lines}\n"
    header = verify(inserted(PNG, 33, chunk(b"tEXt", text.encode())), "image")
    assert (header.width, header.height) == (SIZE[1], SIZE[0])


def test_previews_leave_warnings_as_they_are() -> None:
    before = list(warnings.filters)
    views = images.previews(picture("png-alpha"))
    next(views)
    assert warnings.filters == before


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_no_input(kind: str) -> None:
    first, *others = [Image.new("RGB", SIZE, colour) for colour in ("white", "magenta")]
    out = BytesIO()
    first.save(out, kind, save_all=True, append_images=others)
    assert "is animated" in refused(out.getvalue())


TEXT = zlib.compress(bytes(1 << 20))
BOMBS = {
    "zTXt": inserted(PNG, 33, chunk(b"zTXt", b"a\0\0" + TEXT) * 200),
    "iTXt": inserted(PNG, 33, chunk(b"iTXt", b"a\0\1\0\0\0" + TEXT) * 200),
    "iCCP": inserted(PNG, 33, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 26)))),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=list(BOMBS))
def test_a_compressed_text_is_not_let_out(data: bytes) -> None:
    tracemalloc.start()
    refused(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 * 2**20


def test_a_mask_is_not_made_of_a_huge_alpha() -> None:
    for huge in png_claiming(4000, 4000), png_claiming(2800, 2800, depth=16):
        with pytest.raises(InvalidRequest, match="Send a 'mask'"):
            alpha_mask(huge)
    assert alpha_mask(picture("jpeg")) is None


def test_fifty_megabytes_are_too_many() -> None:
    assert "50 MB" in refused(picture("png") + bytes(images.MAX_BYTES))


def test_a_photograph_is_as_it_is_displayed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    opened(picture("jpeg")).save(out, "JPEG", exif=exif)
    assert sniff(out.getvalue()) == Header("jpeg", 48, 32, alpha=False)
    assert verify(out.getvalue(), "image") == Header("jpeg", 32, 48, alpha=False)


@pytest.mark.parametrize("name", ["png-alpha", "png-grey", "png-palette"])
def test_a_mask_fits_the_first_image(name: str) -> None:
    first = verify(picture("jpeg"), "image")
    assert verify_mask(picture(name), first).alpha


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (picture("png"), "alpha"),
        (picture("webp-alpha"), "PNG"),
        (picture("png-alpha", (32, 48)), "32x48"),
        (picture("png-alpha")[:-30], "truncated"),
        (b"", "must be"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(data: bytes, hint: str) -> None:
    first = verify(picture("jpeg"), "image")
    for param in ("mask", "markup"):
        with pytest.raises(InvalidRequest, match=hint) as caught:
            verify_mask(data, first, param)
        assert (caught.value.code, caught.value.param) == ("invalid_image_file", param)


def test_a_mask_is_smaller_than_a_markup_may_be() -> None:
    first, data = verify(picture("jpeg"), "image"), picture("png-alpha")
    data += bytes(images.MAX_MASK_BYTES - len(data))
    with pytest.raises(InvalidRequest, match="The mask must have less than 4 MB"):
        verify_mask(data, first)
    with pytest.raises(InvalidRequest, match="pieces") as caught:
        verify_mask(data, first, "markup")
    assert caught.value.param == "markup"


# --- Other sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [(16, 16), (97, 31), (1, 1)])
def test_a_resized_picture_keeps_its_kind_and_alpha(name: str, size: tuple[int, int]) -> None:
    before = sniff(picture(name))
    resized = resize(picture(name), *size)
    after = sniff(resized)
    assert (after.kind, after.width, after.height) == (before.kind, *size)
    if name in ALPHA and size != (1, 1):
        assert opened(resized).has_transparency_data
    assert opened(resized).size == size


def test_resampling_covers_and_crops_without_stretching() -> None:
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    out = BytesIO()
    image.save(out, "PNG")
    middle = opened(resize(out.getvalue(), 50, 50))
    seen = [middle.getpixel((x, y)) for x in (2, 25, 47) for y in (0, 49)]
    assert all(red <= 2 and blue >= 253 for red, _, blue in seen)


def test_transparent_pixels_do_not_bleed() -> None:
    image = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 64))
    out = BytesIO()
    image.save(out, "PNG")
    resized = opened(resize(out.getvalue(), 9, 9))
    seen = [resized.getpixel((x, 4)) for x in range(9)]
    assert seen[0] == (255, 0, 0, 255)
    assert seen[8][3] == 0
    assert all(green <= 2 for _, green, _, alpha in seen if alpha)


def test_a_gif_keeps_its_frames_timing_and_loop() -> None:
    colours = ["red", "green", "blue"]
    first, *others = [Image.new("RGB", SIZE, colour) for colour in colours]
    out = BytesIO()
    first.save(out, "GIF", save_all=True, append_images=others, duration=[100, 250, 70], loop=0)
    resized = opened(resize(out.getvalue(), 20, 20))
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(resized)]
    assert [frame.info["duration"] for frame in frames] == [100, 250, 70]
    assert [frame.getpixel((9, 9)) for frame in frames] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    assert resized.info["loop"] == 0


@pytest.mark.parametrize(
    "data", [SVG, b'<svg stroke-width="2" width="48" height="32"><g/></svg>'], ids=["box", "extent"]
)
def test_an_svg_is_given_its_size(data: bytes) -> None:
    resized = resize(data, 20, 10)
    assert sniff(resized) == Header("svg", 20, 10, alpha=True)
    assert b'viewBox="0 0 48 32"' in resized
    assert resized.count(b" width=") == resized.count(b" height=") == 1
    assert resized[-10:] == data[-10:]


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("gif")])
def test_a_preview_is_a_small_jpeg_of_any_kind(name: str) -> None:
    views = list(images.previews(picture(name)))
    assert 1 <= len(views) <= (3 if name in ALPHA else 1)
    for view in views:
        with Image.open(BytesIO(view)) as preview:
            assert (preview.format, preview.mode, preview.size) == ("JPEG", "RGB", SIZE)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_a_large_picture_is_shown_smaller(mode: str) -> None:
    out = BytesIO()
    Image.new(mode, (3072, 1000), 0).save(out, "PNG")
    for shown in images.previews(out.getvalue()):
        assert opened(shown).size == (1536, 500)


def shown(image: Image.Image, kind: str = "PNG") -> list[list[int]]:
    """Return what the previews show of a picture: the grey of its left and of its right half."""
    out = BytesIO()
    image.save(out, kind)
    seen = [opened(one).convert("L") for one in images.previews(out.getvalue())]
    return [[round(one.getpixel((x, 9)) / 85) for x in (2, SIZE[0] - 3)] for one in seen]


BLACK, GREY, WHITE = 0, 2, 3
HALF = (SIZE[0] // 2, 0, *SIZE)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_nothing_hides_behind_its_alpha(kind: str) -> None:
    white_on_nothing = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    white_on_nothing.paste((255, 255, 255, 255), HALF)
    assert [BLACK, WHITE] in shown(white_on_nothing, kind)
    black_on_nothing = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    black_on_nothing.paste((0, 0, 0, 255), HALF)
    assert [WHITE, BLACK] in shown(black_on_nothing, kind)


def test_nor_beneath_it() -> None:
    beneath = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    beneath.paste((170, 170, 170, 0), HALF)
    assert [BLACK, GREY] in shown(beneath)


def test_what_looks_the_same_is_shown_once() -> None:
    assert shown(Image.new("RGBA", SIZE, (170, 170, 170, 255))) == [[GREY, GREY]]


def test_nor_in_more_bits_than_eight() -> None:
    deep = Image.new("I;16", SIZE, 30_000)
    deep.paste(43_690, HALF)
    [seen] = shown(deep)
    assert seen == [1, GREY]


def test_a_gif_is_shown_frame_by_frame() -> None:
    frames = [Image.new("RGB", SIZE, colour) for colour in ("red", "lime", "blue")]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    shown = [opened(one).getpixel((9, 9)) for one in images.previews(out.getvalue())]
    assert [max(range(3), key=pixel.__getitem__) for pixel in shown] == [0, 1, 2]


@pytest.mark.parametrize("data", [b"", b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_has_no_pixels_cannot_be_shown(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        list(images.previews(data))


def test_a_colour_profile_is_kept() -> None:
    out = BytesIO()
    opened(picture("png")).save(out, "PNG", icc_profile=b"a profile")
    assert opened(resize(out.getvalue(), 20, 10)).info["icc_profile"] == b"a profile"


# --- Two things at once ----------------------------------------------------------------------

HTML = b"<!DOCTYPE html><script>alert(1)</script>"
ZIP = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
POLYGLOTS = {
    # what is one kind of picture, and something else to whoever begins elsewhere
    "a PNG and a page": (inserted(PNG, 33, chunk(b"tEXt", b"a\0" + HTML)), "png"),
    "a PNG and an archive": (PNG + ZIP, "png"),
    "a PNG and an SVG": (PNG + SVG, "png"),
    "a JPEG and a page": (inserted(JPEG, 2, segment(0xFE, HTML)), "jpeg"),
    "a JPEG and a PNG": (JPEG + PNG, "jpeg"),
    "a JPEG and a script": (inserted(JPEG, 2, segment(0xFE, b"*/=alert(1)/*")), "jpeg"),
    "a WebP and a page": (picture("webp") + HTML, "webp"),
    "a GIF and a script": (b"GIF89a/*" + picture("gif")[8:] + b"*/=alert(1)", "gif"),
    "a page that begins as a GIF": (b"GIF89a" + HTML, "gif"),
    "an SVG and a page": (SVG.replace(b"<path", b"<script>alert(1)</script><path"), "svg"),
}


@pytest.mark.parametrize(("data", "kind"), POLYGLOTS.values(), ids=list(POLYGLOTS))
def test_it_is_what_its_first_bytes_say_and_nothing_else(data: bytes, kind: str) -> None:
    assert sniff(data).kind == kind
    if kind in ("gif", "svg"):
        assert "send PNG, JPEG or WebP" in refused(data)
    else:
        assert verify(data, "image").kind == kind


# --- Hostile bytes ----------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from([picture(name) for name in KINDS] + [SVG])))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(1, len(data)))] if draw(st.booleans()) else data)


def survives(data: bytes) -> None:
    """Let nothing but a header, bytes or an InvalidRequest come out."""
    for attempt in (
        lambda: sniff(data),
        lambda: verify(data, "image"),
        lambda: verify_mask(data, Header("png", *SIZE, alpha=True)),
        lambda: resize(data, 20, 10),
    ):
        try:
            assert isinstance(attempt(), Header | bytes)
        except InvalidRequest as error:
            assert error.code == "invalid_image_file"  # noqa: PT017 - either outcome is right


@given(st.binary(max_size=200))
def test_random_bytes_are_answered(data: bytes) -> None:
    survives(data)


@given(st.sampled_from([picture(name)[:16] for name in KINDS] + [b"<svg "]), st.binary())
def test_random_bytes_after_a_signature_are_answered(head: bytes, data: bytes) -> None:
    survives(head + data)


@given(mutated())
def test_mutated_pictures_are_answered(data: bytes) -> None:
    survives(data)
