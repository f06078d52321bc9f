"""What a call may refer to by ``file_id``: the tenant's own, while it is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from easel import bootstrap, uploads
from easel.bootstrap import Easel
from easel.doors.references import tenancy
from easel.errors import EaselError
from easel.inputs import Image
from easel.settings import Settings
from easel.tenants import Tenant
from tests.unit.examples import picture

PNG = picture()


@pytest.fixture(scope="module")
def easel(environ: dict[str, str]) -> Easel:
    return bootstrap.build(Settings.from_env(environ))


def uploaded(easel: Easel, data: bytes, tenant: str = "demo") -> str:
    file_id = uploads.new_id(easel.clock())
    easel.bucket.put(uploads.key(tenant, file_id), data, "image/png")
    return file_id


def located(easel: Easel, file_id: str, tenant: str = "demo") -> Image:
    return tenancy(easel, Tenant(name=tenant)).locate(file_id, "images")


def refused(easel: Easel, file_id: str, tenant: str = "demo") -> tuple[int, str, str | None]:
    with pytest.raises(EaselError) as caught:
        located(easel, file_id, tenant)
    return caught.value.status, caught.value.code, caught.value.param


def test_an_upload_is_known_by_its_beginning(easel: Easel) -> None:
    file_id = uploaded(easel, PNG)
    image = located(easel, file_id)
    assert (image.key, image.kind, image.bytes) == (f"inputs/demo/{file_id}", "png", len(PNG))
    assert image.etag
    assert image.sha256 is None
    assert tenancy(easel, Tenant(name="demo")).read(image) == PNG


def test_an_upload_is_its_tenants_alone(easel: Easel) -> None:
    file_id = uploaded(easel, PNG, "other")
    assert refused(easel, file_id) == (404, "not_found", "images")
    never = uploads.new_id(easel.clock())
    assert refused(easel, never) == (404, "not_found", "images")


def test_an_upload_that_is_no_picture_is_refused(easel: Easel) -> None:
    for bad in (b"", b"MZ", picture(kind="gif")):
        assert refused(easel, uploaded(easel, bad)) == (400, "invalid_image_file", "images")


def test_an_upload_past_its_retention_is_gone_whatever_the_bucket_does(easel: Easel) -> None:
    file_id = uploaded(easel, PNG)
    later = easel.clock() + easel.settings.retention_days * 86_400 + 1
    assert refused(replace(easel, clock=lambda: later), file_id) == (410, "input_expired", "images")


@pytest.mark.parametrize(
    "other", ["", "file-1", "../x", "job_1", "job_1/", "job_1/\u0661", "job_1/999"]
)
def test_other_ids_are_refused(easel: Easel, other: str) -> None:
    assert refused(easel, other) == (400, "invalid_value", "images")


def test_an_unknown_job_is_not_found(easel: Easel) -> None:
    assert refused(easel, "job_1/0")[:2] == (404, "job_not_found")
