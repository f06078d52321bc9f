"""What the template decides for a function: the only reader of the environment.

Without pydantic: the authorizer, whose cold start each call of a new caller waits for, needs none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One field per environment variable of the template, which has the same name in capitals."""

    bucket: str = ""
    """The bucket of inputs, images, inbox and outbox."""
    jobs_table: str = ""
    ledger_table: str = ""
    tenants_table: str = ""
    work_queue_url: str = ""
    """Empty: a door runs its job itself, in the one invocation."""
    event_bus: str = ""
    """The event bus that is told of every job's end. Empty: none is."""
    upstream_secret: str = ""
    """ARN of the secret that ``aws.secrets`` reads."""
    wait_seconds: float = 25.0
    """How long a door waits for its job, at most."""
    integration_timeout_millis: int = 29_000
    """API Gateway's own limit; a door's answer is built 3 s before it."""
    default_model: str = "gpt-image-2.5-flare"
    default_quality: Literal["low", "medium", "high"] = "medium"
    url_ttl_seconds: int = 3600
    """How long a presigned URL lives."""
    retry_window_seconds: int = 900
    """How long a retry of the same request finds its job."""
    cache_ttl_seconds: int = 0
    """How old an answer from the cache may be, of calls and tenants that do not say; 0: off."""
    max_job_age_seconds: int = 3600
    """After this a job that has not finished is failed."""
    upstream_images_per_minute: int = 0
    """How many images of one model may be asked of upstream in a minute; 0: any number."""
    max_paid_attempts: int = 1
    """Calls to upstream that may be billed, for one job."""
    moderation_policy: Literal["off", "prompt", "prompt+output"] = "prompt"
    """What OpenAI's moderation judges, of tenants that say nothing of it."""
    moderation_failure: Literal["open", "closed"] = "open"
    """What becomes of a job while moderation does not answer: it goes on, or it does not."""
    inbox_wait_seconds: int = 900
    """How long what lies in the inbox waits for what it lacks."""
    keep_prompts: bool = True
    """Whether a job keeps its prompt once it is closed, or only the prompt's digest."""
    retention_days: int = 30
    """How long images and finished jobs are kept."""
    allowed_origins: tuple[str, ...] = ()
    """Origins whose pages may call (CORS)."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an absent variable has its default. Raises ValueError."""
        kinds = get_type_hints(cls)
        given: dict[str, Any] = {}
        for name in (field.name for field in fields(cls)):
            text = environ.get(name.upper())
            if text is not None:
                try:
                    given[name] = _reader(kinds[name])(text)
                except (LookupError, ValueError):
                    raise ValueError(f"{name.upper()} is {text!r}: no {kinds[name]}") from None
        return cls(**given)


def _reader(kind: Any) -> Callable[[str], Any]:
    """Return what makes a value of this kind from a variable's text."""
    if get_origin(kind) is Literal:
        return {word: word for word in get_args(kind)}.__getitem__
    readers: dict[Any, Callable[[str], Any]] = {str: str, int: int, float: float, bool: _yes}
    return readers.get(kind, _listed)


def _yes(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _listed(text: str) -> tuple[str, ...]:
    """Return the parts of a text that lists them by comma."""
    return tuple(part for each in text.split(",") if (part := each.strip()))
