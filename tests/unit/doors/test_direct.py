"""Direct invocation: an event in, an ImagesResponse or an error with a name out."""

from __future__ import annotations

import base64
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from easel import bootstrap
from easel.bootstrap import Easel
from easel.doors import direct
from easel.errors import UpstreamFailure, UpstreamRefused
from easel.rendered import Rendered
from easel.requests import Operation
from easel.settings import Settings
from easel.tenants import DIRECT, Tenant
from tests.unit.examples import picture, rendered

_ids = (f"request-{number}" for number in count())


class Painter:
    """An upstream that answers with one picture, or as it is told, and counts."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.data = picture()
        self.refusal: UpstreamFailure | None = None

    def moderate(self, given: str | bytes, *, timeout: float) -> None:
        """Let everything pass."""

    def render(self, request: Any, inputs: Any, *, timeout: float) -> Rendered:
        self.calls.append(request.prompt)
        if self.refusal:
            raise self.refusal
        usage = {"input_tokens": 9, "output_tokens": 439, "total_tokens": 448}
        return rendered(base64.b64encode(self.data).decode(), created=1, usage=usage)


@pytest.fixture(scope="module")
def built(environ: dict[str, str]) -> Easel:
    easel = bootstrap.build(Settings.from_env(environ))
    easel.tenants.create(Tenant(name="demo"), easel.clock())
    return easel


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def easel(built: Easel, painter: Painter) -> Easel:
    inline = built.inline
    worker = replace(inline.worker, upstream=lambda: painter)  # type: ignore[arg-type]  # two methods of it
    return replace(built, inline=replace(inline, worker=worker))


def invoke(
    easel: Easel,
    operation: Operation = "generate",
    request_id: str | None = None,
    seconds: float = 60,
    **event: Any,
) -> dict[str, Any]:
    asked = {"prompt": "a cat", **event}
    until = easel.clock() + seconds
    return direct.answer(easel, operation, asked, request_id or next(_ids), until)


def raised(easel: Easel, **event: Any) -> tuple[str, str]:
    """Return the error's type, as Lambda will name it, and its message."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is made of the code
        invoke(easel, **event)
    return type(caught.value).__name__, str(caught.value)


def test_the_answer_is_an_images_response_with_a_url(easel: Easel, painter: Painter) -> None:
    reply = invoke(easel, tenant="demo")
    assert painter.calls == ["a cat"]
    [datum] = reply["data"]
    assert datum["url"].startswith("https://")
    assert "b64_json" not in datum
    assert (reply["prompt"], reply["cached"]) == ("a cat", False)
    assert reply["cost_usd"] > 0
    assert easel.inline.find("demo", reply["id"]).status == "succeeded"


def test_the_picture_itself_comes_if_it_is_asked_for(easel: Easel, painter: Painter) -> None:
    [datum] = invoke(easel, response_format="b64_json")["data"]
    assert base64.b64decode(datum["b64_json"]) == painter.data


def test_whoever_names_no_tenant_is_one(easel: Easel) -> None:
    assert easel.inline.find(DIRECT, invoke(easel)["id"])


def test_an_unknown_tenant_pays_for_nothing(easel: Easel, painter: Painter) -> None:
    name, message = raised(easel, tenant="nobody")
    assert name == "not_found"
    assert "nobody" in message
    assert painter.calls == []


def test_a_suspended_tenant_pays_for_nothing(easel: Easel, painter: Painter) -> None:
    easel.tenants.create(Tenant(name="late", suspended=True), easel.clock())
    assert raised(easel, tenant="late")[0] == "tenant_suspended"
    assert painter.calls == []


def test_a_tenants_limits_hold_in_its_name(easel: Easel, painter: Painter) -> None:
    bound = Tenant(name="bound", models=("gpt-image-2",), default_model="gpt-image-2")
    easel.tenants.create(bound, easel.clock())
    assert raised(easel, tenant="bound", model="gpt-image-2.5-flare")[0] == "model_not_allowed"
    assert painter.calls == []
    assert invoke(easel, tenant="bound")["model"] == "gpt-image-2"
    assert invoke(easel)["model"] != "gpt-image-2"


def test_the_same_invocation_again_is_the_same_job(easel: Easel, painter: Painter) -> None:
    ids = {invoke(easel, request_id="again")["id"] for _ in "ab"}
    assert len(ids) == len(painter.calls) == 1
    assert invoke(easel)["id"] not in ids


def test_a_key_outlives_the_invocation(easel: Easel, painter: Painter) -> None:
    ids = {invoke(easel, idempotency_key="k")["id"] for _ in "ab"}
    assert len(ids) == len(painter.calls) == 1


