"""What a tenant may, on the running stack: keys that end, a suspension, models of its own."""

import json

import openai
import pytest

from easel.keys import digest
from tests.stack.running import png, unique, until


def status(running, key):
    with running.http(key) as http:
        return http.get("/models").status_code


def test_an_operator_makes_a_tenant_and_takes_a_key_back(running):
    name = unique("shop").replace(" ", "-")
    first = running.easel("tenants", "create", name, "--models", "dall-e-3").stdout.strip()
    second = running.easel("keys", "issue", name).stdout.strip()
    assert [status(running, key) for key in (first, second)] == [200, 200]
    client = running.openai(api_key=first)
    made = client.images.generate(prompt=unique("a fox"), quality="low")
    assert made.model_extra["model"] == "gpt-image-2.5-flare"
    shown = json.loads(running.easel("tenants", "show", name, "--json").stdout)
    assert (shown["month_budget_usd"], shown["models"]) == (25, ["dall-e-3"])
    listed = json.loads(running.easel("keys", "list", name, "--json").stdout)["keys"]
    assert {one["id"] for one in listed} == {digest(key)[:12] for key in (first, second)}

    running.easel("keys", "revoke", name, digest(first)[:12], "--yes")
    until(lambda: status(running, first) == 401, pause=0.5)
    with pytest.raises(openai.AuthenticationError) as refused:
        client.images.generate(prompt=unique("a fox"))
    assert refused.value.code == "invalid_api_key"
    assert status(running, second) == 200
    assert name in running.easel("tenants", "list").stdout


def test_a_suspended_tenant_is_refused_at_every_door(running):
    name, key = running.new_tenant()
    prompt = unique("a fox")
    assert status(running, key) == 200
    running.easel("tenants", "suspend", name, "--yes")
    place = {"Bucket": running.bucket, "Key": f"inbox/{name}/fox.png"}
    running.aws("s3").put_object(**place, Body=png(64, 64), Metadata={"prompt": prompt})
    failed, told = running.invoke("Generate", {"tenant": name, "prompt": prompt})
    assert failed
    assert told["errorMessage"].startswith(f"The tenant '{name}' is suspended.")
    until(lambda: status(running, key) == 401, pause=0.5)
    answer = f"outbox/{name}/fox.png.json"
    until(lambda: running.objects(answer))
    assert json.loads(running.object(answer))["error"]["code"] == "tenant_suspended"
    assert running.rows("JobsTable", "job#", name) == running.rows("LedgerTable", "", name) == []
    assert running.standin.calls(containing=prompt) == []

    running.easel("tenants", "resume", name)
    until(lambda: status(running, key) == 200, pause=0.5)


@pytest.mark.parametrize("quote", [False, True])
def test_a_model_that_is_not_the_tenants_is_refused(running, quote):
    name, key = running.new_tenant(models=("gpt-image-2",), default_model="gpt-image-2")
    client = running.openai(api_key=key)
    prompt = unique("a fox")
    ask = {"prompt": prompt, "extra_body": {"quote": quote}}
    with pytest.raises(openai.PermissionDeniedError, match="It may use: gpt-image-2") as refused:
        client.images.generate(**ask, model="gpt-image-2.5-flare")
    assert (refused.value.code, refused.value.param) == ("model_not_allowed", "model")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert running.rows("JobsTable", "", name) == running.rows("LedgerTable", "", name) == []
    assert client.images.generate(**ask).model_extra["model"] == "gpt-image-2"
    assert running.paid(prompt) == (0 if quote else 1)
