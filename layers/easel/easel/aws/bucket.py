"""The bucket: images and answers at rest.

| key | what |
|---|---|
| ``inputs/{tenant}/{sha256}`` | an input image, named by its content |
| ``images/{tenant}/{job}/{attempt}/{index}.{kind}`` | a picture that was made |
| ``images/{tenant}/{job}/{attempt}/answer.json`` | what upstream said of them; written last |
| ``answers/{tenant}/{job}/{format}.json`` | an answer too large for Lambda |
| ``inbox/{tenant}/…``, ``outbox/{tenant}/…`` | questions and answers of the file door |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from easel.errors import RequestTooLarge

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef


class Found(NamedTuple):
    """An object's bytes, and the metadata its writer gave it."""

    data: bytes
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Reads, writes and presigns."""

    client: S3Client
    name: str

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store the bytes."""
        self.client.put_object(Bucket=self.name, Key=key, Body=data, ContentType=content_type)

    def upload(self, key: str, stream: IO[bytes], content_type: str) -> None:
        """Store a seekable stream of any length."""
        self.client.upload_fileobj(stream, self.name, key, ExtraArgs={"ContentType": content_type})

    def copy(self, source: str, key: str) -> None:
        """Store the object under another key, too."""
        self.client.copy_object(
            Bucket=self.name, Key=key, CopySource={"Bucket": self.name, "Key": source}
        )

    def get(self, key: str) -> bytes:
        """Return the object's bytes. Raises KeyError where there is none."""
        found = self.find(key)
        if found is None:
            raise KeyError(key)
        return found.data

    def find(self, key: str, version: str | None = None, most: int | None = None) -> Found | None:
        """Return the object, if there is one. Raises RequestTooLarge beyond ``most`` bytes."""
        try:
            got = self._get(key, version)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404"):
                return None
            raise
        if most is not None and got["ContentLength"] > most:
            got["Body"].close()
            raise RequestTooLarge(
                f"The object has {got['ContentLength']} bytes; send at most {most}."
            )
        return Found(got["Body"].read(), got["Metadata"])

    def _get(self, key: str, version: str | None) -> GetObjectOutputTypeDef:
        if version is None:
            return self.client.get_object(Bucket=self.name, Key=key)
        return self.client.get_object(Bucket=self.name, Key=key, VersionId=version)

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
