"""What the stand-in remembers and was told: calls with their bills, rules, the rate."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from local.standin.checks import ImageRequest
from local.standin.forms import Form
from local.standin.models import PARTIAL_TOKENS
from local.standin.refusals import Refusal

Outcome = Literal["answered", "refused", "dropped", "hung"]
IMAGES = "images/"
"""The paths that a rule or a question means unless it names another."""


@dataclass
class Call:
    """One call. ``n`` counts from 1 since the last reset; times are Unix seconds.

    ``status`` and ``outcome`` are None while it runs. It is billed from the moment its images are
    painted; "dropped" also when the caller left first.
    """

    n: int
    path: str
    started_at: float
    prompt: str = ""
    model: str | None = None
    images: int = 0
    """Pictures painted."""
    status: int | None = None
    outcome: Outcome | None = None
    billed: bool = False
    billed_micro_dollars: int = 0
    finished_at: float | None = None
    has_user: bool = False
    omitted: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)

    def note(self, form: Form) -> None:
        """Keep what was sent."""
        prompt = form.parameters.get("prompt", "")
        self.prompt = prompt if isinstance(prompt, str) else ""
        self.model = form.parameters.get("model")
        self.has_user = "user" in form.parameters
        self.omitted = [
            name for name in ("model", "n", "size", "quality") if name not in form.parameters
        ]
        self.parameters = form.parameters
        self.inputs = [sent.record() for sent in form.inputs]

    def bill(self, request: ImageRequest) -> None:
        """Charge each image as a call of its own, input included."""
        usage = tokens(request)
        self.billed, self.images = True, request.asked.n
        self.billed_micro_dollars = request.family.micro_dollars(
            usage["text"], usage["image"], usage["output"]
        )

    def end(self, outcome: Outcome, status: int | None = None) -> None:
        """Record how it ended, and when."""
        self.outcome, self.status, self.finished_at = outcome, status, time.time()


def tokens(request: ImageRequest) -> dict[str, int]:
    """Return the text, image and output tokens of the whole call."""
    output = request.family.output_tokens(request.quality, request.size)
    output += PARTIAL_TOKENS * request.asked.partial_images
    return {
        "text": request.asked.n * request.text_tokens,
        "image": request.asked.n * request.image_tokens,
        "output": request.asked.n * output,
    }


@dataclass
class Rule:
    """How to misbehave towards calls whose prompt contains a text.

    ``status`` refuses, unbilled. ``drop`` cuts the line: "before" any work, unbilled; "during",
    billed and without a byte of an answer; "after" half of it. ``hang`` bills and never answers.
    ``image_bytes`` fills PNGs up to that size; ``picture`` comes instead of what would be painted.
    ``flags`` are categories that a moderation names, whatever it was asked. All wait
    ``delay_seconds`` first; painting and billing do not. ``times`` None: for ever. ``path``: the
    end of the paths meant; None means every image operation, so that a moderation does not use a
    rule up.
    """

    containing: str = ""
    times: int | None = None
    path: str | None = None
    delay_seconds: float = 0
    status: int | None = None
    code: str | None = None
    type: str = "invalid_request_error"
    param: str | None = None
    message: str = "The stand-in was told to refuse."
    headers: dict[str, str] = field(default_factory=dict)
    drop: Literal["before", "during", "after"] | None = None
    hang: bool = False
    image_bytes: int | None = None
    picture: str | None = None
    flags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.drop not in (None, "before", "during", "after"):
            raise ValueError(f"drop is before, during or after, not {self.drop!r}")

    def applies(self, path: str, prompt: str) -> bool:
        """Tell whether the rule means this call, and still has times left."""
        meant = path.endswith(self.path) if self.path else IMAGES in path
        return meant and self.containing in prompt and self.times != 0

    def refusal(self) -> Refusal:
        """Return the error the rule asks for."""
        return Refusal(
            self.message,
            code=self.code,
            param=self.param,
            type=self.type,
            status=self.status or 500,
            headers=self.headers,
        )


@dataclass
class Rate:
    """At most so many images per model in a rolling window; ``seconds_per_minute`` speeds it up."""

    images_per_minute: int
    seconds_per_minute: float = 60
    taken: dict[str, deque[tuple[float, int]]] = field(default_factory=lambda: defaultdict(deque))

    def take(self, model: str, images: int) -> None:
        """Count the images. Raises Refusal 429 that says how long to wait."""
        now, window = time.monotonic(), self.taken[model]
        while window and window[0][0] <= now - self.seconds_per_minute:
            window.popleft()
        used = excess = sum(count for _, count in window)
        excess += images - self.images_per_minute
        if excess <= 0:
            window.append((now, images))
            return
        wait = self.seconds_per_minute
        for at, count in window:
            excess -= count
            if excess <= 0:
                wait = at + self.seconds_per_minute - now
                break
        raise self._refusal(model, used, wait)

    def _refusal(self, model: str, used: int, wait: float) -> Refusal:
        limit = self.images_per_minute
        return Refusal(
            f"Rate limit reached for {model} on input-images per min: Limit {limit}, Used {used}."
            f" Please try again in {wait:.3f}s.",
            code="rate_limit_exceeded",
            type="rate_limit_error",
            status=429,
            headers={
                "retry-after": str(math.ceil(wait)),
                "retry-after-ms": str(math.ceil(wait * 1000)),
                "x-ratelimit-limit-input-images": str(limit),
                "x-ratelimit-remaining-input-images": str(max(0, limit - used)),
                "x-ratelimit-reset-input-images": f"{wait:.3f}s",
            },
        )


class Book:
    """Calls, rules and rate of one stand-in."""

    def __init__(self) -> None:
        self.rate: Rate | None = None
        self.reset()

    def reset(self) -> None:
        """Forget calls and rules."""
        self.calls: list[Call] = []
        self.rules: list[Rule] = []

    def open(self, path: str) -> Call:
        """Begin a call."""
        call = Call(len(self.calls) + 1, path, time.time())
        self.calls.append(call)
        return call

    def match(self, call: Call) -> Rule:
        """Return the first rule for the call, one time used up; a harmless rule if none."""
        for rule in self.rules:
            if rule.applies(call.path, call.prompt):
                rule.times = None if rule.times is None else rule.times - 1
                return rule
        return Rule()

    def found(self, containing: str, path: str) -> list[dict[str, Any]]:
        """Return the calls, oldest first."""
        return [
            asdict(call) for call in self.calls if containing in call.prompt and path in call.path
        ]
