"""Tenants: who pays, and what they may; and the keys that speak for them."""

from __future__ import annotations

import json as json_format
import sys
import time
from datetime import UTC, datetime
from typing import Any

from cyclopts import App

from cli.options import Find, Json, Yes, agreed
from cli.stack import Failure, Stack
from cli.wanted import Wanted, sound
from easel.aws import clients
from easel.aws.tenants import Tenants
from easel.keys import Key, new_key
from easel.responses import cost_usd
from easel.tenants import Tenant, usd, valid_name

app = App(name="tenants", help="Who pays, and what they may.")
keys = App(name="keys", help="What speaks for a tenant.")

_NEW_MONTH_BUDGET = 25_000_000
"""Micro-dollars: a mistake of a new tenant costs so much at most."""


@app.command
def create(name: str, /, *, wanted: Wanted | None = None, find: Find) -> None:
    """Make a tenant and print its first key, this once; `easel keys issue` prints others.

    Parameters
    ----------
    name
        1 to 63 lower-case letters, digits and hyphens.
    """
    given = {"month_budget": _NEW_MONTH_BUDGET, **(wanted or Wanted()).changes()}
    tenant = sound(Tenant(name=valid_name(name), **given))
    stack = find()
    _of(stack).create(tenant, time.time())
    _issue(stack, name)


@app.command(name="set")
def change(name: str, /, *, wanted: Wanted | None = None, find: Find) -> None:
    """Change what a tenant may; what is not named stays as it is.

    Parameters
    ----------
    name
        The tenant's.
    """
    changes = (wanted or Wanted()).changes()
    if not changes:
        raise Failure("Say what to change; `easel tenants set --help` lists it.")
    stack = find()
    tenants = _of(stack)
    sound(Tenant.model_validate({**tenants.existing(name).model_dump(), **changes}))
    print(_lines(tenants.change(name, changes)))
    print(f"Its keys know within {stack.key_ttl_seconds} s.", file=sys.stderr)


@app.command
def show(name: str, /, *, json: Json = False, find: Find) -> None:
    """Show what a tenant may.

    Parameters
    ----------
    name
        The tenant's.
    json
        Print one JSON object instead.
    """
    tenant = _of(find()).existing(name)
    print(json_format.dumps(_record(tenant), indent=2) if json else _lines(tenant))


@app.command(name="list")
def all_(*, json: Json = False, find: Find) -> None:
    """List the tenants, each with its budgets.

    Parameters
    ----------
    json
        Print one JSON object instead: tenants, each as `easel tenants show --json`.
    """
    found = list(_of(find()).all())
    if json:
        print(json_format.dumps({"tenants": [_record(one) for one in found]}, indent=2))
        return
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        month, day = _budget(one.month_budget), _budget(one.day_budget)
        suspended = ", suspended" if one.suspended else ""
        print(f"{one.name:<{width}}  a month: {month}, a day: {day}{suspended}")
    if not found:
        print("There is no tenant; `easel tenants create` makes one.")


@app.command
def suspend(name: str, /, *, yes: Yes = False, find: Find) -> None:
    """Refuse a tenant's keys, its inbox, and direct invocations in its name. Open jobs go on.

    Parameters
    ----------
    name
        The tenant's.
    yes
        Do not ask first.
    """
    stack = find()
    tenants = _of(stack)
    found, within = len(tenants.keys(name)), f"within {stack.key_ttl_seconds} s"
    print(f"The keys of {name} ({found}) will be refused {within}, its inbox at once.", flush=True)
    if yes or agreed():
        tenants.change(name, {"suspended": True})
        print(f"{name} is suspended; `easel tenants resume {name}` lets it go on.")


@app.command
def resume(name: str, /, *, find: Find) -> None:
    """Let a tenant go on that was suspended, with the keys it had.

    Parameters
    ----------
    name
        The tenant's.
    """
    stack = find()
    _of(stack).change(name, {"suspended": False})
    print(f"{name} is not suspended; its keys work within {stack.key_ttl_seconds} s.")


@keys.command
def issue(name: str, /, *, find: Find) -> None:
    """Print another key of a tenant, this once; those it has stay valid.

    Parameters
    ----------
    name
        The tenant's.
    """
    _issue(find(), name)


@keys.command(name="list")
def issued(name: str, /, *, json: Json = False, find: Find) -> None:
    """List a tenant's keys, oldest first: the id of each, and when it was issued.

    Parameters
    ----------
    name
        The tenant's.
    json
        Print one JSON object instead: keys, each with id and created_at.
    """
    found = _of(find()).keys(name)
    if json:
        listed = [{"id": key.id, "created_at": key.created_at} for key in found]
        print(json_format.dumps({"keys": listed}, indent=2))
        return
    for key in found:
        print(_line(key))
    if not found:
        print(f"{name} has no key; `easel keys issue {name}` prints one.")


@keys.command
def revoke(name: str, key_id: str, /, *, yes: Yes = False, find: Find) -> None:
    """Take a key back, for good; the tenant's others stay valid.

    Parameters
    ----------
    name
        The tenant's.
    key_id
        As `easel keys list` shows it; its first 8 digits do.
    yes
        Do not ask first.
    """
    stack = find()
    tenants = _of(stack)
    key = tenants.key(name, key_id)
    print(f"{name}: {_line(key)}", flush=True)
    if yes or agreed():
        tenants.revoke(key)
        print(f"It is revoked, and stops within {stack.key_ttl_seconds} s.")


def _of(stack: Stack) -> Tenants:
    return Tenants(clients.dynamodb(), stack.tenants_table_name)


def _issue(stack: Stack, name: str) -> None:
    """Print a new key alone on stdout, where a pipe can take it, and what to know on stderr."""
    key = new_key()
    _of(stack).add_key(name, key, time.time())
    print(f"A key of the tenant {name}, shown only now:", file=sys.stderr)
    print(key, flush=True)
    print(f"export OPENAI_BASE_URL={stack.base_url} OPENAI_API_KEY=the-key", file=sys.stderr)


def _budget(amount: int | None) -> str:
    return "no limit" if amount is None else f"{usd(amount)} USD"


def _rate(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _lines(tenant: Tenant) -> str:
    said = {
        "tenant": tenant.name,
        "class": tenant.tenant_class,
        "suspended": "yes" if tenant.suspended else "no",
        "month budget": _budget(tenant.month_budget),
        "day budget": _budget(tenant.day_budget),
        "requests/min": _rate(tenant.requests_per_minute),
        "images/min": _rate(tenant.images_per_minute),
        "models": ", ".join(tenant.models) or "all",
        "default model": tenant.default_model or "the deployment's",
        "default quality": tenant.default_quality or "the deployment's",
        "moderation": tenant.moderation or "the deployment's",
        "cache ttl": "the deployment's" if tenant.cache_ttl is None else f"{tenant.cache_ttl} s",
        "response format": tenant.response_format or "both",
    }
    return "\n".join(f"{name:<15}  {value}" for name, value in said.items())


def _record(tenant: Tenant) -> dict[str, Any]:
    fields = tenant.model_dump(mode="json")
    amounts = {name: fields.pop(name) for name in ("month_budget", "day_budget")}
    in_usd = {
        f"{name}_usd": None if amount is None else cost_usd(amount)
        for name, amount in amounts.items()
    }
    return fields | in_usd


def _line(key: Key) -> str:
    return f"{key.id}  issued {datetime.fromtimestamp(key.created_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
