"""A tenant's rates: how many calls, and how many images, it may ask for in a minute. Pure.

A rate of N a minute is an allowance of N that fills up by one every 60/N seconds. All that is kept
of it is when it will be full again (the generic cell rate algorithm), in Unix microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

from easel.errors import InvalidRequest, RateLimited

if TYPE_CHECKING:
    from easel.tenants import Tenant

What = Literal["requests", "images"]

_SECOND = 1_000_000
_MINUTE = 60 * _SECOND


class Rate(NamedTuple):
    """So many of something a minute."""

    what: What
    limit: int

    def cost(self, count: int) -> int:
        """Return how long so many take to come back, in microseconds."""
        return count * _MINUTE // self.limit

    def latest(self, count: int, now: int) -> int:
        """Return when the allowance may be full again at the latest, for so many to be in it."""
        return now + _MINUTE - self.cost(count)

    def headers(self, full_at: int, now: int) -> dict[str, str]:
        """Return OpenAI's headers of what is left, and of when all of it is back."""
        missing = max(0, full_at - now)
        left = (_MINUTE - missing) * self.limit // _MINUTE
        return {
            f"x-ratelimit-limit-{self.what}": str(self.limit),
            f"x-ratelimit-remaining-{self.what}": str(max(0, left)),
            f"x-ratelimit-reset-{self.what}": f"{missing / _SECOND:.3f}s",
        }

    def never(self, count: int) -> InvalidRequest:
        """Return the error of a call that asks for more than the allowance ever is."""
        return InvalidRequest(
            f"{count} images are more than the {self.limit} a minute that your tenant may ask for; "
            "ask for fewer at once.",
            param="n",
        )

    def refusal(self, count: int, full_at: int, now: int) -> RateLimited:
        """Return the error of a call that asks for more than is in the allowance now."""
        wait = (full_at - self.latest(count, now)) / _SECOND
        refused = RateLimited(
            f"Your tenant may ask for {self.limit} {self.what} a minute. "
            f"Nothing was opened; try again in {wait:.3f} s.",
            retry_after=wait,
        )
        refused.limits = self.headers(full_at, now)
        return refused


class Admission:
    """One call at the door: takes what the tenant's rates allow, and says what they leave.

    ``take`` takes so many of a tenant's allowance and returns what is left, as headers; it raises
    RateLimited, or InvalidRequest where the allowance is never so large.
    """

    def __init__(self, tenant: Tenant, take: Callable[[str, Rate, int], dict[str, str]]) -> None:
        self._tenant, self._take = tenant, take
        self.headers: dict[str, str] = {}

    def call(self) -> None:
        """Let the call itself in."""
        self._admit("requests", self._tenant.requests_per_minute, 1)

    def images(self, count: int) -> None:
        """Let a new job of so many images in. A call that meets a job there is asks for none."""
        self._admit("images", self._tenant.images_per_minute, count)

    def _admit(self, what: What, limit: int | None, count: int) -> None:
        if limit is not None:
            self.headers |= self._take(self._tenant.name, Rate(what, limit), count)
