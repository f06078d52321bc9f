"""A job's input images as files on this machine: what upstream is sent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self

from easel.errors import Gone
from easel.inputs import Image, verify_uploads

if TYPE_CHECKING:
    from easel.aws.bucket import Bucket
    from easel.requests import Request


class Sources:
    """Brings the inputs when they are first asked for; the files are gone when the block ends."""

    def __init__(self, bucket: Bucket, request: Request) -> None:
        """Bring nothing yet."""
        self._bucket = bucket
        self._request = request
        self._files: dict[str, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Begin the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._stack.close()

    def opened(self) -> Mapping[str, IO[bytes]]:
        """Return the inputs by their keys, every upload checked whole.

        Raises Gone where one is not kept any longer or was replaced, InvalidRequest for a bad one.
        """
        missing = {one.key: one for one in self._request.inputs if one.key not in self._files}
        for image in missing.values():
            self._bring(image)
        if missing:
            request = self._request
            verify_uploads(request.images, request.mask, request.markup, self._read)
        return self._files

    def _bring(self, image: Image) -> None:
        file = self._stack.enter_context(TemporaryFile())  # noqa: SIM115 # the stack closes it
        try:
            self._bucket.download(image.key, image.etag, file)
        except KeyError:
            raise Gone(
                "An input image of the job is not kept any longer, or was replaced.",
                code="input_expired",
            ) from None
        file.seek(0)
        self._files[image.key] = file

    def _read(self, image: Image) -> bytes:
        file = self._files[image.key]
        file.seek(0)
        return file.read()
