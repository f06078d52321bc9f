"""A stand-in for OpenAI's Images API: it checks, paints, bills and misbehaves on demand.

A call goes forms (the wire in) → checks (what OpenAI would refuse) → calls (rate and rules) →
paint → replies (the wire out); ``app`` leads it through and ``server`` serves it. It knows nothing
of Easel: what it refuses is a second opinion. In a test::

    with Standin() as standin:
        OpenAI(api_key="sk-standin", base_url=standin.base_url)
        standin.rule(containing="a slow cat", delay_seconds=3, times=1)
        standin.calls(containing="a slow cat")
"""

from local.standin.server import Control, Standin

__all__ = ["Control", "Standin"]
