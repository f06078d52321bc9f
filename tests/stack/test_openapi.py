"""The document as it is served, and its examples sent as they are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.stack.running import Running

MAKING = "/images/generations"


@pytest.fixture(scope="module")
def document(running: Running) -> dict[str, Any]:
    """The document, asked for without a key."""
    with running.http(key=None) as http:
        said: dict[str, Any] = http.get("/openapi.json").raise_for_status().json()
    return said


def test_the_document_needs_no_key_and_says_where_it_is(running, document):
    OpenAPIV31SpecValidator(document).validate()
    [server] = document["servers"]
    assert running.base_url.endswith(server["url"])


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [("text", {}, 200), ("quote", {}, 200), ("text", {"Prefer": "respond-async"}, 202)],
)
def test_an_example_is_answered_as_it_is_described(running, document, name, headers, status):
    operation = document["paths"][MAKING]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"][name]["value"]
    with running.http(headers=headers | {"Authorization": f"Bearer {running.key}"}) as http:
        answer = http.post(MAKING, json=example)
    assert answer.status_code == status, answer.text
    described = operation["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())
    # Of a model that ends, of the cache, and of a tenant that has rates.
    sometimes = re.compile("deprecation|sunset|age|x-ratelimit-.*")
    expected = {name for name in described["headers"] if not sometimes.fullmatch(name)}
    assert expected - answer.headers.keys() == set()


def test_an_error_is_answered_as_it_is_described(running, document):
    with running.http() as http:
        answer = http.post(MAKING, json={"prompt": "a fox", "n": 11})
    described = document["components"]["responses"][f"Error{answer.status_code}"]
    schema = described["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())
    assert answer.json()["error"]["code"] in described["description"]
