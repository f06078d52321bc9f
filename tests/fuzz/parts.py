"""The kinds of hostile input: how each is drawn, and what must hold whatever was drawn."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast
from urllib.parse import quote_plus

from hypothesis import strategies as st
from PIL import Image

from easel import formats, images
from easel.catalogue import Catalogue
from easel.doors import (
    authorizer,
    calls,
    direct,
    https,
    inbox,
    jobs,
    pictures,
    queue,
    uploads,
    usage,
)
from easel.errors import EaselError, InvalidRequest
from easel.requests import Operation
from tests.fuzz import memory
from tests.unit.doors.events import event
from tests.unit.examples import NOW

EASEL = memory.easel()
CATALOGUE = Catalogue.load()
LARGEST_REPLY = 6_000_000
LARGEST_FORM = 4_500_000

# --- What is drawn -----------------------------------------------------------------------------

ODD = (
    *("", " ", "\0", "\ud800", "\udfff", "..", "../..", "//", "%2e%2e%2f", "%00", "\r\nx: y"),
    *(
        "\u202e",
        "\u2024\u2024/",
        "\uff4a\uff4f\uff42",
        "\xe9",
        "e\u0301",
        "\N{FOX FACE}",
        "'",
        '"',
        "{}",
        "${x}",
    ),
    *("<script>alert(1)</script>", "1e400", "NaN", "-0", "9" * 400, "x" * 3_000, "job_" + "0" * 35),
    *("file-" + "0" * 35, "job_" + "0" * 35 + "/0", "data:image/png;base64,", "auto", "1024x1024"),
)
texts = st.sampled_from(ODD) | st.text(max_size=40)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**400, float("inf"), float("nan")]),
)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted(
    {*CATALOGUE.parameters, "prompt", "model", "images", "image", "response_format", "stream"}
    | {"quote", "style", "user", "safety_identifier", "partial_images", "operation", "mask"}
    | {"idempotency_key", "tenant", "image[]", "svg[model]"}
)
SOUND: dict[str, st.SearchStrategy[Any]] = {
    "prompt": st.sampled_from(["a fox", {"subject": "a fox"}, {"from": "job_" + "0" * 35}]),
    "model": st.sampled_from(["gpt-image-2", "gpt-image-2.6-flare", "dall-e-2", "dall-e-3"]),
    "n": st.integers(1, 10),
    "size": st.sampled_from(["auto", "512x512", "1024x1024", "3840x1280", "16x16"]),
    "quality": st.sampled_from(["low", "hd", "max", "standard"]),
}
fields = st.builds(
    lambda sound, odd: {**sound, **odd},
    st.fixed_dictionaries({}, optional=SOUND),
    st.dictionaries(st.sampled_from(NAMES) | texts, anything, max_size=3),
)
headers = st.dictionaries(
    st.sampled_from(
        ["Idempotency-Key", "Prefer", "Origin", "Content-Type", "Cache-Control", "Authorization"]
        + [f"x-stainless-{name}" for name in ("retry-count", "read-timeout", "lang")]
    ),
    texts | st.integers().map(str) | st.sampled_from(["wait=5", "respond-async", "wait=NaN;x"]),
    max_size=4,
)
WRITTEN = (
    "{",
    "[",
    "]",
    "}",
    '"prompt"',
    '"a',
    ":",
    ",",
    "1e400",
    "NaN",
    "-",
    "\\ud800",
    "\\u0000",
)
raw = st.one_of(
    anything.map(lambda one: json.dumps(one).encode()),
    fields.map(lambda one: json.dumps(one).encode()),
    st.lists(st.sampled_from(WRITTEN), max_size=20).map(lambda some: "".join(some).encode()),
    st.binary(max_size=200),
    st.integers(1, 100_000).map(lambda depth: b'{"prompt":' + b"[" * depth),
)


@cache
def pictures_of_all_kinds() -> tuple[bytes, ...]:
    made = []
    for kind, mode, options in (
        *(("PNG", "RGBA", {}), ("PNG", "P", {}), ("PNG", "I;16", {}), ("JPEG", "RGB", {})),
        *(("JPEG", "CMYK", {"progressive": True}), ("WEBP", "RGBA", {}), ("GIF", "P", {})),
        ("WEBP", "RGB", {"lossless": True}),
    ):
        image = Image.linear_gradient("L").resize((24, 16)).convert(mode)
        image.save(out := io.BytesIO(), kind, **cast(Any, options))
        made.append(out.getvalue())
    svg = b'<?xml version="1.0"?><svg width="9" height="9"><script>alert(1)</script></svg>'
    return (*made, svg, b"PK\3\4", b"<html><script>")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a picture, some of it overwritten, cut out or repeated; or two in one."""
    data = bytearray(draw(st.sampled_from(pictures_of_all_kinds())))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 8))
        data[at:end] = draw(
            st.binary(max_size=8)
            | st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xda", b"IDAT"])
            | st.just(bytes(data[at : at + 60]) * 3)
        )
    tail = draw(st.sampled_from((b"", *pictures_of_all_kinds())))
    return bytes(data) + tail


