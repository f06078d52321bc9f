"""The table of faults: what strikes, who calls, how the job must end, and how often it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from tests.stack.chaos.strikes import Does, Strike, When, Who

Caller = Literal["async", "sdk", "edit", "direct", "inbox"]
"""``async`` asks not to wait and looks later; ``sdk`` is openai-python, which waits; ``edit`` is
``async`` with a picture; ``direct`` invokes the function; ``inbox`` puts a picture there."""
Ends = Literal["images", "unknown", "failed", "images or unknown"]
"""``unknown``: upstream_outcome_unknown, charged at its hold. ``failed``: any other error, free."""
Copies = Literal["doubled", "delayed", "reordered"]
"""What happens to the message, or to S3's event, on its way."""

OUTAGE_SECONDS = 12
"""Longer than AWS's client retries by itself."""


@dataclass(frozen=True)
class Case:
    """One fault: a line of the table that is printed."""

    fault: str
    strikes: tuple[Strike, ...] = ()
    ends: Ends = "images"
    caller: Caller = "async"
    rule: dict[str, Any] = field(default_factory=dict, hash=False)
    """What the stand-in is told."""
    copies: Copies | None = None
    jobs: int = 14
    """How many times ``make chaos`` tries it, at least."""
    attempts: int = 1
    """MaxPaidAttempts."""
    slow: bool = False
    """Whether it recovers only by a limit of a quarter of an hour: these start first."""


def killed(
    who: Who, step: str, when: When, ends: Ends, caller: Caller = "async", **more: Any
) -> Case:
    """Return the case of a process that dies at a step."""
    strikes = (*more.pop("first", ()), Strike(who, step, when, "kill"))
    name = f"{who} killed {when} {step}"
    also = {"direct": " (direct invocation)", "inbox": " (inbox)"}.get(caller, "")
    return Case(name + also, strikes, ends, caller, **more)


LOST = Strike("door", "send", "before", "swallow")
"""The queue says yes, and the message never comes: the sweep has to look."""

KILLED = (
    killed("worker", "lease", "before", "images"),
    killed("worker", "lease", "after", "images"),
    killed("worker", "read input", "before", "images", "edit"),
    killed("worker", "read input", "after", "images", "edit"),
    killed("worker", "begin", "before", "images"),
    killed("worker", "begin", "after", "unknown"),
    killed("worker", "call", "before", "unknown"),
    killed("worker", "call", "after", "unknown"),
    killed("worker", "put image", "before", "unknown"),
    killed("worker", "put image", "after", "unknown"),
    killed("worker", "put answer", "before", "unknown"),
    killed("worker", "put answer", "after", "images"),
    killed("worker", "close", "before", "images"),
    killed("worker", "close", "after", "images"),
    killed("worker", "reply", "before", "images", "inbox", jobs=5),
    killed("worker", "reply", "after", "images", "inbox", jobs=5),
    killed("worker", "told", "before", "images", "inbox", jobs=5),
    killed("door", "put input", "before", "images", "edit"),
    killed("door", "put input", "after", "images", "edit"),
    killed("door", "open", "before", "images", "sdk"),
    killed("door", "open", "after", "images", "sdk"),
    killed("door", "open", "after", "images"),
    killed("door", "send", "before", "images"),
    killed("door", "send", "after", "images", "sdk"),
    killed("door", "look", "before", "images", "sdk"),
    killed("door", "look", "after", "images", "sdk"),
    killed("door", "read inbox", "before", "images", "inbox", jobs=4, slow=True),
    killed("door", "open", "after", "images", "inbox", jobs=4, slow=True),
    killed("door", "lease", "after", "images", "direct", jobs=4),
    killed("door", "call", "after", "unknown", "direct", jobs=4),
    killed("door", "put answer", "after", "images", "direct", jobs=4),
    killed("door", "close", "after", "images", "direct", jobs=4),
    killed("sweep", "query", "after", "images", first=(LOST,), jobs=6),
    killed("sweep", "look", "before", "images", first=(LOST,), jobs=6),
    killed("sweep", "send", "before", "images", first=(LOST,), jobs=6),
    killed("sweep", "send", "after", "images", first=(LOST,), jobs=6),
)

_AT_UPSTREAM = {
    f"worker killed {when} {step}"
    for step in ("begin", "call", "put image", "put answer", "close")
    for when in ("before", "after")
}

