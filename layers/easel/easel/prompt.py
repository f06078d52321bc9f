"""Structured prompts: parts in the order that image models read best, as one text. Pure.

A prompt is a text, or an object of parts, or a change of an earlier job's parts::

    {"subject": "a (red) fox", "lighting": "dawn", "details": ["snow", "birches"]}
    {"from": "job_…", "add": ["frost"], "remove": ["birches"]}

Parentheses and brackets pass unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from easel.errors import InvalidRequest

STYLES = {
    "vivid": "Style: vivid, hyper-real and dramatic.",
    "natural": "Style: natural, less hyper-real looking.",
}
"""What OpenAI said that dall-e-3's ``style`` did (``image_generate_params``), as words."""


Texts = Annotated[list[str], FailFast()]
"""Texts of which the first that is none is enough to refuse all."""


class Parts(BaseModel):
    """A prompt in parts; only the subject is required."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    subject: str = Field(pattern=r"\S")
    composition: str | None = None
    lighting: str | None = None
    palette: str | None = None
    style: str | None = None
    mood: str | None = None
    details: Texts = Field(default_factory=list)
    avoid: Texts = Field(default_factory=list)
    emphasis: Texts = Field(default_factory=list)

    def text(self) -> str:
        """Return the parts as one text."""
        named = {
            "Composition": self.composition,
            "Lighting": self.lighting,
            "Palette": self.palette,
            "Style": self.style,
            "Mood": self.mood,
            "Details": "; ".join(self.details),
            "Avoid": "; ".join(self.avoid),
            "Most important": "; ".join(self.emphasis),
        }
        rest = [f"{name}: {value.rstrip('.')}." for name, value in named.items() if value]
        return _joined(self.subject, rest)


class Change(BaseModel):
    """Details to add to, and to remove from, what an earlier job was asked."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: str = Field(alias="from")
    add: Texts = Field(default_factory=list)
    remove: Texts = Field(default_factory=list)

    def of(self, parts: Parts) -> Parts:
        """Return the parts with their details changed. Raises InvalidRequest."""
        removed = set(self.remove)
        if not removed.issubset(parts.details):
            raise InvalidRequest(
                "A detail to remove is not one of that prompt's 'details'; name it as it stands.",
                param="prompt",
            )
        kept = [detail for detail in parts.details if detail not in removed]
        return parts.model_copy(update={"details": kept + self.add})


class Prompt(BaseModel):
    """What goes upstream, and the parts it came from, for later changes."""

    model_config = ConfigDict(frozen=True)

    text: str
    parts: Parts | None = None

    @classmethod
    def read(cls, given: Any, earlier: Callable[[str], Prompt]) -> Self | None:
        """Return the prompt of a text, parts or a change; None where there is none.

        ``earlier`` finds a job's prompt by its id, or raises NotFound. Raises InvalidRequest.
        """
        if given is None or isinstance(given, str):
            return cls(text=given) if given and given.strip() else None
        if not isinstance(given, dict):
            raise InvalidRequest(
                "Invalid 'prompt': give a text, or an object with 'subject' or 'from'.",
                param="prompt",
            )
        if "from" in given:
            change = _validated(Change, given)
            before = earlier(change.job)
            parts = change.of(before.parts or Parts(subject=before.text))
        else:
            parts = _validated(Parts, given)
        return cls(text=parts.text(), parts=parts)

    def styled(self, style: str | None) -> Prompt:
        """Return the prompt with a retired model's ``style`` in words. Raises InvalidRequest."""
        if style is None:
            return self
        if style not in STYLES:
            raise InvalidRequest(
                f"Invalid 'style': {style[:80]!r}. Use 'vivid' or 'natural'.",
                param="style",
                quotes=repr(style[:80]),
            )
        return self.model_copy(update={"text": _joined(self.text, [STYLES[style]])})


def structured(given: object) -> bool:
    """Whether it is an object of parts that can be read, or a change of a job's."""
    if isinstance(given, dict) and str(given.get("from")).startswith("job_"):
        return True
    try:
        Parts.model_validate(given)
    except ValidationError:
        return False
    return True


def _joined(first: str, rest: list[str]) -> str:
    """Return one text of sentences; the first keeps the end it has."""
    if rest and first[-1] not in ".!?":
        first += "."
    return " ".join([first, *rest])


def _validated[Model: BaseModel](model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(one) for one in first["loc"])
        raise InvalidRequest(
            f"Invalid 'prompt.{where[:80]}': {first['msg']}.",
            param="prompt",
            quotes=where[:80] if first["type"] == "extra_forbidden" else None,
        ) from None
