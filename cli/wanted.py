"""What an operator types of a tenant's settings, and what it comes to. Money is typed in USD."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from cli.stack import Failure
from easel.catalogue import Catalogue
from easel.tenants import STANDARD, Moderation, Quality, ResponseFormat, Tenant, valid_class

_RATE = re.compile(r"[1-9]\d{0,5}", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_USD = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line says a tenant is to have; None: nothing of it."""

    month_budget: str | None = None
    """USD it may commit in a month of UTC; none: without limit. A new tenant has 25."""
    day_budget: str | None = None
    """The same of a day. A new tenant has no such limit."""
    requests_per_minute: str | None = None
    """How often it may ask for pictures in a minute; none: without limit."""
    images_per_minute: str | None = None
    """How many images it may ask for in a minute; none: without limit."""
    models: str | None = None
    """The only models it may use, as a,b; none: all."""
    default_model: str | None = None
    """The model of requests without one; none: the deployment's."""
    default_quality: Quality | Literal["none"] | None = None
    """The quality of requests without one; none: the deployment's."""
    moderation: Moderation | Literal["none"] | None = None
    """What is judged of its jobs; none: what the deployment says."""
    cache_ttl: str | None = None
    """How old, in seconds, an answer from the cache may be of calls that do not say; 0: no cache;
    none: as the deployment has it."""
    response_format: ResponseFormat | Literal["none"] | None = None
    """What its calls get that ask for neither; none: both."""
    tenant_class: Annotated[str | None, Parameter(name="--class")] = None
    """What metrics count it as, in place of its name; none: standard."""

    def changes(self) -> dict[str, Any]:
        """Return the fields of a tenant that were given. Raises Failure, or NotFound of a model."""
        given = {name: text for name, text in asdict(self).items() if text is not None}
        return {
            name: _READ.get(name, str)(text) if text != "none" else _NONE.get(name)
            for name, text in given.items()
        }


def micro_dollars(text: str) -> int:
    """Return typed USD as integer micro-dollars. Raises Failure."""
    if not _USD.fullmatch(text):
        raise Failure(
            f"{text!r} is no amount: write USD as 25 or 2.50, with at most 6 decimals, or none."
        )
    return int(Decimal(text).scaleb(6))


def _rate(text: str) -> int:
    if not _RATE.fullmatch(text):
        raise Failure(f"{text!r} is no rate: write how many a minute, 1 to 999999, or none.")
    return int(text)


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise Failure(f"{text!r} is no time: write seconds, as 3600, or none.")
    return int(text)


def _model(name: str) -> str:
    Catalogue.load().resolve(name, _today())
    return name


def _models(text: str) -> list[str]:
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise Failure("Name models as a,b, or write none for all.")
    return [_model(name) for name in names]


_READ = {
    "month_budget": micro_dollars,
    "day_budget": micro_dollars,
    "requests_per_minute": _rate,
    "images_per_minute": _rate,
    "models": _models,
    "default_model": _model,
    "tenant_class": valid_class,
    "cache_ttl": _seconds,
}
_NONE: dict[str, Any] = {"models": [], "tenant_class": STANDARD}


def sound(tenant: Tenant) -> Tenant:
    """Return the tenant if it may use the model it gets unasked. Raises Failure."""
    named, today = tenant.default_model, _today()
    ids = Catalogue.load().ids
    if named and tenant.models and not ids([named], today) <= ids(tenant.models, today):
        raise Failure(f"The default model {named} is none of: {', '.join(tenant.models)}.")
    return tenant


def _today() -> date:
    return datetime.now(UTC).date()
