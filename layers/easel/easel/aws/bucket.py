"""The bucket: images and answers at rest.

| key | what |
|---|---|
| ``inputs/{tenant}/{sha256}`` | an input image, named by its content |
| ``inputs/{tenant}/{file_id}`` | one that its caller posted |
| ``inputs/{tenant}/inbox-{digest}`` | one that was put into the inbox |
| ``images/{tenant}/{job}/{attempt}/{index}.{kind}`` | a picture that was made |
| ``images/{tenant}/{job}/{attempt}/answer.json`` | what upstream said of them; written last |
| ``quarantine/{tenant}/{job}/{attempt}/{index}.{kind}`` | one not judged yet, or blocked |
| ``answers/{tenant}/{job}/{form}`` | an answer too large for Lambda |
| ``inbox/{tenant}/…``, ``outbox/{tenant}/…`` | questions and answers of the file door |
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import (
        CopyObjectRequestTypeDef,
        CopySourceTypeDef,
        GetObjectOutputTypeDef,
        GetObjectRequestTypeDef,
    )


class Found(NamedTuple):
    """An object, or the beginning of one."""

    data: bytes
    """All of it, or as much as was asked for."""
    length: int
    """Bytes of the whole."""
    etag: str
    metadata: dict[str, str]
    """What its writer said of it."""
    version: str | None = None
    """None where the bucket keeps no versions."""

    @property
    def content(self) -> str:
        """What tells the contents of one key apart, as ``questions.Question`` has it."""
        return self.version or self.etag.strip('"')


_CHUNK_BYTES = 1 << 20
_SCRIPTED = "image/svg+xml"
_NONE = ("NoSuchKey", "NoSuchVersion", "404")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Reads, writes and presigns. ``connect`` makes the client, or returns the one it made.

    A job that is told without its pictures needs none, and S3's costs more to make than others.
    """

    connect: Callable[[], S3Client]
    name: str

    @property
    def client(self) -> S3Client:
        """S3."""
        return self.connect()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store the bytes. Whoever opens an SVG's URL is given a file, and runs no script of it."""
        self.client.put_object(
            Bucket=self.name,
            Key=key,
            Body=data,
            ContentType=content_type,
            ContentDisposition="attachment" if content_type == _SCRIPTED else "inline",
        )

    def upload(self, key: str, stream: IO[bytes], content_type: str) -> None:
        """Store a seekable stream, of at most 5 GB."""
        self.client.put_object(Bucket=self.name, Key=key, Body=stream, ContentType=content_type)

    def copy(
        self, source: str, key: str, version: str | None = None, content_type: str | None = None
    ) -> str:
        """Store the object, or one of its versions, under another key, too; return its ETag there.

        Its tags stay behind: to read them takes a permission of its own. So does all that its
        writer said of it, where a ``content_type`` is given. Raises KeyError where there is none.
        """
        place: CopySourceTypeDef = {"Bucket": self.name, "Key": source}
        if version is not None:
            place["VersionId"] = version
        asked: CopyObjectRequestTypeDef = {"Bucket": self.name, "Key": key, "CopySource": place}
        asked["TaggingDirective"] = "REPLACE"
        if content_type is not None:
            asked["MetadataDirective"], asked["ContentType"] = "REPLACE", content_type
        try:
            made = self.client.copy_object(**asked)
        except ClientError as error:
            if error.response["Error"]["Code"] in _NONE:
                raise KeyError(source) from None
            raise
        return made["CopyObjectResult"]["ETag"]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, 1000 at most; of what is not there nothing is said."""
        self.client.delete_objects(
            Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )

    def get(self, key: str) -> bytes:
        """Return the object's bytes. Raises KeyError where there is none."""
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        return found.data

    def find(self, key: str, version: str | None = None, first: int | None = None) -> Found | None:
        """Return the object, or its ``first`` bytes; None where there is none."""
        try:
            got = self._get(key, version, first)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _NONE:
                return None
            if code == "InvalidRange":  # it is empty
                return self.find(key, version)
            raise
        length = int(got.get("ContentRange", "").rpartition("/")[2] or got["ContentLength"])
        data, metadata = got["Body"].read(), got["Metadata"]
        return Found(data, length, got["ETag"], metadata, got.get("VersionId"))

    def _get(self, key: str, version: str | None, first: int | None) -> GetObjectOutputTypeDef:
        asked: GetObjectRequestTypeDef = {"Bucket": self.name, "Key": key}
        if version is not None:
            asked["VersionId"] = version
        if first is not None:
            asked["Range"] = f"bytes=0-{first - 1}"
        return self.client.get_object(**asked)

    def download(self, key: str, etag: str | None, file: IO[bytes]) -> None:
        """Write the object to the file. Raises KeyError where there is none of this ``etag``."""
        asked: GetObjectRequestTypeDef = {"Bucket": self.name, "Key": key}
        if etag is not None:
            asked["IfMatch"] = etag
        try:
            got = self.client.get_object(**asked)
        except ClientError as error:
            if error.response["Error"]["Code"] in (*_NONE, "PreconditionFailed", "412"):
                raise KeyError(key) from None
            raise
        shutil.copyfileobj(got["Body"], file, _CHUNK_BYTES)

    def has(self, key: str) -> bool:
        """Tell whether there is such an object."""
        try:
            self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True

    def url(self, key: str, seconds: int) -> str:
        """Return a presigned GET for so many seconds; it dies with the role's token before."""
        return self.client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self.name, "Key": key},
            ExpiresIn=seconds,
        )

    def post(
        self, key: str, content_type: str, length: int, seconds: int
    ) -> tuple[str, dict[str, str]]:
        """Return the URL and the fields of a presigned POST, for so many seconds.

        S3 takes one file of exactly this key, type and length in bytes.
        """
        made = self.client.generate_presigned_post(
            self.name,
            key,
            Fields={"Content-Type": content_type},
            Conditions=[
                {"Content-Type": content_type},
                ["content-length-range", length, length],
            ],
            ExpiresIn=seconds,
        )
        return made["url"], made["fields"]
