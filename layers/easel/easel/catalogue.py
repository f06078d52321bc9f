"""OpenAI's image models as data, and the names they go by. Pure.

Everything is read from ``catalogue.toml``: a new model or another price is an edit of that file.
What the data cannot say is in ``models``, and beneath it in ``parameters`` (checks), ``sizes``
(adaptation) and ``prices`` (token arithmetic).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from easel.errors import NotFound
from easel.models import Model
from easel.parameters import Combination, Operation, Parameter
from easel.prices import Authoring, OutputTokens, Prices
from easel.sizes import Sizes

__all__ = ["Catalogue", "Listing", "Model", "Operation"]

WARNING = timedelta(days=30)
"""How long before a model's end its callers are told."""

_NESTED = re.compile(r"(\w+)\[(\w+)\](?:\[(\w+)\])?")


@dataclass(frozen=True, slots=True)
class Listing:
    """A name of the catalogue, as ``GET /models`` shows it."""

    id: str
    created: int
    """Unix seconds."""
    shutdown_date: date | None
    resolves_to: str | None
    """Another model's id, where the name stands for it today."""
    prices: Mapping[str, str]
    """USD per million tokens, as decimal strings, of the model the name resolves to."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name of the data: a model, or what is left of one."""

    created: date
    shutdown_date: date | None
    successor: str | None
    model: Model | None
    prices: Mapping[str, str]
    takes: frozenset[str]
    default_size: str
    """The size of a call by this name that names none."""
    alpha_is_mask: bool
    """Whether an edit without a mask may change what is transparent in its first image."""

    def gone(self, today: date) -> bool:
        ended = self.shutdown_date is not None and self.shutdown_date <= today
        return self.successor is not None and (self.model is None or ended)


