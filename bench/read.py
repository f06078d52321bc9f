"""DynamoDB read and S3 presigned in plain boto3, and nothing around it."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

dynamodb = boto3.client("dynamodb")
s3 = boto3.client("s3", config=Config(signature_version="s3v4"))


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Read an item so many times; presign where a key is given."""
    for _ in range(event["times"]):
        found = dynamodb.get_item(TableName=os.environ["JOBS_TABLE"], Key=event["key"])["Item"]
    url = None
    if key := event.get("presign"):
        params = {"Bucket": os.environ["BUCKET"], "Key": key}
        url = s3.generate_presigned_url("get_object", Params=params)
    return {"statusCode": 200, "body": f"{len(found)} attributes; {url}"}
