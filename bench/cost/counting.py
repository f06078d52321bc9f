"""What AWS would count, seen at botocore's hooks: calls, request units, bytes. For moto alone.

DynamoDB's units are reckoned by its rules for on-demand tables (docs.aws.amazon.com/amazondynamodb/
latest/developerguide/capacity-unit-calculations.html and …/CapacityUnitCalculations.html): a read
unit is 4 KB, half of that price if eventually consistent; a write unit is 1 KB of the larger of the
item before and after, twice that in a transaction; an index entry is written, or deleted, as 1 KB.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import thread_time
from typing import Any, Self

KEYS = ("tenant", "sk", "id")
_INDEX = ("open", "due_at")

Item = Mapping[str, Mapping[str, Any]]


@dataclass
class Counts:
    """What was counted of one who called."""

    calls: Counter[str] = field(default_factory=Counter)
    """By what they were: ``GetItem job``, ``PutObject images``."""
    read_units: float = 0
    write_units: int = 0
    index_units: int = 0
    """Write units of the index of open jobs, all in one partition."""
    ledger_units: int = 0
    """Those of ``write_units`` that are of the ledger, where a tenant is one partition."""
    puts: int = 0
    """S3's dearer calls: those that write or list."""
    gets: int = 0
    stored_bytes: int = 0
    messages: int = 0
    secrets: int = 0
    cpu_seconds: float = 0
    """Of the calling thread, without what stands for AWS."""

    def recorded(self) -> dict[str, Any]:
        """Return it as data, CPU to the millisecond."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        record["calls"] = dict(sorted(self.calls.items()))
        return {**record, "cpu_seconds": round(self.cpu_seconds, 3)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Return what was recorded."""
        return cls(**{**record, "calls": Counter(record["calls"])})


class Meter:
    """Counts what its session's clients call, by whoever is said to call in this thread."""

    def __init__(self, session: Any, shadow: Any, ledger: str) -> None:
        """``shadow`` is a DynamoDB client of another session, which is not counted."""
        self.counts: dict[str, Counts] = {}
        self._shadow, self._ledger = shadow, ledger
        self._thread = threading.local()
        emitter = session.get_component("event_emitter")
        emitter.register_first("before-send", self._sending)
        emitter.register("response-received", self._received)
        emitter.register("before-parameter-build", self._asked)
        emitter.register("after-call", self._answered)

    @contextmanager
    def who(self, name: str) -> Iterator[None]:
        """Count what this thread calls, and the CPU it takes, as so named."""
        before, self._thread.name = getattr(self._thread, "name", "others"), name
        excluded, began = self._excluded, thread_time()
        try:
            yield
        finally:
            spent = thread_time() - began - (self._excluded - excluded)
            self._mine.cpu_seconds += spent
            self._thread.name = before

    @property
    def _mine(self) -> Counts:
        return self.counts.setdefault(getattr(self._thread, "name", "others"), Counts())

    @property
    def _excluded(self) -> float:
        return getattr(self._thread, "excluded", 0.0)

    def _sending(self, **_: Any) -> None:
        self._thread.sent_at = thread_time()

    def _received(self, **_: Any) -> None:
        self._thread.excluded = self._excluded + thread_time() - self._thread.sent_at

    def _asked(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        began = thread_time()
        context["asked"] = params
        if model.service_model.service_name == "dynamodb":
            context["before"] = [self._read(*key) for key in _written(model.name, params)]
        self._thread.excluded = self._excluded + thread_time() - began

    def _answered(
        self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        began = thread_time()
        params, mine = context["asked"], self._mine
        service = model.service_model.service_name
        mine.calls[f"{model.name} {_what(params)}".strip()] += 1
        if service == "dynamodb":
            mine.read_units += read_units(model.name, params, parsed)
            written = _written(model.name, params)
            after = [self._read(*key) for key in written]
            factor = 2 if model.name.startswith("Transact") else 1
            for at, old, new in zip(written, context["before"], after, strict=True):
                units = factor * write_units(old, new)
                mine.write_units += units
                mine.ledger_units += units if at[0] == self._ledger else 0
                mine.index_units += index_units(old, new)
        elif service == "s3":
            puts = not model.name.startswith(("Get", "Head", "Delete"))
            mine.puts += puts
            mine.gets += model.name.startswith(("Get", "Head"))
            mine.stored_bytes += _bytes(params.get("Body"))
        elif service == "sqs":
            mine.messages += 1
        elif service == "secretsmanager":
            mine.secrets += 1
        self._thread.excluded = self._excluded + thread_time() - began

    def _read(self, table: str, key: Item) -> Item | None:
        got: Item | None = self._shadow.get_item(TableName=table, Key=key, ConsistentRead=True).get(
            "Item"
        )
        return got


def item_bytes(item: Item | None) -> int:
    """Return an item's size by DynamoDB's rules: names and values, without its overhead."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in (item or {}).items())


def read_units(operation: str, params: Mapping[str, Any], parsed: Mapping[str, Any]) -> float:
    """Return the read request units of a GetItem or a Query; 0 for what does not read."""
    if operation == "GetItem":
        size = item_bytes(parsed.get("Item"))
    elif operation == "Query":
        size = sum(map(item_bytes, parsed.get("Items", [])))
    else:
        return 0
    units = max(1, math.ceil(size / 4096))
    return units if params.get("ConsistentRead") else units / 2


def write_units(before: Item | None, after: Item | None) -> int:
    """Return the write request units of one item, outside of a transaction."""
    return max(1, math.ceil(max(item_bytes(before), item_bytes(after)) / 1024))


def index_units(before: Item | None, after: Item | None) -> int:
    """Return what the change costs the index of open jobs, of which only keys are entries."""
    old, new = (
        [item[name] for name in _INDEX] if item and all(name in item for name in _INDEX) else None
        for item in (before, after)
    )
    return 0 if old == new else (old is not None) + (new is not None)


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "N":
        return math.ceil(len(content.lstrip("-")) / 2) + 1
    if kind == "S":
        return len(content.encode())
    return 1  # a boolean; items have nothing else (``aws.jobs``)


def _written(operation: str, params: Mapping[str, Any]) -> list[tuple[str, Item]]:
    """Return the table and the key of every item that the call writes."""
    if operation in ("PutItem", "UpdateItem", "DeleteItem"):
        return [(params["TableName"], _key(params))]
    writes = [next(iter(one.values())) for one in params.get("TransactItems", [])]
    return [(one["TableName"], _key(one)) for one in writes]


def _key(write: Mapping[str, Any]) -> Item:
    key: Item = write.get("Key") or {k: v for k, v in write["Item"].items() if k in KEYS}
    return key


def _what(params: Mapping[str, Any]) -> str:
    """Return what sort of thing a call is about: of an item or an object its first word."""
    if "TransactItems" in params:
        kinds = (_kind(key) for _, key in _written("", params))
        return " + ".join(kinds)
    if "Key" in params and isinstance(params["Key"], str):
        return params["Key"].partition("/")[0]
    if "Key" in params or "Item" in params:
        return _kind(_key(params))
    return str(params.get("IndexName", ""))


def _kind(key: Item) -> str:
    return str(key["sk"]["S"] if "sk" in key else key["id"]["S"]).partition("#")[0]


def _bytes(body: Any) -> int:
    if body is None or isinstance(body, bytes):
        return len(body or b"")
    at = body.tell()
    size = body.seek(0, 2)
    body.seek(at)
    return int(size)
