"""A manifest names its pictures by their paths from its own folder, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from easel import manifest
from easel.errors import InvalidRequest, RequestTooLarge

KEY = "inbox/demo/pets/two cats.json"


def read(**fields: Any) -> manifest.Manifest:
    return manifest.read(json.dumps(fields).encode(), KEY)


def test_names_become_keys_and_the_rest_is_a_json_edits_body() -> None:
    made = read(
        prompt={"subject": "cats"},
        images=["a cat.png", {"file_id": "file-1"}, "b/c+%2F.png", "a cat.png"],
        mask="m.png",
        n=2,
    )
    assert made.operation == "edit"
    assert made.fields == {
        "prompt": {"subject": "cats"},
        "images": [
            {"file_id": "inbox/demo/pets/a cat.png"},
            {"file_id": "file-1"},
            {"file_id": "inbox/demo/pets/b/c+%2F.png"},
            {"file_id": "inbox/demo/pets/a cat.png"},
        ],
        "mask": {"file_id": "inbox/demo/pets/m.png"},
        "n": 2,
    }
    assert made.pictures == (
        "inbox/demo/pets/a cat.png",
        "inbox/demo/pets/b/c+%2F.png",
        "inbox/demo/pets/m.png",
    )


def test_what_only_a_caller_could_hear_is_dropped() -> None:
    made = read(operation="variation", quote=True, stream=True, response_format="url", images=[])
    assert (made.operation, made.fields) == ("variation", {"images": []})


@pytest.mark.parametrize("given", [f"job_{'0' * 35}/0", f"file-{'0' * 35}"])
def test_an_id_is_no_name(given: str) -> None:
    """It would wait for a file in vain."""
    for fields in ({"images": [given]}, {"images": ["cat.png"], "mask": given}):
        with pytest.raises(InvalidRequest, match="file_id"):
            read(prompt="x", **fields)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert manifest.read('\ufeff{"prompt": "x"}'.encode(), KEY).fields == {"prompt": "x"}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe\xff", b"[" * 99999])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a JSON object"):
        manifest.read(data, KEY)


def test_a_large_one_is_refused() -> None:
    with pytest.raises(RequestTooLarge):
        manifest.read(b" " * (manifest.MAX_BYTES + 1), KEY)


@pytest.mark.parametrize("operation", ["generate", "", None, 1, ["edit"]])
def test_another_operation_is_refused(operation: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(operation=operation)
    assert refused.value.param == "operation"


@pytest.mark.parametrize("param", ["images", "mask", "markup"])
@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../cat.png", "a/../../b.png", "a//b.png", "./cat.png", "a/"),
        *(
            "/cat.png",
            "/inbox/other/cat.png",
            "inbox/other/cat.png",
            "s3://bucket/inbox/demo/c.png",
        ),
        *("x" * 1024, "\ud800.png"),
    ],
)
def test_a_name_that_is_no_plain_path_is_refused(param: str, name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**{param: [name] if param == "images" else name})
    assert refused.value.param == param


@pytest.mark.parametrize("images", [None, 1, "cat.png", {}, [None, 1, []]])
def test_what_is_no_list_of_names_is_left_for_the_reader_to_refuse(images: Any) -> None:
    assert "images" in read(images=images).fields
