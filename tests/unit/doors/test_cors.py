"""Which origins' pages may call, and what they may read."""

from __future__ import annotations

from datetime import date

import pytest

from easel import openapi
from easel.catalogue import Catalogue
from easel.doors import cors
from easel.errors import NotFound
from easel.settings import Settings

APP, SHOP = "https://app.example.com", "https://shop.example.com"


@pytest.mark.parametrize("origin", ["", "null", APP])
def test_nobody_is_told_anything_where_no_origin_is_listed(origin: str) -> None:
    assert cors.readable(origin, ()) == {}
    with pytest.raises(NotFound):
        cors.preflight(origin, "authorization", ())


@pytest.mark.parametrize("origin", [APP, SHOP])
def test_a_listed_page_may_read_and_others_know_that_it_depends(origin: str) -> None:
    headers = cors.readable(origin, (APP, SHOP))
    assert headers["access-control-allow-origin"] == origin
    assert {"x-request-id", "location", "retry-after", "x-should-retry"} <= set(
        headers["access-control-expose-headers"].split(", ")
    )
    assert headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in headers


def test_a_listed_page_may_read_every_header_that_is_documented() -> None:
    document = openapi.document(Catalogue.load(), Settings(), date(2026, 11, 22), "/v1")
    shown_anyway = {"cache-control"}
    assert set(cors.EXPOSED) == document["components"]["headers"].keys() - shown_anyway


@pytest.mark.parametrize(
    "origin", ["", "null", "*", f"{APP}/", APP.upper(), "https://evil.example"]
)
def test_no_other_page_may_read_or_call(origin: str) -> None:
    assert cors.readable(origin, (APP, SHOP)) == {"vary": "origin"}
    with pytest.raises(NotFound):
        cors.preflight(origin, "", (APP, SHOP))


@pytest.mark.parametrize("asked", ["x\r\nset-cookie: a=b", "x\0", "x\n", "é", "a:b", "<a>"])
def test_what_are_no_names_of_headers_is_not_repeated(asked: str) -> None:
    assert "access-control-allow-headers" not in cors.preflight(APP, asked, (APP,))


def test_a_listed_page_may_send_the_headers_it_asks_for() -> None:
    asked = "authorization,content-type,idempotency-key,prefer,x-stainless-lang,openai-project"
    headers = cors.preflight(APP, asked, (APP,))
    assert headers["access-control-allow-headers"] == asked
    assert set(headers["access-control-allow-methods"].split(", ")) == set(cors.METHODS)
    assert int(headers["access-control-max-age"]) > 0
    assert "access-control-allow-headers" not in cors.preflight(APP, "", (APP,))
