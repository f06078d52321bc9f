"""boto3's clients, as Easel wants them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

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
