"""Inputs: POST /v1/inputs.

Checks what the caller wants to upload (``uploads``), and answers with a presigned POST of exactly
that (``doors.uploads``, ``aws.bucket``) and the id that edits name it by. The file goes to S3.
"""

from functools import cache
from time import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel.aws import clients
from easel.aws.bucket import Bucket
from easel.doors import https, uploads
from easel.settings import Settings

settings = Settings.from_env()
bucket = Bucket(cache(clients.s3), settings.bucket)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return where to post the file, and how."""
    seconds, origins = settings.url_ttl_seconds, settings.allowed_origins
    return https.answer(event, lambda c: uploads.grant(c, bucket, seconds, time()), origins)
