"""What can go wrong, and how it looks outside.

    EaselError                      500  server_error
    ├── InvalidRequest              400  invalid_value and its kin; never billed, never retried
    ├── Unauthenticated             401  invalid_api_key
    ├── Forbidden                   403  model_not_allowed, tenant_suspended
    ├── NotFound                    404  not_found, model_not_found, job_not_found
    ├── Conflict                    409  idempotency_key_reused, job_cancelled, job_not_cancellable
    ├── Gone                        410  job_expired, input_expired
    ├── RequestTooLarge             413  request_too_large
    ├── BudgetExceeded              429  budget_exceeded; nothing was held
    ├── RateLimited                 429  rate_limit_exceeded; nothing was opened, come back later
    ├── Overloaded                  503  upstream_overloaded; nothing was bought, come back later
    ├── ModerationBlocked           400  moderation_blocked; an output is charged, all else is free
    ├── ModerationUnavailable       503  moderation_unavailable; nobody could judge
    └── UpstreamFailure                  a call to upstream that brought no picture
        ├── UpstreamRefused              its own status, code, param and message; surely not billed
        ├── UpstreamBusy                 429 or 5xx that may pass; surely not billed
        ├── UpstreamMisconfigured   502  upstream_error: only the operator can mend it; not billed
        └── UpstreamUnknown         502  upstream_outcome_unknown: it may have been billed

The wire shape is OpenAI's: ``{"error": {"message", "type", "param", "code"}}``; what moderation has
blocked also has ``moderation_details`` (``openai.types.beta``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Self

NEVER = {
    *("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"),
    *("organization_spend_limit_exceeded", "organization_usage_limit_exceeded"),
    "project_spend_limit_exceeded",
}
"""Upstream's codes of an account that makes no more pictures until its owner pays or allows it."""
_CATEGORY = re.compile(r"[a-z/_-]{1,40}")
_LONGEST_TEXT = 2_000
"""Characters of a message or a parameter's name: both may quote what a caller sent."""


