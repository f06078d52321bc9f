"""OpenAI's parameters as data: their types, ranges, choices and combinations. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from easel.errors import InvalidRequest

type Operation = Literal["generate", "edit", "variation"]

_TYPES: Mapping[str, tuple[type, str]] = {
    "integer": (int, "an integer"),
    "boolean": (bool, "true or false"),
    "text": (str, "a string"),
    "choice": (str, "a string"),
    "size": (str, "a string"),
    "object": (dict, "an object"),
    "image": (object, "an image"),
}
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, as one model takes it."""

    name: str
    type: str
    operations: tuple[Operation, ...] = ("generate", "edit", "variation")
    minimum: int | None = None
    maximum: int | None = None
    default: Any = None
    legacy: Mapping[str, str] = field(default_factory=dict)
    unpriced: bool = False
    """What it does to the price is unpublished."""
    choices: tuple[str, ...] = ()
    taken_by: tuple[str, ...] = ()
    """Ids of the models that take it."""

    def check(self, value: Any, model: str, operation: Operation) -> Any:
        """Return the value, a legacy one translated. Raises InvalidRequest naming the parameter."""
        if model not in self.taken_by:
            raise self._unsupported(f"with {model}; {', '.join(self.taken_by)} would take it")
        if operation not in self.operations:
            raise self._unsupported(f"for {operation}, only for {', '.join(self.operations)}")
        self._check_type(value)
        if self.choices:
            return self._check_choice(value, model)
        self._check_range(value)
        return value

    def priced(self, operation: Operation) -> bool:
        """Tell whether what it does to the price of this operation is known."""
        return operation in self.operations and not self.unpriced

    def parse(self, text: str) -> Any:
        """Convert a form's text by the declared type; what does not convert stays text."""
        if self.type == "integer" and _INTEGER.fullmatch(text):
            return int(text)
        if self.type == "boolean":
            return _BOOLEANS.get(text, text)
        return text

    def _unsupported(self, where: str) -> InvalidRequest:
        return InvalidRequest(
            f"Parameter '{self.name}' is not supported {where}. Omit it.",
            code="unknown_parameter",
            param=self.name,
        )

    def _check_type(self, value: Any) -> None:
        kind, described = _TYPES[self.type]
        if not isinstance(value, kind) or (isinstance(value, bool) and self.type == "integer"):
            raise self._invalid(value, described)

    def _check_choice(self, value: str, model: str) -> str:
        value = self.legacy.get(value, value)
        if value not in self.choices:
            raise self._invalid(value, f"one of {', '.join(self.choices)} with {model}")
        return value

    def _check_range(self, value: Any) -> None:
        if self.minimum is not None and value < self.minimum:
            raise self._invalid(value, f"at least {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise self._invalid(value, f"at most {self.maximum}")

    def _invalid(self, value: Any, expected: str) -> InvalidRequest:
        given = repr(str(value)[:80])
        return InvalidRequest(
            f"Invalid value for '{self.name}': {given}. Expected {expected}.",
            param=self.name,
            quotes=given,
        )


@dataclass(frozen=True, slots=True)
class Combination:
    """What giving a parameter (or one value of it) needs of others, or excludes."""

    parameter: str
    value: Any = None
    needs: Mapping[str, list[Any]] = field(default_factory=dict)
    excludes: tuple[str, ...] = ()

    def check(self, given: Mapping[str, Any], known: Mapping[str, Parameter]) -> None:
        """Raise InvalidRequest naming the parameter where the given ones contradict each other."""
        if not self._applies(given, known[self.parameter].default):
            return
        for name, allowed in self.needs.items():
            if given.get(name, known[name].default) not in allowed:
                raise self._contradiction(f"needs '{name}' to be {' or '.join(allowed)}")
        for name in self.excludes:
            if name in given:
                raise self._contradiction(f"excludes '{name}': send one of them")

    def _applies(self, given: Mapping[str, Any], default: Any) -> bool:
        value = given.get(self.parameter, default)
        return bool(value == self.value) if self.value is not None else bool(value != default)

    def _contradiction(self, rule: str) -> InvalidRequest:
        value = "" if self.value is None else f" {self.value}"
        return InvalidRequest(f"'{self.parameter}'{value} {rule}.", param=self.parameter)
