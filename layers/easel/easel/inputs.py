"""Input images: from what a call carries to images checked, named by their content.

Images come as files of a form, as data URLs, or as ids of the tenant's own images. What they are
is told by their bytes, never by what a caller says of them. Nothing remote is fetched.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict

from easel.errors import InvalidRequest
from easel.images import Header, Kind, digest, verify, verify_mask

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
    sha256: str


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


class Reference(BaseModel):
    """An input image of a JSON edit: a data URL, or the id of one of the tenant's images."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image_url: str | None = None
    file_id: str | None = None


Fetch = Callable[[str], bytes]
"""Reads one of the tenant's images by ``file_id``; raises NotFound or InvalidRequest."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The bytes of a call's input images."""

    images: tuple[bytes, ...] = ()
    mask: bytes | None = None
    markup: bytes | None = None

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
        fetch: Fetch,
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
            param: tuple(_bytes(one, param, fetch) for one in listed)
            for param, listed in references.items()
        }
        return replace(
            self,
            images=self.images + loaded.get("images", ()),
            mask=next(iter(loaded.get("mask", ())), self.mask),
            markup=next(iter(loaded.get("markup", ())), self.markup),
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """Input images as they will be kept, and the bytes to keep, by key."""

    images: tuple[Image, ...]
    mask: Image | None
    markup: Image | None
    uploads: Mapping[str, bytes]


def checked(inputs: Inputs, tenant: str) -> Stored:
    """Check every input, and give each the key of its content. Raises InvalidRequest."""
    uploads: dict[str, bytes] = {}

    def place(data: bytes, header: Header) -> Image:
        sha256 = digest(data)
        image = described(data, header, f"inputs/{tenant}/{sha256}", sha256)
        uploads[image.key] = data
        return image

    headers = [verify(data, "image") for data in inputs.images]
    mask, markup = inputs.mask, inputs.markup
    return Stored(
        images=tuple(map(place, inputs.images, headers)),
        mask=place(mask, verify_mask(mask, headers[0])) if mask is not None else None,
        markup=place(markup, verify(markup, "markup")) if markup is not None else None,
        uploads=uploads,
    )


def _bytes(reference: Reference, param: str, fetch: Fetch) -> bytes:
    if reference.file_id is not None:
        return fetch(reference.file_id)
    head, _, body = (reference.image_url or "").partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise InvalidRequest(
            f"Invalid {param!r}: give a 'file_id', or an 'image_url' that is a base64 data URL. "
            "Remote URLs are not fetched.",
            param=param,
        )
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise InvalidRequest(
            f"Invalid {param!r}: the data URL is not base64.", param=param
        ) from None
