"""boto3's clients, as Easel wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.exceptions import BotoCoreError
from moto import mock_aws

from easel.aws import clients

pytestmark = pytest.mark.usefixtures("environ")


@pytest.mark.parametrize(
    "make",
    [
        *(clients.cloudformation, clients.dynamodb, clients.events),
        *(clients.secrets, clients.sqs, clients.s3),
    ],
)
def test_every_client_gives_up_in_time(make: Any) -> None:
    config = make().meta.config
    assert config.connect_timeout <= 5
    assert config.read_timeout <= 20
    assert config.retries == {"mode": "standard", "total_max_attempts": 4}


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1"])
def test_urls_are_signed_with_sigv4_on_the_buckets_own_host(
    monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    url = urlsplit(
        clients.s3().generate_presigned_url("get_object", Params={"Bucket": "easel", "Key": "a"})
    )
    assert url.netloc.startswith("easel.s3")
    assert parse_qs(url.query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert f"/{region}/s3/" in parse_qs(url.query)["X-Amz-Credential"][0]


def test_the_operators_role_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come by services that nobody else asks here."""
    config = tmp_path / "config"
    config.write_text(
        "[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/ops\nsource_profile = me\n"
        "[profile me]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "ops")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    clients.session.cache_clear()
    try:
        found = clients.session().get_credentials()
        assert found
        with mock_aws():
            assert found.get_frozen_credentials().token
    finally:
        clients.session.cache_clear()


def test_what_is_no_service_is_none() -> None:
    with pytest.raises(BotoCoreError):
        clients.session().create_client("nothing")
