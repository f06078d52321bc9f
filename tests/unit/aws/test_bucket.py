"""Objects in, objects out."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from easel.aws import clients
from easel.aws.bucket import Bucket


@pytest.fixture(scope="module")
def bucket(environ: dict[str, str]) -> Bucket:
    return Bucket(cache(clients.s3), environ["BUCKET"])


def content_type(bucket: Bucket, key: str) -> str:
    return bucket.client.head_object(Bucket=bucket.name, Key=key)["ContentType"]


def test_what_is_put_is_got(bucket: Bucket) -> None:
    bucket.put("put", b"\0\xff", "image/png")
    assert bucket.get("put") == b"\0\xff"
    assert content_type(bucket, "put") == "image/png"


def test_an_svg_is_downloaded_not_opened(bucket: Bucket) -> None:
    bucket.put("a.svg", b"<svg><script>alert(1)</script></svg>", "image/svg+xml")
    bucket.put("a.png", b"\x89PNG <html><script>", "image/png")
    bucket.copy("a.svg", "outbox/a.svg")
    served = {
        key: bucket.client.get_object(Bucket=bucket.name, Key=key)
        for key in ("a.svg", "outbox/a.svg", "a.png")
    }
    assert {
        key: (one["ContentType"], one["ContentDisposition"]) for key, one in served.items()
    } == {
        "a.svg": ("image/svg+xml", "attachment"),
        "outbox/a.svg": ("image/svg+xml", "attachment"),
        "a.png": ("image/png", "inline"),
    }


def test_what_is_not_there_is_a_key_error_or_none(bucket: Bucket) -> None:
    with pytest.raises(KeyError, match="absent"):
        bucket.get("absent")
    assert bucket.find("absent") is None


def test_any_other_failure_is_not_taken_for_absence(bucket: Bucket) -> None:
    with pytest.raises(ClientError):
        Bucket(bucket.connect, "no-such-bucket").find("a")


def test_metadata_comes_with_the_bytes(bucket: Bucket) -> None:
    bucket.client.put_object(
        Bucket=bucket.name, Key="inbox/demo/a", Body=b"x", Metadata={"prompt": "red"}
    )
    found = bucket.find("inbox/demo/a")
    assert found
    assert (found.data, found.length, found.metadata) == (b"x", 1, {"prompt": "red"})


def test_a_version_is_itself_after_another(bucket: Bucket) -> None:
    put = bucket.client.put_object
    first = put(Bucket=bucket.name, Key="versioned", Body=b"1")["VersionId"]
    put(Bucket=bucket.name, Key="versioned", Body=b"2")
    earlier, latest = bucket.find("versioned", first), bucket.find("versioned")
    assert earlier
    assert latest
    assert (earlier.data, latest.data) == (b"1", b"2")
    bucket.copy("versioned", "copied", first)
    assert bucket.get("copied") == b"1"


def test_a_version_that_never_was_is_none(bucket: Bucket) -> None:
    bucket.put("versions", b"x", "text/plain")
    assert bucket.find("versions", "3a1b2c3d-0000-0000-0000-000000000000") is None


def test_the_beginning_of_a_large_object_tells_how_long_it_is(bucket: Bucket) -> None:
    bucket.put("large", b"x" * 11, "text/plain")
    found, all_of_it = bucket.find("large", first=10), bucket.find("large", first=12)
    assert found
    assert (found.data, found.length) == (b"x" * 10, 11)
    assert all_of_it
    assert (all_of_it.data, all_of_it.length) == (b"x" * 11, 11)


def test_an_empty_object_has_a_beginning_of_nothing(bucket: Bucket) -> None:
    bucket.put("empty", b"", "text/plain")
    found = bucket.find("empty", first=10)
    assert found
    assert (found.data, found.length) == (b"", 0)


def test_what_is_downloaded_is_what_was_looked_at(bucket: Bucket) -> None:
    bucket.put("upload", b"one", "text/plain")
    found = bucket.find("upload", first=1)
    assert found
    file = BytesIO()
    bucket.download("upload", found.etag, file)
    assert file.getvalue() == b"one"
    bucket.put("upload", b"two", "text/plain")
    with pytest.raises(KeyError):
        bucket.download("upload", found.etag, file)
    bucket.download("upload", None, file)
    assert file.getvalue() == b"onetwo"
    with pytest.raises(KeyError):
        bucket.download("absent", None, file)


def test_an_objects_presence_is_told(bucket: Bucket) -> None:
    bucket.put("present", b"", "text/plain")
    assert bucket.has("present")
    assert not bucket.has("never")


def test_a_bucket_that_tells_nothing_is_an_error(environ: dict[str, str]) -> None:
    bucket = Bucket(cache(clients.s3), environ["BUCKET"])
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
    etag = bucket.copy("images/demo/a b+c.png", "outbox/demo/ä.png")
    found = bucket.find("outbox/demo/ä.png", first=1)
    assert found
    assert found.etag == etag
    assert bucket.get("outbox/demo/ä.png") == b"x"
    assert content_type(bucket, "outbox/demo/ä.png") == "image/png"


def test_a_url_lives_as_long_as_said(bucket: Bucket) -> None:
    url = urlsplit(bucket.url("images/demo/a b.png", 600))
    assert url.path == "/images/demo/a%20b.png"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["600"]


def test_a_copy_leaves_tags_behind(bucket: Bucket) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key="tagged", Body=b"x", Tagging="a=b")
    bucket.copy("tagged", "untagged")
    tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key="untagged")["TagSet"]
    assert tags == []


def test_a_copy_of_a_type_leaves_behind_what_was_said(bucket: Bucket) -> None:
    said = {"Metadata": {"prompt": "red"}, "ContentType": "text/plain"}
    bucket.client.put_object(Bucket=bucket.name, Key="said", Body=b"x", **said)
    bucket.copy("said", "unsaid", content_type="image/png")
    found = bucket.find("unsaid")
    assert found
    assert (found.data, found.metadata) == (b"x", {})
    assert content_type(bucket, "unsaid") == "image/png"


def test_a_versions_content_is_its_id(bucket: Bucket) -> None:
    made = bucket.client.put_object(Bucket=bucket.name, Key="told", Body=b"x")
    found = bucket.find("told")
    assert found
    assert found.content == made["VersionId"]
    assert found._replace(version=None).content == made["ETag"].strip('"')
