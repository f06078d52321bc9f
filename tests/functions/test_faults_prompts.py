"""Prompts in parts, retired styles and quotes, by JSON and by form."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import picture, post
from tests.functions.test_faults_door import made, refused, untouched
from tests.functions.test_https import call

PARTS = {"subject": "a (red) fox", "lighting": "dawn", "details": ["snow", "birches"]}
TEXT = "a (red) fox. Lighting: dawn. Details: snow; birches."
Send = Callable[[Deployed, Context, dict[str, Any]], dict[str, Any]]


def as_json(deployed: Deployed, context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    return call(deployed, context, fields)


def as_form(deployed: Deployed, context: Context, fields: dict[str, Any]) -> dict[str, Any]:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
    return post(deployed, context, "edit", ("image", picture()), *texts.items())


@pytest.mark.parametrize("send", [as_json, as_form])
def test_a_prompt_in_parts_is_one_text_that_can_be_changed(
    inline: Deployed, context: Context, send: Send
) -> None:
    first = made(send(inline, context, {"prompt": PARTS}))
    assert first["prompt"] == TEXT
    change = {"from": first["id"], "add": ["frost"], "remove": ["birches"]}
    second = made(send(inline, context, {"prompt": change, "style": "vivid"}))
    text = "a (red) fox. Lighting: dawn. Details: snow; frost."
    assert second["prompt"] == f"{text} Style: vivid, hyper-real and dramatic."
    third = made(send(inline, context, {"prompt": {"from": second["id"], "add": ["ice"]}}))
    assert third["prompt"] == "a (red) fox. Lighting: dawn. Details: snow; frost; ice."
    sent = [one["parameters"] for one in inline.standin.calls()]
    assert [one["prompt"] for one in sent] == [one["prompt"] for one in (first, second, third)]
    assert not any("style" in one for one in sent)


BAD_PARTS: dict[str, Any] = {
    "a number": {"subject": 7},
    "no subject": {"details": ["x"]},
    "nothing": {"subject": ""},
    "an unknown part": {"subject": "x", "camera": "old"},
    "a text for a list": {"subject": "x", "details": "snow"},
    "both": {"from": "job_1", "subject": "x"},
}


@pytest.mark.parametrize(
    "prompt",
    [
        *BAD_PARTS.values(),
        {"subject": " "},
    ],
    ids=[*BAD_PARTS, "blank"],
)
def test_parts_that_make_no_prompt_are_refused(
    hurried: Deployed, context: Context, prompt: Any
) -> None:
    assert refused(hurried, call(hurried, context, {"prompt": prompt}))["param"] == "prompt"


def test_a_change_of_anothers_prompt_or_of_what_is_not_in_it(
    hurried: Deployed, context: Context
) -> None:
    job = json.loads(call(hurried, context, {"prompt": PARTS})["body"])["id"]
    absent = call(hurried, context, {"prompt": {"from": job, "remove": ["palms"]}})
    assert absent["statusCode"] == 400
    event = hurried.event("generate", "https", body=json.dumps({"prompt": {"from": job}}))
    event["requestContext"]["authorizer"]["tenant"] = '{"name": "other"}'
    others = hurried.handler("generate")(event, context)
    assert (others["statusCode"], "fox" in others["body"]) == (404, False)


def test_an_unknown_style_is_refused(hurried: Deployed, context: Context) -> None:
    answer = call(hurried, context, {"prompt": "x", "style": "baroque"})
    assert refused(hurried, answer)["param"] == "style"


@pytest.mark.parametrize("send", [as_json, as_form])
def test_a_quote_does_nothing(hurried: Deployed, context: Context, send: Send) -> None:
    quote = made(send(hurried, context, {"prompt": "x", "quote": True, "n": 2, "stream": True}))
    assert (quote["object"], quote["would"], quote["job"]) == ("image.quote", "buy", None)
    assert quote["cost_usd"] > 0
    untouched(hurried)


def test_a_quote_of_a_repeat_is_free(hurried: Deployed, context: Context) -> None:
    key = {"Idempotency-Key": "k"}
    job = json.loads(call(hurried, context, {"prompt": "x"}, **key)["body"])["id"]
    before = hurried.rows("LEDGER_TABLE")
    quote = made(call(hurried, context, {"prompt": "x", "quote": True}, **key))
    assert (quote["would"], quote["job"], quote["cost_usd"]) == ("repeat", job, 0)
    assert hurried.rows("LEDGER_TABLE") == before
