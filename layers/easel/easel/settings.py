"""What the template decides for a function: the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _listed(value: object) -> object:
    """Return the parts of a text that lists them by comma."""
    if not isinstance(value, str):
        return value
    return [part for each in value.split(",") if (part := each.strip())]


class Settings(BaseModel):
    """One field per environment variable of the template, which has the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

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
    wait_seconds: float = 25
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
    allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Origins whose pages may call (CORS)."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an absent variable has its default. Raises ValidationError."""
        return cls.model_validate(
            {name: environ[name.upper()] for name in cls.model_fields if name.upper() in environ}
        )
