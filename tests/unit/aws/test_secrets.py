"""Upstream's key, however it was written down."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, NoCredentialsError

from easel.aws import clients
from easel.aws.secrets import Secrets, UpstreamSecret
from easel.errors import UpstreamBusy, UpstreamFailure, UpstreamMisconfigured


@pytest.fixture
def store(environ: dict[str, str]) -> Callable[[str], Secrets]:
    """Return what writes the secret's value, and a fresh reader of it."""
    client = clients.secrets()

    def write(text: str) -> Secrets:
        client.put_secret_value(SecretId=environ["UPSTREAM_SECRET"], SecretString=text)
        return Secrets(client, environ["UPSTREAM_SECRET"])

    return write


def key(secret: UpstreamSecret) -> str:
    return secret.api_key.get_secret_value()


@pytest.mark.parametrize("text", ["sk-1", " sk-1\n", '{"api_key": "sk-1", "note": "ours"}'])
def test_a_plain_key_is_enough(store: Callable[[str], Secrets], text: str) -> None:
    secret = store(text).upstream()
    assert key(secret) == "sk-1"
    assert (secret.base_url, secret.organization, secret.project) == (None, None, None)


def test_json_says_where_and_for_whom(store: Callable[[str], Secrets]) -> None:
    said = {"base_url": "https://proxy/v1", "organization": "org", "project": "proj"}
    secret = store(json.dumps({"api_key": "sk-1", **said})).upstream()
    assert secret.model_dump(exclude={"api_key"}) == said


@pytest.mark.parametrize(
    "text", ["{}", '{"api_key": ""}', '{"api_key": 7}', '{"api_key": "sk-1"', "sk-é", "sk-1\nsk-2"]
)
def test_what_is_no_key_is_the_operators_to_mend(
    store: Callable[[str], Secrets], text: str
) -> None:
    with pytest.raises(UpstreamMisconfigured) as caught:
        store(text).upstream()
    assert "sk-" not in caught.value.message


def test_so_is_a_secret_of_bytes(environ: dict[str, str]) -> None:
    client, name = clients.secrets(), environ["UPSTREAM_SECRET"]
    client.put_secret_value(SecretId=name, SecretBinary=b"sk-1")
    with pytest.raises(UpstreamMisconfigured):
        Secrets(client, name).upstream()


def test_so_is_a_secret_that_cannot_be_read(environ: dict[str, str]) -> None:
    with pytest.raises(UpstreamMisconfigured):
        Secrets(clients.secrets(), "no-such-secret").upstream()


def test_a_secret_that_was_changed_is_read_as_it_is(store: Callable[[str], Secrets]) -> None:
    secrets = store("sk-old")
    assert key(secrets.upstream()) == "sk-old"
    store("sk-new")
    assert key(secrets.upstream()) == "sk-new"


def test_the_key_masks_itself(store: Callable[[str], Secrets]) -> None:
    secret = store("sk-1").upstream()
    assert "sk-1" not in f"{secret!r} {secret} {secret.model_dump_json()}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ((400, "ThrottlingException"), UpstreamBusy),
        ((500, "InternalServiceError"), UpstreamBusy),
        (ConnectTimeoutError(endpoint_url="x"), UpstreamBusy),
        ((400, "AccessDeniedException"), UpstreamMisconfigured),
        ((400, "ResourceNotFoundException"), UpstreamMisconfigured),
        (NoCredentialsError(), UpstreamMisconfigured),
    ],
)
def test_what_passes_is_tried_again(
    environ: dict[str, str], error: tuple[int, str] | Exception, kind: type[UpstreamFailure]
) -> None:
    def answer(**_: Any) -> Any:
        if isinstance(error, Exception):
            raise error
        status, code = error
        said = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return SimpleNamespace(status_code=status), said

    client = clients.secrets()
    client.meta.events.register("before-call.secrets-manager.GetSecretValue", answer)
    with pytest.raises(UpstreamFailure) as caught:
        Secrets(client, environ["UPSTREAM_SECRET"]).upstream()
    assert type(caught.value) is kind
