"""Objects in, objects out."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from easel.aws import clients
from easel.aws.bucket import Bucket, Found
from easel.errors import RequestTooLarge


@pytest.fixture(scope="module")
def bucket(environ: dict[str, str]) -> Bucket:
    return Bucket(clients.s3(), environ["BUCKET"])


def content_type(bucket: Bucket, key: str) -> str:
    return bucket.client.head_object(Bucket=bucket.name, Key=key)["ContentType"]


def test_what_is_put_is_got(bucket: Bucket) -> None:
    bucket.put("put", b"\0\xff", "image/png")
    assert bucket.get("put") == b"\0\xff"
    assert content_type(bucket, "put") == "image/png"


def test_what_is_not_there_is_a_key_error_or_none(bucket: Bucket) -> None:
    with pytest.raises(KeyError, match="absent"):
        bucket.get("absent")
    assert bucket.find("absent") is None


def test_any_other_failure_is_not_taken_for_absence(bucket: Bucket) -> None:
    with pytest.raises(ClientError):
        Bucket(bucket.client, "no-such-bucket").find("a")


def test_metadata_comes_with_the_bytes(bucket: Bucket) -> None:
    bucket.client.put_object(
        Bucket=bucket.name, Key="inbox/demo/a", Body=b"x", Metadata={"prompt": "red"}
    )
    assert bucket.find("inbox/demo/a") == Found(b"x", {"prompt": "red"})


def test_a_version_is_itself_after_another(bucket: Bucket) -> None:
    put = bucket.client.put_object
    first = put(Bucket=bucket.name, Key="versioned", Body=b"1")["VersionId"]
    put(Bucket=bucket.name, Key="versioned", Body=b"2")
    assert bucket.find("versioned", first) == Found(b"1", {})
    assert bucket.find("versioned") == Found(b"2", {})


def test_a_version_that_never_was_is_none(bucket: Bucket) -> None:
    bucket.put("versions", b"x", "text/plain")
    assert bucket.find("versions", "3a1b2c3d-0000-0000-0000-000000000000") is None


def test_what_is_too_large_is_not_read(bucket: Bucket) -> None:
    bucket.put("large", b"x" * 11, "text/plain")
    assert bucket.find("large", most=11) == Found(b"x" * 11, {})
    with pytest.raises(RequestTooLarge):
        bucket.find("large", most=10)


def test_an_objects_presence_is_told(bucket: Bucket) -> None:
    bucket.put("present", b"", "text/plain")
    assert bucket.has("present")
    assert not bucket.has("never")


def test_a_bucket_that_tells_nothing_is_an_error(environ: dict[str, str]) -> None:
    bucket = Bucket(clients.s3(), environ["BUCKET"])
    denied = AWSResponse("https://s3", 403, {}, None), {"Error": {"Code": "403"}}
    bucket.client.meta.events.register("before-call.s3.HeadObject", lambda **_: denied)
    with pytest.raises(ClientError):
        bucket.has("present")


def test_a_stream_is_stored(bucket: Bucket) -> None:
    bucket.upload("stream", BytesIO(b"{}"), "application/json")
    assert bucket.get("stream") == b"{}"
    assert content_type(bucket, "stream") == "application/json"


def test_a_copy_keeps_bytes_and_type(bucket: Bucket) -> None:
    bucket.put("images/demo/a b+c.png", b"x", "image/png")
    bucket.copy("images/demo/a b+c.png", "outbox/demo/ä.png")
    assert bucket.get("outbox/demo/ä.png") == b"x"
    assert content_type(bucket, "outbox/demo/ä.png") == "image/png"


def test_a_url_lives_as_long_as_said(bucket: Bucket) -> None:
    url = urlsplit(bucket.url("images/demo/a b.png", 600))
    assert url.path == "/images/demo/a%20b.png"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["600"]
