"""An error as its caller, and its job, see it."""

from __future__ import annotations

import pytest

from easel import errors
from easel.errors import EaselError, InvalidRequest, Overloaded, UpstreamFailure, UpstreamUnknown

TREE = {
    "EaselError": (500, "server_error", "server_error", None),
    "InvalidRequest": (400, "invalid_request_error", "invalid_value", False),
    "Unauthenticated": (401, "invalid_request_error", "invalid_api_key", False),
    "Forbidden": (403, "invalid_request_error", "model_not_allowed", False),
    "NotFound": (404, "invalid_request_error", "not_found", False),
    "Conflict": (409, "invalid_request_error", "conflict", False),
    "Gone": (410, "invalid_request_error", "job_expired", False),
    "RequestTooLarge": (413, "invalid_request_error", "request_too_large", False),
    "BudgetExceeded": (429, "insufficient_quota", "budget_exceeded", False),
    "RateLimited": (429, "rate_limit_error", "rate_limit_exceeded", None),
    "Overloaded": (503, "service_unavailable_error", "upstream_overloaded", True),
    "ModerationBlocked": (400, "image_generation_user_error", "moderation_blocked", False),
    "ModerationUnavailable": (503, "service_unavailable_error", "moderation_unavailable", True),
    "UpstreamRefused": (502, "server_error", "upstream_error", False),
    "UpstreamBusy": (503, "service_unavailable_error", "upstream_overloaded", True),
    "UpstreamMisconfigured": (502, "server_error", "upstream_error", False),
    "UpstreamUnknown": (502, "server_error", "upstream_outcome_unknown", False),
}


@pytest.mark.parametrize(("name", "expected"), TREE.items(), ids=list(TREE))
def test_every_error_has_its_status_and_code(
    name: str, expected: tuple[int, str, str, bool | None]
) -> None:
    error = getattr(errors, name)("because")
    assert (error.status, error.type, error.code, error.retry) == expected


def test_the_tree_is_complete() -> None:
    def below(error: type[EaselError]) -> set[str]:
        return {error.__name__}.union(*(below(each) for each in error.__subclasses__()))

    assert below(EaselError) == {*TREE, "UpstreamFailure"}
    assert {each for each in TREE if each.startswith("Upstream")} == below(UpstreamFailure) - {
        "UpstreamFailure"
    }


def test_the_body_is_openais() -> None:
    error = InvalidRequest("Too many.", param="n")
    assert error.body() == {
        "error": {
            "message": "Too many.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_value",
        }
    }
    assert str(error) == "Too many."


def test_what_an_error_quotes_is_cut_and_whole_characters() -> None:
    error = InvalidRequest("\ud800" + "x" * 5_000_000, param="y\udfff" * 5_000_000)
    told = error.body()["error"]
    assert (len(told["message"]), len(told["param"])) == (2_000, 2_000)
    assert (told["message"][:2], told["param"][:2]) == ("?x", "y?")
    assert str(error) == told["message"]
    assert error.record() == EaselError.from_record(error.record()).record()


def test_what_is_given_replaces_the_default_of_this_error_alone() -> None:
    error = InvalidRequest("no", code="c", type="t", status=422, retry=True)
    assert (error.code, error.type, error.status, error.retry) == ("c", "t", 422, True)
    assert InvalidRequest("no").status == 400


def test_the_headers_steer_the_callers_retries() -> None:
    assert EaselError("x").headers() == {}
    assert UpstreamUnknown("x").headers() == {"x-should-retry": "false"}
    assert Overloaded("x", retry_after=51.2).headers() == {
        "x-should-retry": "true",
        "retry-after": "52",
    }


def test_a_retry_is_never_at_once() -> None:
    assert Overloaded("x", retry_after=0.01).headers()["retry-after"] == "1"


def test_a_job_keeps_its_error() -> None:
    error = InvalidRequest("Blocked.", code="moderation_blocked", param="prompt", type="t")
    kept = EaselError.from_record(error.record())
    assert kept.body() == error.body()
    assert (kept.status, kept.retry) == (400, False)
    assert kept.headers() == error.headers()


def test_it_keeps_the_wait_too() -> None:
    busy = Overloaded("x", retry_after=51.2)
    assert EaselError.from_record(busy.record()).headers() == busy.headers()


def test_a_status_that_came_back_as_text_is_still_a_number() -> None:
    assert EaselError.from_record({**Overloaded("x").record(), "status": "503"}).status == 503


def test_a_wait_at_a_limit_is_told_to_the_millisecond() -> None:
    error = errors.RateLimited("because", retry_after=4.8112)
    error.limits = {"x-ratelimit-limit-requests": "20"}
    assert error.headers() == {
        "retry-after": "5",
        "retry-after-ms": "4812",
        "x-ratelimit-limit-requests": "20",
    }


def test_a_log_may_have_what_is_ours_of_a_message() -> None:
    error = InvalidRequest("Invalid 'vast': use 'auto'.", quotes="'vast'")
    kept = EaselError.from_record(error.record())
    for one in error, kept:
        assert one.unquoted() == "Invalid […]: use 'auto'."
        assert "vast" in one.body()["error"]["message"]
    assert Overloaded("Wait.").unquoted() == "Wait."
