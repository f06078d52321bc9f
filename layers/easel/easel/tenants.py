"""A tenant: who pays, and the periods its money is counted in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from easel.errors import BudgetExceeded, InvalidRequest

ResponseFormat = Literal["url", "b64_json"]
Quality = Literal["low", "medium", "high"]
Moderation = Literal["off", "prompt", "prompt+output"]
"""What is judged: nothing; prompt and input images before the call; the outputs after it, too."""

DIRECT = "direct"
"""Who pays for a direct invocation that names no tenant; AWS has authorised its caller. It is a
class of its own."""
STANDARD = "standard"
"""The class of a tenant that has been given none."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_CLASS = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Tenant(BaseModel):
    """Who pays, and what it may."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    tenant_class: str = STANDARD
    """What metrics tell of it, in place of its name: a word that many tenants share."""
    suspended: bool = False
    """Whether its keys, its inbox and direct invocations in its name are refused."""
    month_budget: int | None = Field(default=None, ge=0)
    """What it may commit in a month of UTC, in micro-dollars: charges, and the holds of open jobs.
    None: without limit."""
    day_budget: int | None = Field(default=None, ge=0)
    """The same of a day."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """How many pictures' calls it may make in a minute, by HTTPS and direct invocation; None: any.
    """
    images_per_minute: int | None = Field(default=None, ge=1)
    """How many images they may ask for; one that meets a job there is asks for none."""
    models: tuple[str, ...] = ()
    """The only models it may use, by any of their names; none named: all."""
    default_model: str | None = None
    """The model of its requests that name none; None: the deployment's."""
    default_quality: Quality | None = None
    """The quality of its requests that name none; None: the deployment's."""
    moderation: Moderation | None = None
    """What is judged of its jobs; None: what the deployment says."""
    cache_ttl: int | None = Field(default=None, ge=0)
    """How old an answer from the cache may be, in seconds, of its calls that do not say; 0: none is
    given. None: the deployment's."""
    response_format: ResponseFormat | None = None
    """What its calls get that ask for neither; None: both. For programs that fetch a ``url`` with
    their own Authorization header, which S3 refuses."""


def is_name(text: str) -> bool:
    """Tell whether a tenant can be called so: it stands in keys, paths and ids."""
    return bool(_NAME.fullmatch(text))


def valid_name(name: str) -> str:
    """Return the name if it can stand in keys, paths and ids. Raises InvalidRequest."""
    if not is_name(name) or name == DIRECT:
        raise InvalidRequest(
            "A tenant's name is 1 to 63 lower-case letters, digits and hyphens, "
            f"and does not start with a hyphen; {DIRECT!r} is taken.",
            param="tenant",
        )
    return name


def valid_class(name: str) -> str:
    """Return the name if it can be a class of tenants. Raises InvalidRequest."""
    if not _CLASS.fullmatch(name) or name == DIRECT:
        raise InvalidRequest(
            "A class is 1 to 32 lower-case letters, digits and hyphens, "
            f"and does not start with a hyphen; {DIRECT!r} is taken.",
            param="tenant_class",
        )
    return name


def exceeded(period: str, budget: int, committed: int, spent: int, hold: int) -> BudgetExceeded:
    """Return the error of a call whose ceiling does not fit a period's budget; micro-dollars."""
    left = usd(max(0, budget - committed))
    return BudgetExceeded(
        f"The budget of {period} is {usd(budget)} USD: {usd(spent)} spent, "
        f"{usd(committed - spent)} held, {left} left. This call may cost {usd(hold)}. "
        f"It resets at {resets_at(period):%Y-%m-%dT%H:%MZ}. Ask for less (quality, size, n), "
        "or the operator for more."
    )


def usd(micro_dollars: int) -> str:
    """Return dollars as text, to the last micro-dollar."""
    return f"{Decimal(micro_dollars).scaleb(-6).normalize():f}"


def resets_at(period: str) -> datetime:
    """Return when a month or a day, as below, is over."""
    days = period.count("-") == 2
    begins = datetime.strptime(period, "%Y-%m-%d" if days else "%Y-%m").replace(tzinfo=UTC)
    if days:
        return begins + timedelta(days=1)
    return begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)


def month(at: float) -> str:
    """Return the UTC month of a Unix time, as ``2026-11``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def day(at: float) -> str:
    """Return the UTC day of a Unix time, as ``2026-11-22``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
