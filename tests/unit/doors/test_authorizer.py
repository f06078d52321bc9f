"""A bearer key, and the policy it gets."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from easel.aws.keys import Keys
from easel.doors.authorizer import authorize
from tests.unit.doors.events import event

ALL_ROUTES = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/v1/*"


class Known:
    """One tenant with one key, and one that is suspended."""

    def tenant(self, key: str) -> dict[str, Any] | None:
        suspended = {"name": "late", "suspended": True}
        return {"easel-local": {"name": "demo"}, "ek-late": suspended}.get(key)


def policy(authorization: str) -> dict[str, Any]:
    made = event("authorizer", authorizationToken=authorization)
    return authorize(made, cast(Keys, Known()))


def test_a_key_may_call_every_route() -> None:
    allowed = policy("Bearer easel-local")
    assert allowed["principalId"] == "demo"
    assert allowed["policyDocument"]["Statement"] == [
        {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ALL_ROUTES}
    ]
    assert json.loads(allowed["context"]["tenant"])["name"] == "demo"


@pytest.mark.parametrize("authorization", ["bearer easel-local", "BEARER  easel-local "])
def test_the_scheme_is_read_as_http_reads_it(authorization: str) -> None:
    assert policy(authorization)["principalId"] == "demo"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer other",
        "easel-local",
        "Basic easel-local",
        "Bearer easel",
        "Bearer ek-late",
    ],
)
def test_anything_else_may_call_none(authorization: str) -> None:
    denied = policy(authorization)
    assert denied["policyDocument"]["Statement"][0]["Effect"] == "Deny"
    assert denied["policyDocument"]["Statement"][0]["Resource"] == ALL_ROUTES
    assert denied["context"] == {}
    assert denied["principalId"] != "demo"
