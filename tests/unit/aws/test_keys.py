"""Whose key it is, read as it lies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from easel.aws import clients
from easel.aws.keys import Keys
from easel.aws.tenants import Tenants
from easel.keys import digest
from easel.tenants import Tenant
from tests.unit.examples import NOW

ALL: dict[str, Any] = {
    # every field of a tenant, none as it is by default
    "name": "full",
    "tenant_class": "gold",
    "suspended": True,
    "month_budget": 10**15,
    "day_budget": 0,
    "requests_per_minute": 60,
    "images_per_minute": 20,
    "models": ("gpt-image-2", "gpt-image-2.5-flare"),
    "default_model": "gpt-image-2",
    "default_quality": "low",
    "moderation": "prompt+output",
    "cache_ttl": 0,
    "response_format": "url",
}


@pytest.fixture(scope="module")
def tenants(environ: dict[str, str]) -> Tenants:
    return Tenants(clients.dynamodb(), environ["TENANTS_TABLE"])


@pytest.fixture(scope="module")
def keys(tenants: Tenants) -> Keys:
    return Keys(tenants.client, tenants.table)


def test_a_key_speaks_for_its_tenant(tenants: Tenants, keys: Keys) -> None:
    tenants.create(Tenant(name="acme"), NOW)
    tenants.add_key("acme", "ek-1", NOW)
    tenants.add_key("acme", "ek-2", NOW)
    found = keys.tenant("ek-1")
    assert found
    assert found["name"] == "acme"
    assert keys.tenant("ek-2") == found


def test_an_unknown_key_speaks_for_nobody(keys: Keys) -> None:
    assert keys.tenant("ek-0") is None
    assert keys.tenant("") is None


def test_a_digest_is_not_a_key(tenants: Tenants, keys: Keys) -> None:
    tenants.create(Tenant(name="digested"), NOW)
    tenants.add_key("digested", "ek-3", NOW)
    assert keys.tenant(digest("ek-3")) is None


@pytest.mark.parametrize("fields", [ALL, {"name": "plain"}], ids=["all fields", "a name alone"])
def test_what_is_read_is_the_tenant_to_the_door_that_gets_it(
    tenants: Tenants, keys: Keys, fields: dict[str, Any]
) -> None:
    assert ALL.keys() == Tenant.model_fields.keys()
    tenant = Tenant(**fields)
    tenants.create(tenant, NOW)
    tenants.add_key(tenant.name, f"ek-{tenant.name}", NOW)
    passed_on = json.dumps(keys.tenant(f"ek-{tenant.name}"))
    assert Tenant.model_validate_json(passed_on) == tenants.named(tenant.name) == tenant
