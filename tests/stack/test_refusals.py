"""What upstream refuses reaches the SDK as upstream said it, and what passes is ridden out."""

import openai
import pytest

from tests.stack.running import Running, unique

OTHER = "gpt-image-2.6-flare"
"""A refusal that may pass holds up all calls to its model: here one that no other test asks for."""


def refused(running: Running, prompt: str, **rule) -> openai.APIStatusError:
    """Let upstream refuse the prompt; return what an SDK that asks once makes of it."""
    running.standin.rule(containing=prompt, **rule)
    client = running.openai(max_retries=0)
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.generate(prompt=prompt, model=OTHER)
    (job,) = running.jobs(prompt)
    assert running.job(job)["status"] == "failed"
    assert running.charges(job) == []
    assert running.paid(prompt) == 0
    assert caught.value.response.headers["cache-control"] == "no-store"
    assert caught.value.request_id
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "type_", "param", "message"),
    [
        (
            *(400, "moderation_blocked", "image_generation_user_error", None),
            "Your request was rejected by the safety system.",
        ),
        (404, "model_not_found", "invalid_request_error", "model", "The model does not exist."),
        (403, None, "invalid_request_error", None, "Your organization must be verified."),
        (429, "insufficient_quota", "insufficient_quota", None, "You exceeded your quota."),
        (400, "billing_hard_limit_reached", "billing_limit_user_error", None, "Hard limit."),
    ],
    ids=["moderation", "model", "verification", "quota", "hard limit"],
)
def test_a_refusal_keeps_its_status_code_param_and_message(
    running, status, code, type_, param, message
):
    prompt = unique("a fox")
    error = refused(
        running, prompt, status=status, code=code, type=type_, param=param, message=message
    )
    assert (error.status_code, error.param, error.type) == (status, param, type_)
    assert error.code == (code or "upstream_error")
    assert error.body["message"] == message
    assert error.response.headers["x-should-retry"] == "false"
    assert len(running.standin.calls(containing=prompt)) == 1


def test_an_overload_is_tried_again_and_then_says_when_to_come_back(running):
    prompt = unique("a fox")
    error = refused(
        running,
        prompt,
        status=503,
        code="server_is_overloaded",
        type="service_unavailable_error",
        message="The server is overloaded.",
        headers={"retry-after-ms": "100"},
    )
    assert isinstance(error, openai.InternalServerError)
    assert (error.status_code, error.code) == (503, "upstream_overloaded")
    assert error.body["message"] == "The server is overloaded."
    assert len(running.standin.calls(containing=prompt)) > 1
    assert int(error.response.headers["retry-after"]) >= 1


def test_the_operators_key_is_the_operators_affair(running):
    prompt = unique("a fox")
    error = refused(running, prompt, status=401, code="invalid_api_key", message="sk-standin?")
    assert (error.status_code, error.code) == (502, "upstream_error")
    assert "sk-standin" not in str(error)
    assert error.response.headers["x-should-retry"] == "false"
    # The secret is read afresh once, in case the key was changed.
    assert len(running.standin.calls(containing=prompt)) == 2


def test_a_rate_limit_is_ridden_out(running):
    prompt = unique("a fox")
    running.standin.rule(
        containing=prompt,
        times=2,
        status=429,
        code="rate_limit_exceeded",
        type="rate_limit_error",
        headers={"retry-after-ms": "300"},
    )
    made = running.openai(max_retries=0).images.generate(prompt=prompt, model=OTHER)
    assert made.data[0].url
    assert [c["status"] for c in running.standin.calls(containing=prompt)] == [429, 429, 200]
    assert running.paid(prompt) == 1
