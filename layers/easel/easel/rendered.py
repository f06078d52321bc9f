"""What upstream answers: images still in base64, and words made to fit a job."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from easel.errors import UpstreamUnknown

LONGEST_TEXT = 1_000
"""Characters of upstream's words that are kept, so that a job stays within DynamoDB's 400 KB."""
UNREADABLE = "Upstream answered, but not with images that can be read; it may have been billed."


def whole(text: Any) -> str:
    """Return the text cut to what is kept of it, half characters as question marks."""
    return str(text)[:LONGEST_TEXT].encode(errors="replace").decode()


Words = Annotated[str | None, BeforeValidator(lambda said: said and whole(said))]
"""What upstream says, made to fit."""


class Datum(BaseModel):
    """One image of an answer, still in base64."""

    model_config = ConfigDict(extra="ignore")

    b64_json: str
    revised_prompt: Annotated[str | None, BeforeValidator(lambda text: text and whole(text))] = None


class Rendered(BaseModel):
    """Upstream's answer (``openai.types.ImagesResponse``)."""

    model_config = ConfigDict(extra="ignore")

    created: int
    data: list[Datum] = Field(min_length=1)
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: dict[str, Any] | None = None
    svg_usage: dict[str, Any] | None = None

    def pictures(self) -> Iterator[bytes]:
        """Yield the decoded images, one at a time. Raises UpstreamUnknown: they are paid for."""
        for datum in self.data:
            try:
                yield base64.b64decode(datum.b64_json, validate=True)
            except ValueError:
                raise UpstreamUnknown(UNREADABLE) from None