class Catalogue:
    """Names and the models they stand for, which depends on the date."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        """Build the models from the parsed TOML."""
        specs = {
            name: _merge(_inherited(data["families"], spec), spec)
            for name, spec in data["models"].items()
        }
        self._parameters = _parameters(data["parameters"], specs)
        combinations = [Combination(**_tuples(fields)) for fields in data["combinations"]]
        self._aliases: Mapping[str, str] = data.get("aliases", {})
        self._entries = {
            name: _entry(name, spec, self._parameters, combinations) for name, spec in specs.items()
        }

    @classmethod
    def load(cls, source: Path | None = None) -> Catalogue:
        """Return the catalogue of a TOML file, by default the one beside this module.

        A file is parsed once in a process.
        """
        return _load(source or Path(__file__).with_name("catalogue.toml"))

    def resolve(self, name: str, today: date) -> Model:
        """Return the model a name stands for on a day (UTC).

        Raises NotFound(code="model_not_found", param="model").
        """
        known = self._aliases.get(name, name)
        resolved = self._resolved(known, today)
        entry = self._entries.get(resolved)
        if entry is None or entry.model is None:
            live = ", ".join(each for each in self._entries if self._resolved(each, today) == each)
            raise NotFound(
                f"The model {name[:80]!r} does not exist. Available: {live}.",
                code="model_not_found",
                param="model",
                quotes=repr(name[:80]),
            )
        if known == resolved:
            return entry.model
        named = self._entries[known]
        return replace(
            entry.model, dropped=named.takes - entry.takes, default_size=named.default_size
        )

    def ids(self, names: Iterable[str], today: date) -> set[str]:
        """Return the ids of the models that the names stand for on a day, those it knows."""
        return {self._resolved(name, today) for name in names} & self._entries.keys()

    def end(self, name: str, today: date) -> date | None:
        """Return when the model of this name ends, or ended, if that is near or past."""
        entry = self._entries.get(self._aliases.get(name, name))
        if entry is None or entry.shutdown_date is None or today < entry.shutdown_date - WARNING:
            return None
        return entry.shutdown_date

    def alpha_is_mask(self, name: str) -> bool:
        """Tell whether an edit by this name, without a mask, takes the first image's alpha."""
        entry = self._entries.get(self._aliases.get(name, name))
        return entry is not None and entry.alpha_is_mask

    def model(self, model_id: str) -> Model:
        """Return the model of an id that was resolved before. Raises KeyError."""
        model = self._entries[model_id].model
        if model is None:
            raise KeyError(model_id)
        return model

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """All parameters that are known of any model."""
        return self._parameters

    def listed(self, today: date) -> list[Listing]:
        """Return every name the catalogue knows, aliases last."""
        return [self._listing(name, today) for name in (*self._entries, *self._aliases)]

    def from_text(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Convert a form's texts by the declared types; ``svg[model]`` nests as in JSON.

        What does not convert is left as it is, so that ``Model.check`` refuses it by name.
        """
        given: dict[str, Any] = {}
        for name, text in parameters.items():
            path = self._path(name)
            inner = given
            for key in path[:-1]:
                if not isinstance(inner.get(key), dict):
                    inner[key] = {}
                inner = inner[key]
            known = self._parameters.get(name)
            inner[path[-1]] = known.parse(text) if known else text
        return given

    def texts(self, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Yield the texts in a request's parameters that are nothing the catalogue lists."""
        for name, value in parameters.items():
            known = self._parameters.get(name)
            if known is None or known.type in ("text", "object"):
                yield from _texts(value)

    def _path(self, name: str) -> list[str]:
        match = _NESTED.fullmatch(name)
        outer = self._parameters.get(match[1]) if match else None
        if match is None or outer is None or outer.type != "object":
            return [name]
        return [key for key in match.groups() if key]

    def _resolved(self, name: str, today: date) -> str:
        name = self._aliases.get(name, name)
        while (entry := self._entries.get(name)) and entry.gone(today):
            name = str(entry.successor)
        return name

    def _listing(self, name: str, today: date) -> Listing:
        resolved = self._resolved(name, today)
        entry = self._entries[self._aliases.get(name, name)]
        midnight = datetime.combine(entry.created, time(), UTC)
        return Listing(
            id=name,
            created=int(midnight.timestamp()),
            shutdown_date=entry.shutdown_date,
            resolves_to=resolved if resolved != name else None,
            prices=self._entries[resolved].prices,
        )


@cache
def _load(source: Path) -> Catalogue:
    return Catalogue(tomllib.loads(source.read_text("utf-8")))


def _inherited(families: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    if "like" not in spec:
        return {}
    family = families[spec["like"]]
    return _merge(_inherited(families, family), family)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key in base.keys() & over.keys():
        if isinstance(base[key], dict) and isinstance(over[key], dict):
            merged[key] = _merge(base[key], over[key])
    return merged


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }


def _parameters(
    data: Mapping[str, Mapping[str, Any]], specs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Parameter]:
    live = {model: set(_taken(spec)) for model, spec in specs.items() if "prices" in spec}
    return {
        name: Parameter(
            name, taken_by=tuple(each for each in live if name in live[each]), **_tuples(fields)
        )
        for name, fields in data.items()
    }


def _taken(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from spec.get("takes", ())
    yield from spec.get("choices", ())


def _entry(
    name: str,
    spec: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    combinations: Sequence[Combination],
) -> _Entry:
    return _Entry(
        created=spec["created"],
        shutdown_date=spec.get("shutdown_date"),
        successor=spec.get("successor"),
        model=_model(name, spec, parameters, combinations) if "prices" in spec else None,
        prices=spec.get("prices", {}),
        takes=frozenset(_taken(spec)),
        default_size=spec.get("default_size", "auto"),
        alpha_is_mask=spec.get("alpha_is_mask", False),
    )


def _model(
    name: str,
    spec: Mapping[str, Any],
    parameters: Mapping[str, Parameter],
    combinations: Sequence[Combination],
) -> Model:
    limits = Sizes.from_data(spec["sizes"])
    chosen = {
        each: replace(parameter, choices=tuple(spec["choices"].get(each, ())))
        for each, parameter in parameters.items()
    }
    return Model(
        id=name,
        parameters=chosen,
        combinations=combinations,
        sizes=limits,
        tokens=OutputTokens(spec["tokens"], limits),
        prices=Prices.from_data(spec["prices"]),
        authoring=Authoring.from_data(spec["authoring"]) if "authoring" in spec else None,
        input_image_tokens=spec["input_image_tokens"],
        output_text_tokens=spec.get("output_text_tokens", 0),
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a value of JSON, names included."""
    pending = [value]
    while pending:
        match pending.pop():
            case str() as text:
                yield text
            case dict() as fields:
                pending += [*fields, *fields.values()]
            case list() as listed:
                pending += listed
