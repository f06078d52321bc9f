"""Lists in pages: which page is asked for, and OpenAI's list shape for the answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from easel.jobs import ID
from easel.responses import LARGEST_ANSWER


class Page(BaseModel):
    """Which page of the jobs is asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    limit: int = Field(default=20, ge=1, le=100)
    """How many jobs at most."""
    after: str | None = Field(default=None, pattern=ID)
    """The id that the first job comes after: the `last_id` of the page before."""


def listed(objects: Iterable[Mapping[str, Any]], limit: int) -> str:
    """Return OpenAI's list of at most ``limit`` objects, as JSON; fewer where more are too large.

    There must be one object more, if there is one, to tell that there are more.
    """
    texts: dict[str, str] = {}
    room, more = LARGEST_ANSWER, False
    for each in objects:
        text = json.dumps(each)
        room -= len(json.dumps(text))  # a body is text within Lambda's own JSON
        more = len(texts) == limit or room < 0
        if more:
            break
        texts[each["id"]] = text
    ends = {"first_id": next(iter(texts), None), "last_id": next(reversed(texts), None)}
    head = json.dumps({"object": "list", **ends, "has_more": more})
    return f'{head[:-1]}, "data": [{", ".join(texts.values())}]}}'