WIDE = 8000
_SPREAD = random.Random(0).randbytes(1 << 20)


def _spread(length: int, amplitude: int) -> bytes:
    """Return bytes of noise around a middle."""
    table = bytes(128 + (level - 128) * amplitude // 255 for level in range(256))
    return (_SPREAD.translate(table) * (length // len(_SPREAD) + 1))[:length]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + zlib.crc32(name + data).to_bytes(4)


def large_png(rows: int, amplitude: int, noisy: int, depth: int, colour: int, keyed: bool) -> bytes:
    """Return a PNG of 8000 pixels across whose first rows, in percent, are noise."""
    length = WIDE * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] // 8
    noise, flat = _spread(length + (1 << 20), amplitude), bytes(length)
    packed = zlib.compressobj(1)
    pixels = []
    for row in range(rows):
        at = row * 7919 % (1 << 20)
        said = noise[at : at + length] if row < rows * noisy // 100 else flat
        pixels.append(packed.compress(b"\4" + said))
    header = struct.pack(">IIBBBBB", WIDE, rows, depth, colour, 0, 0, 0)
    palette = _chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 else b""
    key = {0: 2, 2: 6, 3: 256}.get(colour, 0) * keyed
    return b"".join(
        [
            *(b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), palette),
            _chunk(b"tRNS", bytes(key)) if key else b"",
            *(_chunk(b"IDAT", b"".join([*pixels, packed.flush()])), _chunk(b"IEND", b"")),
        ]
    )


def large_picture(rows: int, amplitude: int, mode: str, kind: str, **options: Any) -> bytes:
    """Return a JPEG or WebP of 8000 pixels across, noise all over."""
    data = _spread(WIDE * rows * len(mode), amplitude)
    Image.frombytes(mode, (WIDE, rows), data).save(out := io.BytesIO(), kind, **options)
    return out.getvalue()


_rows, _amplitudes = st.integers(1000, 8000), st.sampled_from([0, 4, 16, 40])
large = st.one_of(
    st.builds(
        lambda rows, amplitude, noisy, how, keyed: large_png(rows, amplitude, noisy, *how, keyed),
        *(_rows, _amplitudes, st.integers(0, 100)),
        st.sampled_from([(1, 3), *((depth, c) for depth in (8, 16) for c in (0, 2, 4, 6)), (8, 3)]),
        st.booleans(),
    ),
    st.builds(
        large_picture,
        *(_rows, _amplitudes, st.sampled_from(["RGB", "CMYK"]), st.just("JPEG")),
        quality=st.sampled_from([50, 90]),
        progressive=st.booleans(),
        subsampling=st.sampled_from([0, 2]),
    ),
    st.builds(
        large_picture,
        *(_rows, _amplitudes, st.sampled_from(["RGB", "RGBA"]), st.just("WEBP")),
        lossless=st.booleans(),
        method=st.just(0),
    ),
)

disposition = st.one_of(
    st.sampled_from(NAMES).map(lambda name: f'form-data; name="{name}"'),
    st.builds('form-data; name="{}"; filename="{}"'.format, st.sampled_from(NAMES), texts),
    st.builds("form-data; name*=utf-8''{}; filename*={}".format, texts, texts),
    texts,
)
parts = st.builds(
    lambda said, more, data: (
        f"Content-Disposition: {said}\r\n{more}\r\n".encode(errors="replace") + data
    ),
    disposition,
    st.sampled_from(["", "Content-Type: text/html\r\n", "X: y\r\n" * 30, "X: " + "y" * 5_000]),
    st.binary(max_size=40) | st.sampled_from([b"a fox", b'{"subject": "x"}', b"2"]) | damaged(),
)


def form(some: list[bytes], times: int, end: bytes) -> bytes:
    """Return the parts so many times over, as far as they fit a call."""
    once = b"".join(b"--XX\r\n" + one + b"\r\n" for one in some)
    most = LARGEST_FORM // (len(once) or 1) + 1
    return (once * min(times, most))[:LARGEST_FORM] + end


forms = st.builds(
    form,
    st.lists(parts, max_size=5),
    st.sampled_from([1, 1, 1, 1, 1, 1, 1, 10_000]),
    st.sampled_from([b"--XX--\r\n", b"--XX--", b"", b"--XX"]),
)
CONTENT_TYPES = (
    *(
        'multipart/form-data; boundary="XX"',
        "multipart/form-data",
        "multipart/form-data; boundary=",
    ),
    *("multipart/form-data; boundary=\0", "Multipart/Form-Data;boundary=XX;boundary=YY"),
)
form_types = st.just("multipart/form-data; boundary=XX") | st.sampled_from(CONTENT_TYPES) | texts
told = st.builds(
    lambda key, more: {"Records": [{"s3": {"object": {"key": key, "eTag": "e", **more}}}]},
    st.sampled_from(["inbox/demo/", "inbox/", "inbox/demo/a.json", "inbox//"]).flatmap(
        lambda folder: texts.map(
            lambda name: folder + quote_plus(name.encode(errors="surrogatepass"))
        )
    ),
    st.dictionaries(st.sampled_from(["size", "sequencer", "versionId", "eTag"]), texts, max_size=2),
)

# --- What must hold ----------------------------------------------------------------------------


def answered(reply: Mapping[str, Any]) -> None:
    """Check an HTTPS reply: no 500, OpenAI's shape, no header of a caller's making."""
    status, body = reply["statusCode"], reply["body"]
    assert status in (200, 202, 204, 303) or 400 <= status < 500 or status == 503, body
    assert len(json.dumps(body)) < LARGEST_REPLY
    for name, value in reply["headers"].items():
        assert (name + value).isprintable(), (name, value)
    if status >= 400:
        error = json.loads(body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["code"] != "server_error"
        assert error["message"]


@dataclass
class Context:
    aws_request_id: str = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def _call(function: str, door: str, given: Mapping[str, str], **changes: Any) -> dict[str, Any]:
    made = event(function, door, **changes)
    made["headers"] = {**made["headers"], **given}
    made["requestContext"]["requestTimeEpoch"] = NOW * 1000
    return made


def picture_call(operation: Operation, body: bytes, given: dict[str, str], encoded: bool) -> None:
    text = base64.b64encode(body).decode() if encoded else body.decode("utf-8", "surrogateescape")
    made = _call(operation, "https", given, body=text, isBase64Encoded=encoded)
    answered(pictures.serve(EASEL, operation, made, cast(Any, Context())))


def form_call(operation: Operation, body: bytes, kind: str) -> None:
    picture_call(operation, body, {"Content-Type": kind}, True)


def damaged_body(body: str) -> None:
    made = _call("edit", "https", {}, body=body, isBase64Encoded=True)
    answered(pictures.serve(EASEL, "edit", made, cast(Any, Context())))


def job_call(
    act: str, job_id: str, query: dict[str, str] | None, given: dict[str, str], path: str
) -> None:
    made = _call("jobs", "https", given, queryStringParameters=query)
    made["pathParameters"] = {"id": job_id}
    made["requestContext"]["path"] = path
    serve = {
        "index": jobs.index,
        "show": jobs.show,
        "cancel": jobs.cancel,
        "usage": usage.show,
    }.get(act, partial(calls.result, ends_at=NOW + 10))
    answered(https.answer(made, partial(serve, EASEL), ("https://app.example",)))


class Posts:
    """A bucket that grants posts, and looks at what of."""

    def post(self, key: str, kind: str, length: int, seconds: int) -> tuple[str, dict[str, str]]:
        assert key.removeprefix("inputs/demo/file-").isalnum()
        assert kind in formats.CONTENT_TYPES.values()
        assert 0 < length < images.MAX_BYTES
        return "https://easel.example", {"key": key}


def input_call(body: bytes) -> None:
    made = _call("inputs", "https", {}, body=body.decode("utf-8", "surrogateescape"))
    answered(https.answer(made, lambda c: uploads.grant(c, cast(Any, Posts()), 60, NOW), ()))


def direct_event(operation: Operation, given: Any) -> None:
    raised: type[Exception] | None = None
    try:
        direct.answer(EASEL, operation, given, "request", NOW)
    except Exception as error:
        raised = type(error)
    # Made of an error's code; nothing else leaves.
    assert raised is None or raised.__module__ == "easel.doors.direct", raised
    assert raised is None or raised.__name__ != "server_error"


def authorized(token: str) -> None:
    made = event("authorizer", authorizationToken=token)
    allowed = authorizer.authorize(made, cast(Any, memory.Line()))["principalId"] == "demo"
    assert allowed == (token.split(" ")[-1].strip() == "easel-local") or allowed is False


def verified(data: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        header = images.verify(data, "image")
        assert header.kind in ("png", "jpeg", "webp")
        assert header.width * header.height <= images.MAX_PIXELS
    with contextlib.suppress(InvalidRequest):
        images.resize(data, 16, 16)
    with contextlib.suppress(InvalidRequest):
        images.alpha_mask(data)


def decoded(data: bytes, act: Callable[[bytes], object]) -> None:
    """Do one of what is done with an image that is let in."""
    with contextlib.suppress(InvalidRequest):
        header = formats.sniff(data)
        images.admit(header, len(data), "image")
        formats.take_apart(data, header, "image")
        act(data)


def shown(data: bytes) -> None:
    assert 1 <= sum(1 for _ in images.previews(data)) <= 3


def inbox_event(body: Any) -> None:
    """A message either fails alone, to come again, or is answered; S3 puts any key."""
    made = event("edit", "inbox")
    made["Records"][0]["body"] = body if isinstance(body, str) else json.dumps(body)
    report = inbox.answer(EASEL, made, NOW)
    assert report.keys() == {"batchItemFailures"}
    if isinstance(body, dict) and "Records" in body:
        assert report == {"batchItemFailures": []}


def manifest_read(data: bytes, metadata: dict[str, str]) -> None:
    from easel import manifest

    with contextlib.suppress(EaselError):
        named = manifest.read(data, "inbox/demo/folder/ask.json")
        for key in named.pictures:
            assert key.startswith("inbox/demo/folder/")
            assert not {"", ".", ".."} & set(key.split("/"))
    with contextlib.suppress(EaselError):
        for name, value in metadata.items():
            inbox._text(name, value)
        EASEL.reader.of_texts(metadata)


def work_message(body: Any) -> None:
    made = event("worker", "queue")
    made["Records"][0]["body"] = body if isinstance(body, str) else json.dumps(body)
    assert queue.work(made, EASEL.lifecycle, NOW).keys() == {"batchItemFailures"}


operations = st.sampled_from(["generate", "edit", "variation"])
encoded_words = st.builds("=?{}?{}?{}?=".format, texts, st.sampled_from("QBqbx"), texts)
Part = tuple[Callable[..., None], tuple[st.SearchStrategy[Any], ...], int]
PARTS: Mapping[str, Part] = {
    # name: what is done with what is drawn, and how many of 1,000
    "JSON bodies": (picture_call, (operations, raw, headers, st.booleans()), 220),
    "fields": (
        picture_call,
        (operations, fields.map(lambda one: json.dumps(one).encode()), headers, st.just(False)),
        200,
    ),
    "multipart": (form_call, (operations, forms, form_types), 140),
    "damaged base64": (damaged_body, (texts,), 20),
    "images": (verified, (damaged(),), 114),
    "large images": (
        decoded,
        (large, st.sampled_from([partial(images.verify, param="image"), shown, images.alpha_mask])),
        6,
    ),
    "ids, cursors, queries": (
        job_call,
        (
            st.sampled_from(["index", "show", "cancel", "result", "usage"]),
            texts,
            st.none()
            | st.dictionaries(
                st.sampled_from(
                    [
                        *("limit", "after", "hop", "response_format", "stream", "model"),
                        *("from", "to", "group_by"),
                    ]
                ),
                texts | st.dates().map(str) | st.sampled_from(["day", "model"]),
                max_size=3,
            ),
            headers,
            texts,
        ),
        80,
    ),
    "upload requests": (input_call, (raw,), 40),
    "direct events": (direct_event, (operations, fields | anything), 80),
    "tokens": (authorized, (texts | texts.map("Bearer {}".format),), 20),
    "inbox events": (inbox_event, (told | anything | texts,), 40),
    "manifests, metadata": (
        manifest_read,
        (raw, st.dictionaries(st.sampled_from(NAMES) | texts, encoded_words | texts, max_size=3)),
        30,
    ),
    "work messages": (work_message, (anything | texts,), 10),
}
