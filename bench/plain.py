"""The plain script: the same picture with the openai SDK and boto3, and nothing around them."""

from __future__ import annotations

import base64
import os
import uuid
from typing import Any

import boto3
import openai
from botocore.config import Config

client = openai.OpenAI(
    api_key=os.environ["BENCH_OPENAI_KEY"], base_url=os.environ["BENCH_OPENAI_URL"]
)
s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
bucket = os.environ["BUCKET"]


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the picture's presigned URL."""
    made = client.images.generate(**event)
    data = base64.b64decode(made.data[0].b64_json or "") if made.data else b""
    key = f"images/{uuid.uuid4()}.png"
    s3.put_object(Bucket=bucket, Key=key, Body=data, ContentType="image/png")
    params = {"Bucket": bucket, "Key": key}
    return {"bytes": len(data), "url": s3.generate_presigned_url("get_object", Params=params)}
