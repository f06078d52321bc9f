"""multipart/form-data, as clients really send it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import InvalidRequest
from easel.forms import MAX_PARTS, Upload, parse

TYPE = "multipart/form-data; boundary=XX"
PNG = b"\x89PNG\r\n\x1a\n\0\xff\r\n--X\r\n"


def part(disposition: str, data: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers, "", ""]
    return b"--XX\r\n" + "\r\n".join(lines).encode() + data + b"\r\n"


def body(*parts: bytes, end: bytes = b"--XX--\r\n") -> bytes:
    return b"".join(parts) + end


def refused(data: bytes, content_type: str = TYPE) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(data, content_type)
    assert caught.value.status == 400
    return caught.value


def test_what_the_sdk_sends() -> None:
    form = parse(
        body(
            part('name="prompt"', "a cät".encode()),
            part('name="n"', b"2"),
            part('name="image[]"; filename="a.png"', PNG, "Content-Type: image/png"),
            part(
                'name="image[]"; filename="upload"', b"", "Content-Type: application/octet-stream"
            ),
        ),
        TYPE,
    )
    assert form.fields == {"prompt": ["a cät"], "n": ["2"]}
    assert form.files == {
        "image[]": [
            Upload("image[]", "a.png", "image/png", PNG),
            Upload("image[]", "upload", "application/octet-stream", b""),
        ]
    }


@pytest.mark.parametrize("name", ["image", "image[]", "image[0]", "mask", "markup"])
def test_an_image_without_a_filename_is_still_a_file(name: str) -> None:
    for headers in ([], ["Content-Type: application/octet-stream"]):
        form = parse(body(part(f'name="{name}"', PNG, *headers)), TYPE)
        assert [upload.data for upload in form.files[name]] == [PNG]
        assert form.files[name][0].filename is None
        assert form.fields == {}


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ('filename="a.png"; name="image"', "image", "a.png"),
        ("name=image; filename=a.png", "image", "a.png"),
        ("name=\"image\"; filename*=utf-8''na%C3%AFve%20cat.png", "image", "naïve cat.png"),
        ('name="image"; filename="x"; filename*=UTF-8\'en\'%E2%82%AC.png', "image", "€.png"),
        ("name*=utf-8''image%5B%5D; filename=\"a\"", "image[]", "a"),
        ("filename*=iso-8859-1''%E9.png; name*=us-ascii''mask", "mask", "é.png"),
        ('name="image"; filename="a; name*=utf-8\'\'no.png"', "image", "a; name*=utf-8''no.png"),
        ('name="image"; filename="a \\"b\\".png"', "image", 'a "b".png'),
        ('name="image"; filename="%22.png"', "image", '".png'),
        ('NAME="image"; FileName="ä.png"', "image", "ä.png"),
    ],
)
def test_names_in_every_spelling(disposition: str, name: str, filename: str) -> None:
    form = parse(body(part(disposition, PNG)), TYPE)
    assert form.files == {name: [Upload(name, filename, None, PNG)]}


def test_fields_before_and_after_files_and_repeated() -> None:
    files = [part(f'name="image"; filename="{index}"', b"%d" % index) for index in range(16)]
    fields = [part('name="tag"', b"%d" % index) for index in range(4)]
    form = parse(body(*fields[:2], *files, *fields[2:]), TYPE)
    assert form.fields == {"tag": ["0", "1", "2", "3"]}
    assert [upload.data for upload in form.files["image"]] == [b"%d" % index for index in range(16)]


@pytest.mark.parametrize("end", [b"--XX--", b"--XX--\r\n", b"--XX--\r\n\r\nan epilogue"])
def test_the_end_in_every_spelling(end: bytes) -> None:
    assert parse(body(part('name="a"', b"1"), end=end), TYPE).fields == {"a": ["1"]}


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="----=_Part_1:2"',
        "Multipart/Form-Data;BOUNDARY=----=_Part_1:2",
        "multipart/form-data; charset=utf-8; boundary=----=_Part_1:2; other=1",
    ],
)
def test_the_boundary_in_every_spelling(content_type: str) -> None:
    data = body(part('name="a"', b"1")).replace(b"--XX", b"------=_Part_1:2")
    assert parse(data, content_type).fields == {"a": ["1"]}


def test_a_file_that_was_not_chosen_is_no_file() -> None:
    form = parse(body(part('name="mask"; filename=""', b"")), TYPE)
    assert (form.fields, form.files) == ({}, {})


def test_an_empty_form_is_a_form() -> None:
    assert parse(b"--XX--\r\n", TYPE).fields == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "text/plain; boundary=XX",
        "boundary=XX",
        "multipart/mixed",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\udc80",
    ],
)
def test_without_a_boundary_the_header_is_named(content_type: str) -> None:
    assert "multipart/form-data; boundary=" in refused(b"--XX--\r\n", content_type).message


SOUND = body(part('name="image"; filename="a"', PNG), part('name="n"', b"1"), end=b"--XX--")


@pytest.mark.parametrize("length", range(len(SOUND)))
def test_a_truncated_body_is_refused(length: int) -> None:
    assert "--boundary--" in refused(SOUND[:length]).message


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (body(part('name="a"', b"1")).replace(b"\r\n", b"\n"), "CRLF"),
        (body(b"--XX\r\nContent-Type: text/plain\r\n\r\n1\r\n"), "Content-Disposition"),
        (body(b"--XX\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n"), "Disposition"),
        (body(part('filename="a"', b"1")), "needs a name"),
        (body(part('name=""', b"1")), "needs a name"),
        (body(part("name*=utf-8''%FF; filename=\"a\"", b"1")), "RFC 2231"),
        (body(part('name="a"', b"1").replace(b'"a"', b'"\xff"')), "UTF-8"),
        (body(part('name="a"', b"1", "X: " + "y" * 5000)), "limits"),
        (body(part('name="a"', b"1", *["X: y"] * 20)), "limits"),
        (body(*[part('name="a"', b"1")] * (MAX_PARTS + 1)), f"at most {MAX_PARTS} parts"),
        (b'{"prompt": "a cat"}', "boundary"),
    ],
)
def test_a_bad_body_says_what_would_be_right(data: bytes, hint: str) -> None:
    assert hint in refused(data).message


def test_as_many_parts_as_the_limit_pass() -> None:
    form = parse(body(*[part('name="a"', b"1")] * MAX_PARTS), TYPE)
    assert len(form.fields["a"]) == MAX_PARTS


def test_a_field_that_is_not_text_is_named() -> None:
    error = refused(body(part('name="prompt"', b"\xff\xfe")))
    assert error.param == "prompt"
    assert "UTF-8" in error.message


@given(st.binary(), st.text(max_size=60))
def test_random_bodies_are_answered(data: bytes, content_type: str) -> None:
    for each in (TYPE, content_type, "multipart/form-data; boundary=" + content_type):
        with contextlib.suppress(InvalidRequest):
            assert parse(data, each).fields is not None


PIECES = [
    b"--XX",
    b"--XX\r\n",
    b"--XX--",
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b"a",
    b"\n",
    b"=",
    b";",
    b"'",
]
HEADS = [b"Content-Disposition: form-data; name=", b'"image"', b"filename*=utf-8''%41", b"name*="]


@given(st.lists(st.sampled_from(PIECES + HEADS) | st.binary(max_size=3), max_size=30))
def test_random_arrangements_are_answered(pieces: list[bytes]) -> None:
    with contextlib.suppress(InvalidRequest):
        form = parse(b"".join(pieces), TYPE)
        assert all(name for name in (*form.fields, *form.files))


@given(
    st.lists(st.tuples(st.sampled_from(["a", "image", "b[]"]), st.binary(max_size=80)), max_size=20)
)
def test_what_is_written_is_read(parts: list[tuple[str, bytes]]) -> None:
    data = body(*(part(f'name="{name}"; filename="f"', content) for name, content in parts))
    files = parse(data, TYPE).files
    for name in {name for name, _ in parts}:
        expected = [content for each, content in parts if each == name]
        assert [upload.data for upload in files[name]] == expected
