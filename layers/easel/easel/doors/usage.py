"""What an HTTPS call can ask of money: what its tenant has spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easel.doors.https import Call, Reply
from easel.usage import Span, report

if TYPE_CHECKING:
    from easel.bootstrap import Easel


def show(easel: Easel, call: Call) -> Reply:
    """Tell what the tenant has spent in the days that are asked for, and what it has left."""
    days = Span.asked(call.event.query_string_parameters, easel.lifecycle.today())
    return Reply(200, report(easel.books, call.tenant, days, easel.clock()))
