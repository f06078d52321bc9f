"""What is sent upstream, and what upstream's answers mean for money."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from pydantic import SecretStr

from easel import forms
from easel.aws.secrets import UpstreamSecret
from easel.errors import (
    UpstreamBusy,
    UpstreamFailure,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamUnknown,
)
from easel.rendered import Rendered
from easel.requests import Request
from easel.upstream import Upstream
from tests.unit.examples import image, picture, request

PNG = picture()
ANSWER = {
    "created": 1_795_350_896,
    "data": [{"b64_json": base64.b64encode(PNG).decode(), "revised_prompt": "a fluffy cat"}],
    "quality": "medium",
    "size": "1024x1024",
    "usage": {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448},
    "something": "new",
}


@dataclass
class Sent:
    """A call as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def form(self) -> forms.Form:
        return forms.parse(self.body, self.headers["content-type"])


@dataclass
class Wire:
    """An upstream that answers as a test says, and keeps what it was sent."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = json.dumps(ANSWER).encode()
    accepts: Callable[[str], bool] = lambda _: True
    """Which authorization is no 401."""
    misbehave: Callable[[socket.socket], None] | None = None
    """What to do with the line in place of an answer."""

    def error(self, status: int, headers: dict[str, str] | None = None, **error: Any) -> None:
        self.status, self.headers = status, headers or {}
        self.body = json.dumps({"error": error}).encode()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            wire.sent.append(Sent(self.path, headers, body))
            if wire.misbehave:
                return wire.misbehave(self.connection)
            known = wire.accepts(headers["authorization"])
            self.send_response(wire.status if known else 401)
            for name, value in wire.headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(wire.body)
            return None

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        wire.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield wire
        server.shutdown()
        thread.join()


def secret(url: str, key: str = "sk-1", **more: Any) -> UpstreamSecret:
    return UpstreamSecret(api_key=SecretStr(key), base_url=url, **more)


def render(
    wire: Wire, asked: Request | None = None, timeout: float = 5, **inputs: bytes
) -> Rendered:
    upstream = Upstream(lambda: secret(wire.url))
    files = {key: BytesIO(data) for key, data in inputs.items()}
    rendered = upstream.render(asked or request(), files, timeout=timeout)
    assert list(rendered.pictures()) == [PNG]
    return rendered


def failure(wire: Wire, asked: Request | None = None, timeout: float = 5) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as caught:
        render(wire, asked, timeout)
    return caught.value


# --- the request ---


def test_a_generation_is_one_json_call(wire: Wire) -> None:
    rendered = render(wire, request(parameters={"size": "1024x1024", "future": {"x": [1, None]}}))
    [sent] = wire.sent
    assert sent.path == "/v1/images/generations"
    assert sent.headers["authorization"] == "Bearer sk-1"
    assert sent.json == {
        "model": "gpt-image-2.5-flare",
        "prompt": "a cat",
        "size": "1024x1024",
        "future": {"x": [1, None]},
    }
    said = rendered.said.model_dump(exclude_none=True)
    assert said.pop("data") == [{"b64_json": "0", "revised_prompt": "a fluffy cat"}]
    assert said == {name: ANSWER[name] for name in ("created", "quality", "size", "usage")}


def edit(**inputs: Any) -> Request:
    return request(operation="edit", parameters={"size": "auto", "n": 2}, **inputs)


def test_one_image_is_image(wire: Wire) -> None:
    render(wire, edit(images=(image("a"),)), a=PNG)
    [sent] = wire.sent
    assert sent.path == "/v1/images/edits"
    assert sent.form.fields == {
        "model": ["gpt-image-2.5-flare"],
        "prompt": ["a cat"],
        "size": ["auto"],
        "n": ["2"],
    }
    [upload] = sent.form.files["image"]
    assert (upload.filename, upload.content_type, upload.data) == ("0.png", "image/png", PNG)
    assert sent.form.files.keys() == {"image"}


def test_several_are_a_list_and_each_is_labelled_by_its_bytes(wire: Wire) -> None:
    images = (image("a", kind="png"), image("b", kind="webp"), image("c", kind="jpeg"))
    render(wire, edit(images=images, mask=image("d")), a=b"A", b=b"B", c=b"C", d=b"D")
    files = wire.sent[0].form.files
    assert [(each.content_type, each.data) for each in files["image[]"]] == [
        ("image/png", b"A"),
        ("image/webp", b"B"),
        ("image/jpeg", b"C"),
    ]
    [mask] = files["mask"]
    assert (mask.content_type, mask.data) == ("image/png", b"D")
    assert files.keys() == {"image[]", "mask"}


def test_markup_goes_as_markup(wire: Wire) -> None:
    render(wire, edit(images=(image("a"),), markup=image("b", kind="webp")), a=b"A", b=b"B")
    [markup] = wire.sent[0].form.files["markup"]
    assert (markup.filename, markup.content_type, markup.data) == ("1.webp", "image/webp", b"B")


def test_a_variation_is_an_edit(wire: Wire) -> None:
    render(wire, request(operation="variation", images=(image("a"),)), a=PNG)
    assert wire.sent[0].path == "/v1/images/edits"


def test_the_end_user_goes_as_a_keyed_hash(wire: Wire) -> None:
    pseudonym = "5" * 64
    for key in ("sk-1", "sk-1", "sk-2"):
        upstream = Upstream(lambda key=key: secret(wire.url, key))
        upstream.render(request(user=pseudonym), {}, timeout=5)
    first, again, other = (sent.json["safety_identifier"] for sent in wire.sent)
    assert first == again != other
    assert pseudonym not in (first, other)
    assert len(bytes.fromhex(first)) == 32
    assert "user" not in wire.sent[0].json


def test_also_beside_files(wire: Wire) -> None:
    render(wire, edit(images=(image("a"),), user="5" * 64), a=PNG)
    [identifier] = wire.sent[0].form.fields["safety_identifier"]
    assert len(bytes.fromhex(identifier)) == 32


def test_the_secret_says_where_and_for_whom(wire: Wire) -> None:
    said = secret(wire.url, organization="org-1", project="proj-1")
    Upstream(lambda: said).render(request(), {}, timeout=5)
    headers = wire.sent[0].headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")


def test_the_client_is_kept_from_call_to_call(wire: Wire) -> None:
    keys = iter(("sk-1",))
    upstream = Upstream(lambda: secret(wire.url, next(keys)))
    for _ in range(2):
        upstream.render(request(), {}, timeout=5)
    assert not list(keys)


# --- moderation ---

JUDGED = {"id": "modr-1", "model": "omni-moderation-latest"}


def judged(wire: Wire, given: str | bytes, timeout: float = 5) -> tuple[str, ...] | None:
    return Upstream(lambda: secret(wire.url)).moderate(given, timeout=timeout)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"flagged": False, "categories": {"violence": False}}, None),
        ({"flagged": True, "categories": {"hate": False, "violence": True}}, ("violence",)),
        ({"flagged": True, "categories": {}}, ()),
    ],
)
def test_a_text_is_judged(
    wire: Wire, result: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    wire.body = json.dumps({**JUDGED, "results": [result]}).encode()
    assert judged(wire, "a cat") == expected
    [sent] = wire.sent
    assert sent.path == "/v1/moderations"
    part = {"type": "text", "text": "a cat"}
    assert sent.json == {"model": "omni-moderation-latest", "input": [part]}


def test_an_image_is_judged_as_a_data_url(wire: Wire) -> None:
    wire.body = json.dumps({**JUDGED, "results": [{"flagged": False, "categories": {}}]}).encode()
    judged(wire, b"a jpeg")
    [part] = wire.sent[0].json["input"]
    link = f"data:image/jpeg;base64,{base64.b64encode(b'a jpeg').decode()}"
    assert part == {"type": "image_url", "image_url": {"url": link}}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"results": []}', b'{"results": [{}]}', b'{"results": [{"flagged": 1}]}'],
)
def test_a_judgement_that_is_none_is_a_failure(wire: Wire, body: bytes) -> None:
    wire.body = body
    with pytest.raises(UpstreamUnknown):
        judged(wire, "a cat")


def test_moderation_fails_as_pictures_do(wire: Wire) -> None:
    wire.error(429, {"retry-after": "7"}, message="because", code="rate_limit_exceeded")
    with pytest.raises(UpstreamBusy) as busy:
        judged(wire, "a cat")
    assert busy.value.retry_after == 7
    wire.error(404, message="Invalid URL")
    with pytest.raises(UpstreamRefused):
        judged(wire, "a cat")


def test_moderation_reads_a_rotated_key_afresh(wire: Wire) -> None:
    wire.body = json.dumps({**JUDGED, "results": [{"flagged": False, "categories": {}}]}).encode()
    wire.accepts = lambda authorization: authorization == "Bearer sk-new"
    keys = iter(("sk-old", "sk-new"))
    upstream = Upstream(lambda: secret(wire.url, next(keys)))
    assert upstream.moderate("a cat", timeout=5) is None
    assert len(wire.sent) == 2


# --- answers with an error status ---

type Row = tuple[tuple[int, dict[str, str], dict[str, Any]], type[UpstreamFailure], dict[str, Any]]

RATE = {"code": "rate_limit_exceeded", "type": "rate_limit_error"}
REFUSED = {"retry": False, "message": "because"}
BLOCKED = {"code": "moderation_blocked", "type": "image_generation_user_error"}
DETAILS = {"moderation_stage": "output", "categories": ["self-harm/intent"]}
UNKNOWN = {"status": 502, "code": "upstream_outcome_unknown", "retry": False}

ROWS: dict[str, Row] = {
    **{
        code: (
            (429, {"retry-after": "5"}, {"code": code, "type": code}),
            UpstreamRefused,
            {**REFUSED, "status": 429, "code": code, "type": code, "retry_after": None},
        )
        for code in (
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        )
    },
    "a quota that only the type tells": (
        (429, {}, {"code": None, "type": "insufficient_quota"}),
        UpstreamRefused,
        {**REFUSED, "status": 429, "type": "insufficient_quota"},
    ),
    "the billing limit": (
        (400, {}, {"code": "billing_hard_limit_reached", "type": "invalid_request_error"}),
        UpstreamRefused,
        {**REFUSED, "status": 400, "code": "billing_hard_limit_reached"},
    ),
    **{
        f"moderation, {name}": (
            (400, {}, {**BLOCKED, **({"moderation_details": given} if given else {})}),
            UpstreamRefused,
            {**REFUSED, **BLOCKED, "status": 400, "param": None, "moderation_details": told},
        )
        for name, given, told in (
            ("unsaid why", None, None),
            ("said why", DETAILS, DETAILS),
            ("in another shape", ["violence"], None),
            (
                "in words",
                {"moderation_stage": ["a prompt"], "categories": ["a prompt", 1, "violence"]},
                {"moderation_stage": None, "categories": ["violence"]},
            ),
            ("halfway", {"categories": 1}, {"moderation_stage": None, "categories": []}),
        )
    },
    "a bad value": (
        (400, {}, {"code": "invalid_value", "type": "invalid_request_error", "param": "size"}),
        UpstreamRefused,
        {**REFUSED, "status": 400, "code": "invalid_value", "param": "size"},
    ),
    "verification": (
        (403, {}, {"code": None, "type": "invalid_request_error"}),
        UpstreamRefused,
        {**REFUSED, "status": 403, "code": "upstream_error"},
    ),
    "an unknown model": (
        (404, {}, {"code": "model_not_found", "param": "model"}),
        UpstreamRefused,
        {**REFUSED, "status": 404, "code": "model_not_found", "param": "model"},
    ),
    "a rate limit": (
        (429, {"retry-after": "7"}, RATE),
        UpstreamBusy,
        {**RATE, "status": 429, "retry": True, "retry_after": 7, "message": "because"},
    ),
    "slow down": (
        (429, {}, {"code": "slow_down", "type": "rate_limit_error"}),
        UpstreamBusy,
        {**RATE, "status": 429, "retry": True, "retry_after": None},
    ),
    "milliseconds come first": (
        (429, {"retry-after-ms": "1500", "retry-after": "2"}, RATE),
        UpstreamBusy,
        {"retry_after": 1.5},
    ),
    "a date is no number of seconds": (
        (429, {"retry-after": "Sun, 22 Nov 2026 12:34:56 GMT"}, RATE),
        UpstreamBusy,
        {"retry_after": None},
    ),
    "the wait in the text": (
        (429, {}, {**RATE, "message": "please slow down and try again after 51.84 seconds"}),
        UpstreamBusy,
        {"retry_after": 51.84},
    ),
    "in milliseconds": (
        (429, {}, {**RATE, "message": "Rate limit reached. Please try again in 250ms. Visit us."}),
        UpstreamBusy,
        {"retry_after": 0.25},
    ),
    "in seconds, shortly": (
        (429, {}, {**RATE, "message": "Please try again in 12s."}),
        UpstreamBusy,
        {"retry_after": 12},
    ),
    "overload": (
        (503, {}, {"code": "server_is_overloaded", "type": "service_unavailable_error"}),
        UpstreamBusy,
        {"status": 503, "code": "upstream_overloaded", "retry": True, "message": "because"},
    ),
    "a failure": (
        (500, {"retry-after": "3"}, {"code": "image_generation_failed", "type": "server_error"}),
        UpstreamBusy,
        {"status": 502, "code": "upstream_error", "retry": True, "retry_after": 3},
    ),
    **{
        f"OpenAI's {status}": (
            (status, {}, {"type": "server_error"}),
            UpstreamBusy,
            {"status": 502, "code": "upstream_error", "retry": True},
        )
        for status in (408, 409, 500)
    },
    **{
        f"a gateway's {status}": ((status, {}, {}), UpstreamUnknown, UNKNOWN)
        for status in (408, 500, 501, 502, 503, 504, 520, 522, 524)
    },
}


@pytest.mark.parametrize(("said", "kind", "expected"), ROWS.values(), ids=list(ROWS))
def test_what_upstream_says(
    wire: Wire,
    said: tuple[int, dict[str, str], dict[str, Any]],
    kind: type[UpstreamFailure],
    expected: dict[str, Any],
) -> None:
    status, headers, error = said
    wire.error(status, headers, **{"message": "because", **error})
    failed = failure(wire)
    assert type(failed) is kind
    assert {name: getattr(failed, name) for name in expected} == expected
    assert len(wire.sent) == 1, "upstream is never called twice unasked"


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error": "no"}', b'"no"', b"[]"])
@pytest.mark.parametrize(("status", "kind"), [(403, UpstreamRefused), (429, UpstreamBusy)])
def test_an_error_may_come_in_any_shape(
    wire: Wire, body: bytes, status: int, kind: type[UpstreamFailure]
) -> None:
    wire.status, wire.body = status, body
    failed = failure(wire)
    assert type(failed) is kind
    assert failed.message == f"Upstream answered {status}."


def test_a_long_error_is_cut(wire: Wire) -> None:
    wire.error(400, message="x" * 100_000, code="invalid_value")
    assert 100 < len(failure(wire).message) <= 1000


def test_a_wait_of_minutes_is_understood(wire: Wire) -> None:
    wire.error(429, message="Please try again in 1m12.5s.", **RATE)
    assert failure(wire).retry_after == 72.5


@pytest.mark.parametrize("seconds", ["-5", "nan", "inf"])
def test_a_wait_that_is_none_is_not_taken(wire: Wire, seconds: str) -> None:
    wire.error(429, {"retry-after": seconds}, message="because", **RATE)
    assert failure(wire).retry_after is None


# --- the key ---


def test_a_rotated_key_is_read_afresh_once(wire: Wire) -> None:
    wire.accepts = lambda authorization: authorization == "Bearer sk-new"
    keys = iter(("sk-old", "sk-new"))
    upstream = Upstream(lambda: secret(wire.url, next(keys)))
    for _ in range(2):
        upstream.render(request(), {}, timeout=5)
    assert [sent.headers["authorization"][-3:] for sent in wire.sent] == ["old", "new", "new"]


def test_a_key_that_stays_refused_is_the_operators_to_mend(wire: Wire) -> None:
    wire.accepts = lambda _: False
    failed = failure(wire)
    assert type(failed) is UpstreamMisconfigured
    assert (failed.status, failed.code, failed.retry) == (502, "upstream_error", False)
    assert "sk-" not in failed.message
    assert len(wire.sent) == 2


def test_check_asks_for_what_is_free(wire: Wire) -> None:
    wire.body = b'{"object": "list", "data": []}'
    Upstream(lambda: secret(wire.url)).check()
    assert [sent.path for sent in wire.sent] == ["/v1/models"]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"data": 7}', b"[]"])
def test_check_tells_what_is_no_openai(wire: Wire, body: bytes) -> None:
    wire.body = body
    with pytest.raises(UpstreamMisconfigured):
        Upstream(lambda: secret(wire.url)).check()


def test_check_tells_a_refused_key(wire: Wire) -> None:
    wire.error(401, message="no", code="invalid_api_key")
    with pytest.raises(UpstreamMisconfigured):
        Upstream(lambda: secret(wire.url)).check()


# --- the line ---


def reset(line: socket.socket) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def half(line: socket.socket) -> None:
    line.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"created": 1')


def garbage(line: socket.socket) -> None:
    line.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")


def silence(_: socket.socket) -> None:
    time.sleep(0.4)


LOST: dict[str, Callable[[socket.socket], None]] = {
    "closed": lambda _: None,
    "reset": reset,
    "half an answer": half,
    "no HTTP": garbage,
    "no answer in time": silence,
}


@pytest.mark.parametrize("misbehave", LOST.values(), ids=list(LOST))
def test_a_line_that_is_lost_may_have_been_billed(
    wire: Wire, misbehave: Callable[[socket.socket], None]
) -> None:
    wire.misbehave = misbehave
    failed = failure(wire, timeout=0.2)
    assert type(failed) is UpstreamUnknown
    assert {name: getattr(failed, name) for name in UNKNOWN} == UNKNOWN
    assert len(wire.sent) == 1


@contextmanager
def nobody() -> Iterator[str]:
    """Give a port that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_line_that_never_was_costs_nothing() -> None:
    with nobody() as address:
        failed = failure(Wire(url=f"http://{address}/v1"))
    assert type(failed) is UpstreamBusy
    assert (failed.status, failed.code, failed.retry) == (503, "upstream_overloaded", True)
    assert failed.retry_after


