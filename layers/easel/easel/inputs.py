"""Input images: from what a call carries to images checked, named by their content.

Images come as files of a form, as data URLs, or as ids of images the tenant has in the bucket.
What they are is told by their bytes, never by what a caller says of them. Nothing remote is
fetched. Of an upload a door sees only the beginning: the worker checks it whole, before it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pybase64
from pydantic import BaseModel, ConfigDict

from easel.errors import InvalidRequest
from easel.formats import Header, Kind, invalid, sniff
from easel.images import (
    MOST_SECONDS,
    admit,
    afford,
    alpha_mask,
    digest,
    verify,
    verify_mask,
)

MAX_IMAGES = 16
"""Input images of one edit (``image_edit_params``)."""


class Image(BaseModel):
    """Image bytes at rest in S3, given or made. Width and height in pixels."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: Kind
    width: int
    height: int
    bytes: int
    sha256: str | None = None
    """None for an upload, which nobody has read whole yet."""
    etag: str | None = None
    """What S3 calls an upload's content: with it, the bytes paid for are those looked at."""

    @property
    def header(self) -> Header:
        """What is known of the image; of its alpha nothing."""
        return Header(self.kind, self.width, self.height, alpha=False)

    @property
    def identity(self) -> str:
        """What two equal images share."""
        return self.sha256 or f"{self.key} {self.etag}"


def described(data: bytes, header: Header, key: str, sha256: str) -> Image:
    """Return what is known of the bytes, whose digest this is, under the key."""
    return Image(
        key=key,
        kind=header.kind,
        width=header.width,
        height=header.height,
        bytes=len(data),
        sha256=sha256,
    )


def begun(head: bytes, length: int, key: str, etag: str, param: str) -> Image:
    """Return an upload as its first bytes tell it. Raises InvalidRequest."""
    header = sniff(head, param)
    admit(header, length, param)
    return Image(
        key=key,
        kind=header.kind,
        width=header.width,
        height=header.height,
        bytes=length,
        etag=etag,
    )


class Reference(BaseModel):
    """An input image of a JSON edit: a data URL, or the id of one of the tenant's images."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image_url: str | None = None
    file_id: str | None = None


Locate = Callable[[str, str], Image]
"""Finds one of the tenant's images by ``file_id``, for a parameter; raises NotFound, Gone or
InvalidRequest."""

Given = bytes | Image
"""An input image: its bytes, or what is known of it where it lies."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """A call's input images."""

    images: tuple[Given, ...] = ()
    mask: Given | None = None
    markup: Given | None = None

    def refuse(self, references: Mapping[str, list[Reference]]) -> None:
        """Raise InvalidRequest for any image, where there is to be none."""
        given = [*references, *(["image"] if self.images else [])]
        if given:
            raise InvalidRequest(
                "A generation takes no images. POST them to /v1/images/edits.",
                code="unknown_parameter",
                param=given[0],
            )

    def joined(
        self,
        references: Mapping[str, list[Reference]],
        locate: Locate,
        *,
        most: int = MAX_IMAGES,
    ) -> Inputs:
        """Return the inputs with those that JSON refers to, by parameter. Raises InvalidRequest."""
        named = references.get("images", [])
        count = len(self.images) + len(named)
        if count == 0:
            raise InvalidRequest(
                "Missing required parameter: 'image'. Send one as a multipart file, "
                "or 'images' with data URLs in JSON.",
                code="missing_required_parameter",
                param="image",
            )
        if count > most:
            raise InvalidRequest(f"At most {most} image(s); {count} were sent.", param="image")
        loaded = {
            param: tuple(_given(one, param, locate) for one in listed)
            for param, listed in references.items()
        }
        return replace(
            self,
            images=self.images + loaded.get("images", ()),
            mask=next(iter(loaded.get("mask", ())), self.mask),
            markup=next(iter(loaded.get("markup", ())), self.markup),
        )

    def refuse_much(self) -> None:
        """Raise InvalidRequest for images that would keep a door busy. None is decoded yet."""
        masks = (self.mask, "mask"), (self.markup, "markup")
        given = [*((one, "image") for one in self.images), *masks]
        seconds = 0.0
        for one, param in given:
            if isinstance(one, bytes):
                header = sniff(one, param)
                afford(header, len(one), param)
                seconds += header.seconds(len(one))
        if seconds > MOST_SECONDS:
            raise invalid("The images take too long to decode together; upload them first", "image")

    def masked_by_alpha(self, read: Callable[[Image], bytes]) -> Inputs:
        """Return the inputs with the first image's own alpha as the mask, if it has any."""
        first = self.images[0]
        data = read(first) if isinstance(first, Image) else first
        verify(data, "image")
        return replace(self, mask=alpha_mask(data))


@dataclass(frozen=True, slots=True)
class Stored:
    """Input images as they will be kept, and the bytes to keep, by key."""

    images: tuple[Image, ...]
    mask: Image | None
    markup: Image | None
    uploads: Mapping[str, bytes]


def checked(inputs: Inputs, tenant: str) -> Stored:
    """Check every input, and give bytes the key of their content. Raises InvalidRequest.

    An image that lies in the bucket stays where it is; of an upload only what is known is checked.
    """
    uploads: dict[str, bytes] = {}
    inputs.refuse_much()

    def place(given: Given, check: Callable[[bytes], Header], param: str) -> Image:
        if isinstance(given, Image):
            admit(given.header, given.bytes, param)
            return given
        sha256 = digest(given)
        image = described(given, check(given), f"inputs/{tenant}/{sha256}", sha256)
        uploads[image.key] = given
        return image

    whole = partial(verify, param="image")
    images = tuple(place(one, whole, "image") for one in inputs.images)

    def fitting(given: Given | None, param: str) -> Image | None:
        if given is None:
            return None
        if isinstance(given, Image):  # nobody knows of its alpha yet
            given = given.model_copy(update={"sha256": None})

        def check(data: bytes) -> Header:
            # An upload's own first bytes do not tell whether it is displayed sideways.
            first = images[0].header if images[0].sha256 else sniff(data, param)
            return verify_mask(data, first, param)

        return place(given, check, param)

    return Stored(
        images=images,
        mask=fitting(inputs.mask, "mask"),
        markup=fitting(inputs.markup, "markup"),
        uploads=uploads,
    )


def verify_uploads(
    images: tuple[Image, ...],
    mask: Image | None,
    markup: Image | None,
    read: Callable[[Image], bytes],
) -> None:
    """Check whole what a door has seen only the beginning of. Raises InvalidRequest.

    ``read`` loads an image; no more than one is in memory at a time.
    """
    headers = [
        one.header if one.sha256 else verify(read(one), f"images[{index}]")
        for index, one in enumerate(images)
    ]
    for one, param in ((mask, "mask"), (markup, "markup")):
        if one is not None and not (one.sha256 and images[0].sha256):
            verify_mask(read(one), headers[0], param)


def _given(reference: Reference, param: str, locate: Locate) -> Given:
    if reference.file_id is not None:
        return locate(reference.file_id, param)
    head, _, body = (reference.image_url or "").partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise InvalidRequest(
            f"Invalid {param!r}: give a 'file_id', or an 'image_url' that is a base64 data URL. "
            "Remote URLs are not fetched.",
            param=param,
        )
    try:
        return pybase64.b64decode(body, validate=True)
    except ValueError:
        raise InvalidRequest(
            f"Invalid {param!r}: the data URL is not base64.", param=param
        ) from None