STANDIN = (
    Case("upstream drops the line before", ends="unknown", rule={"drop": "before"}, jobs=25),
    Case("upstream drops the line during", ends="unknown", rule={"drop": "during"}, jobs=25),
    Case("upstream drops the line after", ends="unknown", rule={"drop": "after"}, jobs=25),
    Case("upstream hangs", ends="unknown", rule={"hang": True}, jobs=3, slow=True),
    Case("upstream is slow", rule={"delay_seconds": 12}, caller="sdk", jobs=20),
    *(
        Case(f"upstream answers {status} once", rule={**rule, "status": status, "times": 1})
        for status, rule in (
            (429, {"code": "rate_limit_exceeded", "headers": {"retry-after": "1"}}),
            (500, {"code": "server_error"}),
            (503, {"code": "server_is_overloaded"}),
        )
    ),
    Case(
        "upstream answers 429 for a while",
        rule={"status": 429, "code": "slow_down", "headers": {"retry-after": "2"}, "times": 4},
    ),
    Case("upstream answers 500 always", ends="failed", rule={"status": 500, "code": "error"}),
    Case("upstream answers 503 always", ends="failed", rule={"status": 503, "code": "overloaded"}),
    Case(
        "upstream has no more quota",
        ends="failed",
        rule={"status": 429, "code": "insufficient_quota"},
    ),
)

MESSAGES = (
    Case("message lost", (LOST,)),
    Case("message doubled", copies="doubled", jobs=30),
    Case("message delayed", (LOST,), copies="delayed", jobs=30),
    Case("messages reordered", (LOST,), copies="reordered", jobs=30),
    Case("S3 event doubled", copies="doubled", caller="inbox", jobs=20),
    Case("S3 event delayed", copies="delayed", caller="inbox", jobs=20),
    Case("S3 events reordered", copies="reordered", caller="inbox", jobs=20),
)

TRANSPORT: tuple[tuple[Who, str, Caller, tuple[Does, ...]], ...] = (
    ("door", "put input", "edit", ("500", "throttle")),
    ("door", "find", "async", ("500", "throttle")),
    ("door", "open", "async", ("500", "throttle", "conflict", "in progress")),
    ("door", "send", "async", ("500", "throttle")),
    ("door", "look", "sdk", ("500", "throttle")),
    ("worker", "lease", "async", ("500", "throttle", "conflict")),
    ("worker", "read input", "edit", ("503", "throttle")),
    ("worker", "begin", "async", ("500", "throttle", "conflict", "in progress")),
    ("worker", "put image", "async", ("500", "throttle")),
    ("worker", "put answer", "async", ("503", "throttle")),
    ("worker", "close", "async", ("500", "throttle", "conflict", "in progress")),
    ("worker", "reply", "inbox", ("500",)),
)
"""AWS's errors at the points where they matter; at each, the line is cut before and after, too."""

_PAID = ("begin", "put image", "put answer")
"""An outage here leaves an attempt whose outcome nobody can know."""


def transport() -> Iterator[Case]:
    """Yield AWS's failures: once, which a client's retry heals, and for longer than it retries."""
    for who, step, caller, errors in TRANSPORT:
        faults: list[tuple[When, Does]] = [("before", "cut"), ("after", "cut")]
        faults += [("before", error) for error in errors]
        for (when, does), lasts in product(faults, (0, OUTAGE_SECONDS)):
            what = f"line cut {when}" if does == "cut" else does
            ends: Ends = "images or unknown" if lasts and step in _PAID else "images"
            strike = Strike(who, step, when, does, lasts=lasts)
            name = f"{who} {step}: {what}{f' for {lasts} s' if lasts else ''}"
            yield Case(name, (strike,), ends, caller, jobs=4 if caller == "inbox" else 12)


HELD = tuple(
    Case(f"{who} {step}: answer comes too late", (Strike(who, step, "after", "hold"),), jobs=5)
    for who, step in (
        ("door", "send"),
        ("worker", "lease"),
        ("worker", "begin"),
        ("worker", "put answer"),
        ("worker", "close"),
    )
)

_LINE_LOST = Case("the line to upstream is lost", rule={"drop": "during", "times": 1})
AGAIN = tuple(
    replace(case, fault=f"of 2 attempts, {case.fault}", ends="images", attempts=2)
    for case in (*(one for one in KILLED if one.fault in _AT_UPSTREAM), _LINE_LOST)
)
"""Where the operator permits a second attempt, it is made for what is unknown, and for no more."""

ALL = (*KILLED, *STANDIN, *MESSAGES, *transport(), *HELD, *AGAIN)
