"""What a tenant may: its keys, its models, and what its requests get unasked."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from easel.aws import clients
from easel.aws.tenants import Tenants
from easel.keys import digest
from tests.functions.conftest import Context, Deployed
from tests.functions.test_edit import drop, picture

FLARE, TWO = "gpt-image-2.5-flare", "gpt-image-2"


class Door:
    """A deployment that runs its jobs itself, whose tenant demo is known by its key alone."""

    def __init__(self, deployed: Deployed) -> None:
        deployed.tenant()
        deployed.set(WORK_QUEUE_URL="")
        self.deployed = deployed
        self.tenants = Tenants(clients.dynamodb(), deployed.environ["TENANTS_TABLE"])

    def change(self, **changes: Any) -> None:
        self.tenants.change("demo", changes)

    def policy(self, key: str = "easel-local") -> dict[str, Any]:
        """Return what the authorizer says of the key."""
        event = self.deployed.event("authorizer", "https", authorizationToken=f"Bearer {key}")
        answer: dict[str, Any] = self.deployed.handler("authorizer")(event, Context())
        return answer

    def effect(self, key: str = "easel-local") -> str:
        [statement] = self.policy(key)["policyDocument"]["Statement"]
        return str(statement["Effect"])

    def call(self, function: str = "generate", **body: Any) -> tuple[int, dict[str, Any]]:
        """Call as the key's tenant, as the authorizer has just found it."""
        asked = {"prompt": "a cat", "response_format": "url", **body}
        event = self.deployed.event(function, "https", body=json.dumps(asked))
        event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
        event["requestContext"]["authorizer"] = self.policy()["context"]
        answer = self.deployed.handler(function)(event, Context())
        return answer["statusCode"], json.loads(answer["body"])

    def invoke(self, **event: Any) -> dict[str, Any]:
        asked = self.deployed.event("generate", "direct", **event)
        answer: dict[str, Any] = self.deployed.handler("generate")(asked, Context())
        return answer

    def put(self) -> dict[str, Any]:
        """Put a picture into the inbox; return the document that answers it."""
        event = drop(self.deployed, "inbox/demo/a cat.png", picture(), prompt="in red")
        assert self.deployed.handler("edit")(event, Context()) == {"batchItemFailures": []}
        document: dict[str, Any] = json.loads(self.deployed.object("outbox/demo/a cat.png.json"))
        return document

    def nothing_was_done(self) -> bool:
        """Tell whether nothing was bought, and no money held."""
        jobs = [key for key in self.deployed.rows("JOBS_TABLE") if key.startswith("job#")]
        return not (jobs or self.deployed.rows("LEDGER_TABLE") or self.deployed.standin.calls())


@pytest.fixture
def door(deployed: Deployed) -> Door:
    return Door(deployed)


def test_a_revoked_key_is_denied_and_the_other_is_not(door: Door) -> None:
    door.tenants.add_key("demo", "ek-other", time.time())
    assert (door.effect(), door.effect("ek-other")) == ("Allow", "Allow")
    door.tenants.revoke(door.tenants.key("demo", digest("easel-local")[:8]))
    assert (door.effect(), door.effect("ek-other")) == ("Deny", "Allow")


def test_a_suspended_tenant_is_refused_at_every_door(door: Door) -> None:
    door.change(suspended=True)
    assert door.effect() == "Deny"
    document = door.put()
    assert (document["status"], document["error"]["code"]) == ("failed", "tenant_suspended")
    with pytest.raises(Exception, match="'demo' is suspended") as raised:
        door.invoke()
    assert type(raised.value).__name__ == "tenant_suspended"
    assert door.nothing_was_done()
    door.change(suspended=False)
    assert door.effect() == "Allow"
    assert door.invoke()["data"]
    assert door.put()["status"] == "succeeded"


@pytest.mark.parametrize("quote", [False, True])
def test_a_model_that_is_not_the_tenants_is_refused_before_anything_is_held(
    door: Door, quote: bool
) -> None:
    door.change(models=[TWO])
    for asked in {"model": FLARE}, {}:  # and so is the deployment's default
        status, body = door.call(quote=quote, **asked)
        assert (status, body["error"]["code"]) == (403, "model_not_allowed")
        assert body["error"]["param"] == "model"
        assert body["error"]["message"].endswith(f"It may use: {TWO}.")
    with pytest.raises(Exception, match="may not use") as raised:
        door.invoke(model=FLARE)
    assert type(raised.value).__name__ == "model_not_allowed"
    assert door.put()["error"]["code"] == "model_not_allowed"
    assert door.nothing_was_done()


def test_its_own_is_made_by_whatever_name(door: Door) -> None:
    door.change(models=["dall-e-3"])
    status, body = door.call(model="gpt-image-1")
    assert (status, body["model"]) == (200, FLARE)


def test_what_a_request_does_not_say_the_tenant_says(door: Door) -> None:
    door.change(default_model=TWO, default_quality="low", response_format="b64_json")
    _, body = door.call(response_format=None)
    assert (body["model"], body["quality"]) == (TWO, "low")
    assert body["data"][0].keys() & {"url", "b64_json"} == {"b64_json"}
    assert door.invoke()["model"] == TWO
    assert door.put()["model"] == TWO
    assert {call["model"] for call in door.deployed.standin.calls()} == {TWO}
    _, body = door.call(model=FLARE, quality="high")
    assert (body["model"], body["quality"]) == (FLARE, "high")
    _, quote = door.call(quote=True)
    assert quote["model"] == TWO
