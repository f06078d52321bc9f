"""Tenants and their keys, at rest."""

from __future__ import annotations

import pytest

from easel.aws import clients
from easel.aws.tenants import Tenants
from easel.errors import Conflict, NotFound
from easel.tenants import Tenant, digest
from tests.unit.examples import NOW


@pytest.fixture(scope="module")
def tenants(environ: dict[str, str]) -> Tenants:
    return Tenants(clients.dynamodb(), environ["TENANTS_TABLE"])


def test_a_key_speaks_for_its_tenant(tenants: Tenants) -> None:
    tenants.create(Tenant(name="acme"), NOW)
    tenants.add_key("acme", "ek-1", NOW)
    tenants.add_key("acme", "ek-2", NOW)
    found = tenants.of_key("ek-1")
    assert found
    assert found.name == "acme"
    assert tenants.of_key("ek-2") == tenants.named("acme") == found


def test_an_unknown_key_speaks_for_nobody(tenants: Tenants) -> None:
    assert tenants.of_key("ek-0") is None
    assert tenants.of_key("") is None
    assert tenants.named("nobody") is None


def test_a_digest_is_not_a_key(tenants: Tenants) -> None:
    tenants.create(Tenant(name="digested"), NOW)
    tenants.add_key("digested", "ek-3", NOW)
    assert tenants.of_key(digest("ek-3")) is None


def test_a_key_is_not_kept_itself(tenants: Tenants) -> None:
    tenants.create(Tenant(name="careful"), NOW)
    tenants.add_key("careful", "ek-secret", NOW)
    assert "ek-secret" not in str(tenants.client.scan(TableName=tenants.table)["Items"])


def test_a_name_is_taken_once(tenants: Tenants) -> None:
    tenants.create(Tenant(name="twice"), NOW)
    with pytest.raises(Conflict):
        tenants.create(Tenant(name="twice"), NOW + 1)
    item = tenants.client.get_item(TableName=tenants.table, Key={"id": {"S": "tenant#twice"}})
    assert item["Item"]["created_at"] == {"N": str(NOW)}


def test_a_key_needs_its_tenant(tenants: Tenants) -> None:
    with pytest.raises(NotFound):
        tenants.add_key("nobody", "ek-4", NOW)
    assert tenants.of_key("ek-4") is None