def test_neither_does_one_that_cannot_be_encrypted(wire: Wire) -> None:
    wire.url = wire.url.replace("http:", "https:")
    assert type(failure(wire)) is UpstreamBusy
    assert wire.sent == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "127.0.0.1/v1"])
def test_an_address_that_cannot_be_called_is_the_operators_to_mend(url: str) -> None:
    assert type(failure(Wire(url=url))) is UpstreamMisconfigured


@pytest.mark.parametrize("value", ["\ud800", float("nan"), object()])
def test_a_request_that_cannot_be_written_was_never_sent(wire: Wire, value: Any) -> None:
    failed = failure(wire, request(parameters={"x": value}))
    assert type(failed) is UpstreamRefused
    assert (failed.status, failed.code, failed.retry) == (400, "invalid_value", False)
    assert wire.sent == []


# --- answers that cannot be read ---


BODIES = {
    "a page": b"<html>busy</html>",
    "no data": json.dumps({"created": 1}).encode(),
    "no images": json.dumps({"created": 1, "data": []}).encode(),
    "urls": json.dumps({"created": 1, "data": [{"url": "https://x"}]}).encode(),
    "a list": b"[]",
    "not text": b"\xff\xfe",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_an_answer_that_cannot_be_read_may_have_been_billed(wire: Wire, body: bytes) -> None:
    wire.body = body
    assert type(failure(wire)) is UpstreamUnknown