def test_a_key_is_not_taken_for_another_request(easel: Easel) -> None:
    invoke(easel, idempotency_key="once")
    assert raised(easel, idempotency_key="once", prompt="a dog")[0] == "idempotency_key_reused"


def test_the_event_is_not_changed(easel: Easel) -> None:
    event = {"prompt": "a cat", "tenant": "demo", "idempotency_key": "kept"}
    before = dict(event)
    direct.answer(easel, "generate", event, "r", easel.clock() + 60)
    assert event == before


def test_a_quote_buys_nothing(easel: Easel, painter: Painter) -> None:
    quote = invoke(easel, quote=True)
    assert (quote["object"], quote["would"]) == ("image.quote", "buy")
    assert quote["cost_usd"] > 0
    assert painter.calls == []


def test_an_error_is_named_by_its_code(easel: Easel, painter: Painter) -> None:
    assert raised(easel, prompt="")[0] == "missing_required_parameter"
    assert raised(easel, model="dall-e-9")[0] == "model_not_found"
    assert raised(easel, stream=True)[0] == "invalid_value"
    assert painter.calls == []
    painter.refusal = UpstreamRefused("Blocked.", status=400, code="moderation_blocked")
    assert raised(easel) == ("moderation_blocked", "Blocked.")


def test_what_does_not_fit_lambda_is_fetched_by_url(easel: Easel, painter: Painter) -> None:
    painter.data += b"\0" * 5_000_000
    name, message = raised(easel, idempotency_key="large", response_format="b64_json")
    assert (name, "url" in message) == ("request_too_large", True)
    assert invoke(easel, idempotency_key="large")["data"][0]["url"]
    assert len(painter.calls) == 1


def test_a_job_that_another_is_at_work_on_is_come_back_for(easel: Easel) -> None:
    idle = replace(easel.inline, queue=easel.lifecycle.queue)
    waiting = replace(easel, inline=idle)
    assert raised(waiting, idempotency_key="slow", seconds=0.01)[0] == "upstream_overloaded"
    assert invoke(easel, idempotency_key="slow")["data"]


ANYTHING: list[Any] = [None, 7, 1.5, True, "text", [], ["prompt"], {}, {"prompt": None}]


@pytest.mark.parametrize("event", ANYTHING, ids=repr)
def test_any_event_is_an_error_with_a_name(easel: Easel, event: Any) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  # its type is made of the code
        direct.answer(easel, "generate", event, next(_ids), easel.clock() + 60)
    assert type(caught.value).__name__ in ("invalid_value", "missing_required_parameter")


@pytest.mark.parametrize("tenant", ["", 7, {}, "\ud800", "x" * 5_000, "../demo", "demo\0", "Demo"])
def test_what_is_no_tenants_name_is_not_even_looked_up(easel: Easel, tenant: Any) -> None:
    assert raised(easel, tenant=tenant)[0] == "not_found"


@pytest.mark.parametrize("key", ["\ud800", "\0", 7, {"a": []}, "k" * 100_000])
def test_any_key_is_a_key(easel: Easel, painter: Painter, key: Any) -> None:
    first, again = (invoke(easel, idempotency_key=key) for _ in range(2))
    assert (first["id"], len(painter.calls)) == (again["id"], 1)


SAID: dict[str, dict[str, Any]] = {
    "size": {"size": "a secret"},
    "quality": {"quality": "a secret"},
    "style": {"style": "a secret"},
    "model": {"model": "a secret"},
    "a part": {"prompt": {"subject": "x", "a secret": 1}},
    "an earlier job": {"prompt": {"from": "a secret"}},
    "tenant": {"tenant": "a secret"},
}


@pytest.mark.parametrize("event", SAID.values(), ids=list(SAID))
def test_an_error_repeats_nothing_since_lambda_logs_it(easel: Easel, event: dict[str, Any]) -> None:
    assert "secret" not in str(raised(easel, **event))


def test_neither_what_upstream_says(easel: Easel, painter: Painter) -> None:
    painter.refusal = UpstreamRefused(
        "blocked: a secret", status=400, code="moderation_blocked", quotes="blocked: a secret"
    )
    key = next(_ids)
    for _ in "refused", "and asked again":
        assert raised(easel, idempotency_key=key) == ("moderation_blocked", "[…]")


def test_an_error_nobody_foresaw_is_named_and_says_nothing(
    easel: Easel, painter: Painter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter, "data", None)
    name, message = raised(easel, prompt="a secret")
    assert (name, "secret" in message) == ("server_error", False)
