"""Tenants and their keys, at rest."""

from __future__ import annotations

from typing import Any

import pytest

from easel.aws import clients
from easel.aws.keys import Keys
from easel.aws.tenants import Tenants
from easel.errors import Conflict, Forbidden, InvalidRequest, NotFound
from easel.keys import digest
from easel.tenants import Tenant
from tests.unit.examples import NOW


@pytest.fixture(scope="module")
def tenants(environ: dict[str, str]) -> Tenants:
    return Tenants(clients.dynamodb(), environ["TENANTS_TABLE"])


def whose(tenants: Tenants, key: str) -> dict[str, Any] | None:
    return Keys(tenants.client, tenants.table).tenant(key)


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
    assert whose(tenants, "ek-4") is None


FULL = Tenant(
    name="full",
    tenant_class="batch",
    suspended=True,
    month_budget=25_000_000,
    day_budget=1,
    requests_per_minute=60,
    images_per_minute=20,
    moderation="prompt+output",
    models=("gpt-image-2", "dall-e-3"),
    default_model="gpt-image-2",
    default_quality="low",
    cache_ttl=0,
    response_format="url",
)


def test_a_tenant_comes_back_as_it_was_written(tenants: Tenants) -> None:
    tenants.create(FULL, NOW)
    assert tenants.named("full") == FULL
    assert set(FULL.model_dump()) == FULL.model_fields_set


def test_an_item_of_its_name_alone_has_no_limit(tenants: Tenants) -> None:
    item = {"id": {"S": "tenant#bare"}, "name": {"S": "bare"}, "created_at": {"N": "1"}}
    tenants.client.put_item(TableName=tenants.table, Item=item)
    assert tenants.named("bare") == Tenant(name="bare")


def test_a_change_leaves_the_rest_as_it_is(tenants: Tenants) -> None:
    tenants.create(FULL.model_copy(update={"name": "changed"}), NOW)
    wanted = {"month_budget": None, "models": [], "default_quality": "high", "suspended": False}
    changed = tenants.change("changed", wanted)
    assert changed == tenants.named("changed")
    assert changed == FULL.model_copy(update={"name": "changed", **wanted, "models": ()})
    item = tenants.client.get_item(TableName=tenants.table, Key={"id": {"S": "tenant#changed"}})
    assert item["Item"]["created_at"] == {"N": str(NOW)}
    assert tenants.change("changed", {"response_format": None}).response_format is None


def test_nobody_is_changed_into_being(tenants: Tenants) -> None:
    with pytest.raises(NotFound):
        tenants.change("nobody", {"suspended": True})


def test_a_suspended_tenant_does_not_pay(tenants: Tenants) -> None:
    tenants.create(Tenant(name="payer"), NOW)
    assert tenants.payer("payer").name == "payer"
    tenants.change("payer", {"suspended": True})
    with pytest.raises(Forbidden) as refused:
        tenants.payer("payer")
    assert (refused.value.code, refused.value.param) == ("tenant_suspended", "tenant")
    with pytest.raises(NotFound) as unknown:
        tenants.payer("nobody")
    assert unknown.value.param == "tenant"


def test_all_are_listed_beyond_a_page(tenants: Tenants) -> None:
    names = [f"many-{number:03}" for number in range(30)]
    for name in reversed(names):
        wide = Tenant(name=name, default_model="m" * 50_000)  # a page of a scan has 1 MB
        tenants.create(wide, NOW)
        tenants.add_key(name, f"ek-{name}", NOW)
    pages = tenants.client.get_paginator("scan").paginate(TableName=tenants.table)
    assert len(list(pages)) > 1
    listed = [tenant.name for tenant in tenants.all()]
    assert [name for name in listed if name.startswith("many-")] == names
    assert listed == sorted(listed)
    assert all(len(tenants.keys(name)) == 1 for name in names[::10])


def test_a_tenants_keys_are_its_own_oldest_first(tenants: Tenants) -> None:
    tenants.create(Tenant(name="keyed"), NOW)
    tenants.create(Tenant(name="keyed-too"), NOW)
    assert tenants.keys("keyed") == []
    tenants.add_key("keyed", "ek-late", NOW + 5)
    tenants.add_key("keyed", "ek-early", NOW)
    tenants.add_key("keyed-too", "ek-other", NOW)
    keys = tenants.keys("keyed")
    assert [key.digest for key in keys] == [digest("ek-early"), digest("ek-late")]
    assert [key.id for key in keys] == [digest("ek-early")[:12], digest("ek-late")[:12]]
    assert [key.created_at for key in keys] == [NOW, NOW + 5]
    with pytest.raises(NotFound):
        tenants.keys("nobody")


@pytest.mark.parametrize("digits", [8, 12, 64])
def test_a_revoked_key_speaks_for_nobody_and_others_go_on(tenants: Tenants, digits: int) -> None:
    name = f"revoker-{digits}"
    gone, stays = f"ek-gone-{digits}", f"ek-stays-{digits}"
    tenants.create(Tenant(name=name), NOW)
    tenants.add_key(name, gone, NOW)
    tenants.add_key(name, stays, NOW)
    tenants.revoke(tenants.key(name, digest(gone)[:digits]))
    assert whose(tenants, gone) is None
    assert whose(tenants, stays)
    assert [key.digest for key in tenants.keys(name)] == [digest(stays)]


@pytest.mark.parametrize("key_id", ["", "1234567", "ek-secret", "0123456G", "0" * 65, "DEADBEEF"])
def test_what_is_no_keys_id_is_told_so(tenants: Tenants, key_id: str) -> None:
    with pytest.raises(InvalidRequest):
        tenants.key("nobody", key_id)


def test_a_key_of_another_tenant_is_not_found(tenants: Tenants) -> None:
    for name in ("mine", "yours"):
        tenants.create(Tenant(name=name), NOW)
        tenants.add_key(name, f"ek-of-{name}", NOW)
    with pytest.raises(NotFound):
        tenants.key("mine", digest("ek-of-yours")[:12])


def test_an_id_that_two_keys_share_is_not_guessed_at(tenants: Tenants) -> None:
    tenants.create(Tenant(name="twin"), NOW)
    for ending in "0", "1":
        alike = {"id": {"S": f"key#{'ab' * 31}0{ending}"}, "tenant": {"S": "twin"}}
        item = {**alike, "created_at": {"N": "1"}}
        tenants.client.put_item(TableName=tenants.table, Item=item)
    with pytest.raises(Conflict):
        tenants.key("twin", "abababab")
    assert tenants.key("twin", f"{'ab' * 31}01").digest.endswith("01")
