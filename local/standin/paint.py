"""Real pictures, cheaply: the asked size and kind, the prompt written large across them.

Colours follow from the prompt and the index, so the same question has the same answer.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
import random
import textwrap
import zlib
from dataclasses import dataclass
from html import escape
from io import BytesIO

from PIL import Image, ImageDraw, ImageFont, ImageOps

from local.standin.checks import ImageRequest
from local.standin.models import Size

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]

ALARMING: Colour = (255, 0, 255)
"""The colour that moderation takes for violence; a prompt that says "magenta" is painted in it."""
INK: Colour = (255, 255, 255)
SHOWN_CHARACTERS = 400
"""What of a long prompt is still legible."""
_GOLDEN = 0.618034


@dataclass(frozen=True)
class Lettering:
    """The prompt, broken into lines that fit a box."""

    lines: list[str]
    points: float
    box: Box

    @classmethod
    def fit(cls, prompt: str, box: Box) -> Lettering:
        """Choose the largest letters with which the prompt fits."""
        text = textwrap.shorten(prompt, SHOWN_CHARACTERS, placeholder=" …")
        text = text if len(text) > 2 else prompt[:SHOWN_CHARACTERS]
        width, height = (box[2] - box[0]) * 0.92, (box[3] - box[1]) * 0.92
        points = min(width / 4, height / 1.3)
        letter = max(0.62, ImageFont.load_default(100).getlength(text) / 100 / len(text))
        while points > 8:
            font = ImageFont.load_default(points)
            lines = textwrap.wrap(text, max(1, int(width / points / letter))) or [""]
            longest = max(font.getlength(line) for line in lines)
            if len(lines) * points * 1.3 <= height and longest <= width:
                return cls(lines, points, box)
            points *= 0.85
        return cls([text], 8, box)

    def draw(self, layer: Image.Image) -> None:
        """Write in the middle of the box."""
        left, top, right, bottom = self.box
        ImageDraw.Draw(layer).multiline_text(
            ((left + right) / 2, (top + bottom) / 2),
            "\n".join(self.lines),
            fill=(*INK, 255)[: len(layer.getbands())],
            font=ImageFont.load_default(self.points),
            anchor="mm",
            align="center",
            spacing=self.points * 0.3,
        )


def paint(request: ImageRequest, index: int, image_bytes: int | None = None) -> bytes:
    """Return the picture number ``index``; a PNG is filled up to ``image_bytes``."""
    dark, light = colours(request.asked.prompt, index)
    kind = request.asked.output_format
    if kind == "svg":
        return _svg(request, dark, light)
    canvas = _canvas(request, dark, light)
    if kind == "gif":
        return _gif(canvas, request)
    data = _encode(canvas, kind, request.asked.output_compression)
    return padded(data, image_bytes or 0) if kind == "png" else data


def colours(prompt: str, index: int) -> tuple[Colour, Colour]:
    """Return two shades of one hue, both dark enough for white letters.

    The pictures of one call are a golden angle apart: no two look the same.
    """
    if "magenta" in prompt:
        return ALARMING, ALARMING
    digest = hashlib.sha256(prompt.encode()).digest()
    hue = (int.from_bytes(digest[:2]) / 65536 + index * _GOLDEN) % 1
    return _shade(hue, 0.25), _shade(hue, 0.5)


def _shade(hue: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _canvas(request: ImageRequest, dark: Colour, light: Colour) -> Image.Image:
    size = request.size
    layer = ImageOps.colorize(Image.linear_gradient("L").resize(size), dark, light)
    transparent = request.background == "transparent"
    if request.base is None:
        if transparent:
            layer.putalpha(_panel(size))
        Lettering.fit(request.asked.prompt, (0, 0, *size)).draw(layer)
        return layer
    base = request.base.convert("RGBA").resize(size)
    if not transparent:
        base = Image.alpha_composite(Image.new("RGBA", size, "white"), base)
    region = _region(request)
    Lettering.fit(request.asked.prompt, region.getbbox() or (0, 0, *size)).draw(layer)
    painted = Image.composite(layer.convert("RGBA"), base, region)
    return painted if transparent else painted.convert("RGB")


def _panel(size: Size) -> Image.Image:
    """Return the alpha of a rounded panel with nothing around it."""
    width, height = size
    alpha = Image.new("L", size)
    corners = (width // 16, height // 16, width - width // 16, height - height // 16)
    ImageDraw.Draw(alpha).rounded_rectangle(corners, min(size) // 16, fill=255)
    return alpha


def _region(request: ImageRequest) -> Image.Image:
    """Return 255 where an edit may paint: where the mask is transparent, else a band below."""
    if request.mask is not None:
        region = request.mask.point(lambda alpha: 255 if alpha == 0 else 0)
        return region.resize(request.size, Image.Resampling.NEAREST)
    width, height = request.size
    region = Image.new("L", request.size)
    region.paste(255, (0, height - height // 4, width, height))
    return region


def _encode(canvas: Image.Image, kind: str, quality: int) -> bytes:
    buffer = BytesIO()
    canvas.save(buffer, kind, compress_level=1, quality=min(95, quality), method=0)
    return buffer.getvalue()


def _gif(canvas: Image.Image, request: ImageRequest) -> bytes:
    """Return frames that differ by a bar that fills up."""
    width, height = canvas.size
    first = canvas.convert("RGB").quantize(32, method=Image.Quantize.FASTOCTREE)
    frames = [first.copy() for _ in range(request.asked.frame_count)]
    for number, frame in enumerate(frames, 1):
        bar = (0, height - height // 32, width * number // len(frames) - 1, height - 1)
        ImageDraw.Draw(frame).rectangle(bar, fill=number % 2)
    buffer = BytesIO()
    frames[0].save(
        buffer,
        "gif",
        save_all=True,
        append_images=frames[1:],
        duration=request.asked.frame_duration_ms,
        loop=0,
    )
    return buffer.getvalue()


def _svg(request: ImageRequest, dark: Colour, light: Colour) -> bytes:
    """Return letters on a plain ground; an edit's pixels are embedded instead."""
    width, height = request.size
    if request.base is None:
        content = f'<rect width="100%" height="100%" fill="rgb{dark}" stroke="rgb{light}"/>'
        lettering = Lettering.fit(request.asked.prompt, (0, 0, width, height))
        step = lettering.points * 1.3
        top = height / 2 - step * (len(lettering.lines) - 1) / 2
        style = f'fill="rgb{INK}" font-family="sans-serif" font-size="{lettering.points:.1f}"'
        for number, line in enumerate(lettering.lines):
            place = f'x="50%" y="{top + number * step:.1f}" text-anchor="middle"'
            content += f"<text {place} {style}>{escape(line)}</text>"
    else:
        pixels = _encode(_canvas(request, dark, light), "png", request.asked.output_compression)
        link = f"data:image/png;base64,{base64.b64encode(pixels).decode()}"
        content = f'<image width="{width}" height="{height}" href="{link}"/>'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{content}</svg>'.encode()


def padded(png: bytes, total: int) -> bytes:
    """Return the PNG with a private ancillary chunk before its end, ``total`` bytes long."""
    missing = total - len(png) - 12
    if missing < 0:
        return png
    chunk = b"stIn" + random.Random(total).randbytes(missing)
    chunk = missing.to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    return png[:-12] + chunk + png[-12:]
