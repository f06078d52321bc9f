"""What a tenant's calls may refer to: its uploads, its pictures, its earlier prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easel import uploads
from easel.errors import Gone, InvalidRequest, NotFound
from easel.inputs import Image, begun
from easel.prompt import Prompt
from easel.requests import Tenancy

if TYPE_CHECKING:
    from easel.bootstrap import Easel
    from easel.tenants import Tenant

BEGINNING_BYTES = 1 << 20
"""What is read of an upload to know its kind and dimensions: a JPEG's may come after a long
profile and a preview."""


def tenancy(easel: Easel, tenant: Tenant) -> Tenancy:
    """Return what the tenant's calls may refer to."""

    def locate(file_id: str, param: str) -> Image:
        if uploads.created_at(file_id) is not None:
            return _upload(easel, tenant.name, file_id, param)
        return _picture(easel, tenant.name, file_id, param)

    def earlier(job_id: str) -> Prompt:
        request = easel.lifecycle.find(tenant.name, job_id).request
        if request.said is None:
            raise InvalidRequest(
                f"The prompt of {job_id} is not kept, only a digest of it; send all of yours.",
                param="prompt",
            )
        return Prompt(text=request.prompt, parts=request.parts)

    return Tenancy(tenant, locate, lambda image: _read(easel, image), earlier)


def _upload(easel: Easel, tenant: str, file_id: str, param: str) -> Image:
    """Return an upload, as far as its beginning tells. Raises NotFound, Gone, InvalidRequest."""
    kept_seconds = easel.settings.retention_days * 86_400
    if easel.clock() > (uploads.created_at(file_id) or 0) + kept_seconds:
        raise Gone(
            f"{file_id} is not kept any longer; upload it again.", code="input_expired", param=param
        )
    key = uploads.key(tenant, file_id)
    found = easel.bucket.find(key, first=BEGINNING_BYTES)
    if found is None:
        raise NotFound(
            f"Nothing was uploaded as {file_id}: post the file to the 'url' that POST /v1/inputs "
            "gave, with its 'fields'.",
            param=param,
        )
    return begun(found.data, found.length, key, found.etag, param)


def _picture(easel: Easel, tenant: str, file_id: str, param: str) -> Image:
    """Return a picture that Easel made. Raises InvalidRequest, NotFound, Gone."""
    job_id, _, index = file_id.partition("/")
    if not (index.isascii() and index.isdecimal() and len(index) < 3):
        raise InvalidRequest(
            "A 'file_id' is one that POST /v1/inputs gave, or '{job id}/{index of the image}'.",
            param=param,
        )
    job = easel.lifecycle.find(tenant, job_id)
    made = job.answer.images if job.answer else ()
    if int(index) >= len(made):
        raise InvalidRequest(f"{job_id} has {len(made)} images.", param=param)
    if job.expired(easel.clock(), easel.settings.retention_days):
        raise job.gone()
    return made[int(index)]


def _read(easel: Easel, image: Image) -> bytes:
    try:
        return easel.bucket.get(image.key)
    except KeyError:
        raise Gone(
            "An input image is not kept any longer.", code="input_expired", param="image"
        ) from None
