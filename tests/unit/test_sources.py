"""A job's inputs on this machine: brought once, and checked before anything is paid."""

from __future__ import annotations

from functools import cache
from typing import IO

import pytest

from easel.aws import clients
from easel.aws.bucket import Bucket
from easel.errors import Gone, InvalidRequest
from easel.inputs import Image, begun
from easel.sources import Sources
from tests.unit.examples import picture, request

PNG, MASK = picture(), picture(mode="RGBA")


@pytest.fixture
def bucket(environ: dict[str, str]) -> Bucket:
    return Bucket(cache(clients.s3), environ["BUCKET"])


def uploaded(bucket: Bucket, key: str, data: bytes) -> Image:
    bucket.put(key, data, "image/png")
    found = bucket.find(key, first=48)
    assert found
    return begun(found.data, found.length, key, found.etag, "image")


def read(files: dict[str, IO[bytes]]) -> dict[str, bytes]:
    for file in files.values():
        file.seek(0)
    return {key: file.read() for key, file in files.items()}


def test_every_input_is_brought_once(bucket: Bucket) -> None:
    image = uploaded(bucket, "inputs/demo/a", PNG)
    mask = uploaded(bucket, "inputs/demo/m", MASK)
    asked = request(operation="edit", images=(image, image), mask=mask)
    with Sources(bucket, asked) as sources:
        files = sources.opened()
        assert read(dict(files)) == {image.key: PNG, mask.key: MASK}
        bucket.client.delete_object(Bucket=bucket.name, Key=image.key)
        assert sources.opened() is files
    assert all(file.closed for file in files.values())


def test_an_upload_that_only_begins_well_is_refused(bucket: Bucket) -> None:
    image = uploaded(bucket, "inputs/demo/b", PNG[:-20])
    with (
        Sources(bucket, request(operation="edit", images=(image,))) as sources,
        pytest.raises(InvalidRequest) as caught,
    ):
        sources.opened()
    assert (caught.value.code, caught.value.param) == ("invalid_image_file", "images[0]")


def test_a_mask_is_held_against_the_upload(bucket: Bucket) -> None:
    image = uploaded(bucket, "inputs/demo/c", PNG)
    for bad in (picture(8, 8, mode="RGBA"), PNG):
        mask = uploaded(bucket, "inputs/demo/n", bad)
        asked = request(operation="edit", images=(image,), mask=mask)
        with Sources(bucket, asked) as sources, pytest.raises(InvalidRequest) as caught:
            sources.opened()
        assert caught.value.param == "mask"


@pytest.mark.parametrize("fate", ["deleted", "replaced"])
def test_what_was_looked_at_must_still_be_there(bucket: Bucket, fate: str) -> None:
    image = uploaded(bucket, f"inputs/demo/{fate}", PNG)
    if fate == "deleted":
        bucket.client.delete_object(Bucket=bucket.name, Key=image.key)
    else:
        bucket.put(image.key, MASK, "image/png")
    with (
        Sources(bucket, request(operation="edit", images=(image,))) as sources,
        pytest.raises(Gone) as caught,
    ):
        sources.opened()
    assert caught.value.code == "input_expired"
