"""Uploads over HTTPS: the leave to post one file into the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easel import uploads
from easel.doors.https import Call, Reply

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket


def grant(call: Call, bucket: Bucket, seconds: int, now: float) -> Reply:
    """Answer with a presigned POST of what the body describes. Raises InvalidRequest.

    It lives for so many ``seconds``; whoever has it needs no key.
    """
    upload = uploads.read(call.body)
    file_id = uploads.new_id(now)
    key = uploads.key(call.tenant.name, file_id)
    url, fields = bucket.post(key, upload.content_type, upload.bytes, seconds)
    granted = {"object": "image.input", "file_id": file_id, "url": url, "fields": fields}
    return Reply(200, {**granted, "expires_at": int(now) + seconds})