class EaselError(Exception):
    """An error a caller can read.

    ``retry`` becomes ``x-should-retry``: False where a retry is useless or could pay, True where
    it is safe and wanted, None where the caller's own rule for the status is right.
    ``retry_after`` is in seconds and becomes ``retry-after``. ``quotes`` is what of the message is
    its caller's or upstream's own words, which no log may have.
    """

    status = 500
    type = "server_error"
    code = "server_error"
    retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        status: int | None = None,
        retry: bool | None = None,
        retry_after: float | None = None,
        moderation_details: Mapping[str, Any] | None = None,
        quotes: str | None = None,
    ) -> None:
        self.message = _told(message)
        super().__init__(self.message)
        self.param = param and _told(param)
        self.retry_after = retry_after
        self.moderation_details = moderation_details
        self.quotes = quotes and _told(quotes)
        self.code = code or self.code
        self.type = type or self.type
        self.status = status or self.status
        self.retry = self.retry if retry is None else retry

    def body(self) -> dict[str, Any]:
        """Return the error in OpenAI's shape."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.moderation_details:
            error["moderation_details"] = dict(self.moderation_details)
        return {"error": error}

    def unquoted(self) -> str:
        """Return the message as a log may have it."""
        return self.message.replace(self.quotes, "[…]") if self.quotes else self.message

    def headers(self) -> dict[str, str]:
        """Return the headers that steer the caller's retries."""
        headers = {}
        if self.retry is not None:
            headers["x-should-retry"] = str(self.retry).lower()
        if self.retry_after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after)))
        return headers

    def record(self) -> dict[str, Any]:
        """Return what a job keeps of the error, for ``from_record``."""
        return {
            **self.body()["error"],
            "status": self.status,
            "retry": self.retry,
            "retry_after": self.retry_after and math.ceil(self.retry_after),
            "quotes": self.quotes,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Rebuild the error a failed job kept."""
        fields = dict(record)
        status = int(fields.pop("status"))
        return cls(fields.pop("message"), status=status, **fields)


def moderation_details(error: object) -> dict[str, Any] | None:
    """Return the stage and the categories of upstream's own block, if it says them, as names."""
    said = error.get("moderation_details") if isinstance(error, dict) else None
    if not isinstance(said, dict):
        return None
    stage, categories = said.get("moderation_stage"), said.get("categories")
    return {
        "moderation_stage": stage if stage in ("input", "output") else None,
        "categories": names(categories if isinstance(categories, list) else ()),
    }


def names(categories: Iterable[object]) -> list[str]:
    """Return those of moderation's categories that are names, as ``self-harm/intent`` is."""
    return [one for one in categories if isinstance(one, str) and _CATEGORY.fullmatch(one)]


def _told(text: str) -> str:
    """Return the text as every reply, table and log can carry it."""
    return text[:_LONGEST_TEXT].encode(errors="replace").decode()


class InvalidRequest(EaselError):
    """The request cannot succeed as it is; ``param`` names what to change."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    retry = False


class Unauthenticated(EaselError):
    """No tenant key, or one that is unknown or revoked."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    retry = False


class Forbidden(EaselError):
    """The tenant may not do this."""

    status = 403
    type = "invalid_request_error"
    code = "model_not_allowed"
    retry = False


class NotFound(EaselError):
    """No such route, model, job or tenant; the same answer where it belongs to somebody else."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"
    retry = False


class Conflict(EaselError):
    """The request contradicts what the ledger holds."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"
    retry = False


class Gone(EaselError):
    """The job's images, or an input, are past their retention."""

    status = 410
    type = "invalid_request_error"
    code = "job_expired"
    retry = False


class RequestTooLarge(EaselError):
    """More bytes than this door takes."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"
    retry = False


class BudgetExceeded(EaselError):
    """What the call may cost does not fit into what is left of the tenant's budget."""

    status = 429
    type = "insufficient_quota"
    code = "budget_exceeded"
    retry = False


class RateLimited(EaselError):
    """The tenant asks too much in a minute; ``retry_after`` is when the same call is let in.

    ``limits`` are OpenAI's headers of what is left (``x-ratelimit-…``).
    """

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    limits: Mapping[str, str] = {}

    def headers(self) -> dict[str, str]:
        """Return the same, the wait to the millisecond as OpenAI's SDKs read it, and the limits."""
        exact = {"retry-after-ms": str(math.ceil((self.retry_after or 0) * 1000))}
        return {**super().headers(), **exact, **self.limits}


class Overloaded(EaselError):
    """The job still waits for its turn; a retry meets the same job."""

    status = 503
    type = "service_unavailable_error"
    code = "upstream_overloaded"
    retry = True


class ModerationBlocked(EaselError):
    """The prompt, an input image or an output was judged harmful; only an output was bought."""

    status = 400
    type = "image_generation_user_error"
    code = "moderation_blocked"
    retry = False


class ModerationUnavailable(EaselError):
    """Moderation does not answer, and the deployment lets nothing pass unjudged."""

    status = 503
    type = "service_unavailable_error"
    code = "moderation_unavailable"
    retry = True


class UpstreamFailure(EaselError):
    """A call to upstream that brought no picture."""

    status = 502
    type = "server_error"
    code = "upstream_error"
    retry = False


class UpstreamRefused(UpstreamFailure):
    """Upstream said no, and would say it again. Not billed."""


class UpstreamBusy(UpstreamFailure):
    """Upstream said not now (429, 5xx). Not billed; ``retry_after`` where it said when."""

    status = 503
    type = "service_unavailable_error"
    code = "upstream_overloaded"
    retry = True

    @property
    def shared(self) -> bool:
        """Whether it is said to all calls, not to this one."""
        return self.status == 429 or (self.status == 503 and self.retry_after is not None)


class UpstreamMisconfigured(UpstreamFailure):
    """The operator's key or account was refused. Not billed."""


class UpstreamUnknown(UpstreamFailure):
    """The line was lost or the wait ran out after the request had left: it may be billed."""

    code = "upstream_outcome_unknown"
