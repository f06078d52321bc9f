"""The leave to post one file: bound to its key, its type and its size."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest

from easel import uploads
from easel.aws.bucket import Bucket
from easel.doors.uploads import grant
from easel.errors import InvalidRequest
from tests.unit.doors.events import call

NOW = 1_795_350_896.5
CLIENT = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")


def granted(body: str, tenant: str = "demo") -> dict[str, Any]:
    made = call("inputs", body=body, context={"authorizer": {"tenant": f'{{"name": "{tenant}"}}'}})
    reply = grant(made, Bucket(lambda: CLIENT, "bucket"), 600, NOW)
    assert reply.status == 200
    said: dict[str, Any] = json.loads(reply.rendered("r")["body"])
    return said


def test_a_post_is_bound_to_key_type_and_size() -> None:
    said = granted('{"bytes": 1234567, "content_type": "image/webp"}', tenant="shop")
    assert (said["object"], said["expires_at"]) == ("image.input", int(NOW) + 600)
    assert uploads.created_at(said["file_id"]) == NOW
    key = f"inputs/shop/{said['file_id']}"
    assert (said["fields"]["key"], said["fields"]["Content-Type"]) == (key, "image/webp")
    conditions = json.loads(base64.b64decode(said["fields"]["policy"]))["conditions"]
    assert ["content-length-range", 1234567, 1234567] in conditions
    for exact in {"key": key}, {"Content-Type": "image/webp"}, {"bucket": "bucket"}:
        assert exact in conditions


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ('{"content_type": "image/png"}', "missing_required_parameter", "bytes"),
        ('{"bytes": 9}', "missing_required_parameter", "content_type"),
        ('{"bytes": 0, "content_type": "image/png"}', "invalid_value", "bytes"),
        ('{"bytes": 52428800, "content_type": "image/png"}', "invalid_value", "bytes"),
        ('{"bytes": "9", "content_type": "image/png"}', "invalid_value", "bytes"),
        ('{"bytes": null, "content_type": "image/png"}', "invalid_value", "bytes"),
        ('{"bytes": 9, "content_type": "image/gif"}', "invalid_value", "content_type"),
        ("[]", "invalid_value", None),
        ("{", "invalid_value", None),
        ("", "invalid_value", None),
    ],
)
def test_what_cannot_be_uploaded_is_refused(body: str, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        granted(body)
    assert (caught.value.code, caught.value.param) == (code, param)
    if param:
        assert f"'{param}'" in caught.value.message
