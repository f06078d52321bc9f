"""JSON and forms become fields and input images."""

from __future__ import annotations

import json
from datetime import date

import pytest

from easel.catalogue import Catalogue
from easel.doors.bodies import parse
from easel.errors import InvalidRequest
from easel.inputs import Inputs
from easel.prompt import Prompt
from easel.requests import Reader, Tenancy
from easel.settings import Settings
from tests.unit.examples import DEMO, image

READER = Reader(Catalogue.load(), Settings())
NOBODY = Tenancy(DEMO, lambda *_: image(), lambda _: b"", lambda _: Prompt(text="x"))
FORM = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes]) -> bytes:
    bodies = (
        f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts
    )
    return b"".join(bodies) + b"--XX--\r\n"


def refused(body: bytes, content_type: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(READER, body, content_type)
    return caught.value


@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain; charset=utf-8"])
def test_what_is_no_form_is_json(content_type: str) -> None:
    fields = {"prompt": "é", "n": 2, "future": [None]}
    assert parse(READER, json.dumps(fields).encode(), content_type) == (fields, Inputs())
    assert parse(READER, json.dumps(fields, ensure_ascii=False).encode(), content_type)[0] == fields


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe{", b"[" * 100_000, b"1" * 5_000]
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refused(body, "application/json").status == 400


@pytest.mark.parametrize(
    "value", [b"1", b"{}", b"[]", b'""', b'{"file_id":1}'], ids=lambda value: value.decode()
)
@pytest.mark.parametrize("name", [b"images", b"later", b"n"])
def test_more_values_than_a_request_can_keep_are_not_even_looked_at(
    name: bytes, value: bytes
) -> None:
    body = b'{"prompt":"x","%s":[%s]}' % (name, b",".join([value] * 1_000_000))
    assert "values" in refused(body, "application/json").message


def test_of_many_wrong_values_the_first_is_named() -> None:
    """Each one's error would cost some 900 bytes."""
    for fields in ({"images": [1] * 100_000}, {"prompt": {"subject": "x", "details": [1] * 9999}}):
        given, inputs = parse(READER, json.dumps(fields).encode(), "")
        with pytest.raises(InvalidRequest) as caught:
            READER.read("edit", NOBODY, given, inputs, today=date(2026, 11, 22))
        assert caught.value.param == next(iter(fields))


def test_a_forms_texts_are_typed_and_its_files_are_inputs() -> None:
    body = form(("prompt", b"2"), ("n", b"2"), ("image", b"A"), ("mask", b"M"), ("markup", b"K"))
    assert parse(READER, body, FORM) == (
        {"prompt": "2", "n": 2},
        Inputs(images=(b"A",), mask=b"M", markup=b"K"),
    )


def test_several_images_keep_their_order() -> None:
    body = form(("image[]", b"A"), ("prompt", b"x"), ("image[]", b"B"), ("image[]", b"C"))
    assert parse(READER, body, FORM)[1].images == (b"A", b"B", b"C")


def test_image_repeated_is_a_list_too() -> None:
    assert parse(READER, form(("image", b"A"), ("image", b"B")), FORM)[1].images == (b"A", b"B")


def test_php_numbers_its_images() -> None:
    """Its arrays' keys are unique."""
    body = form(("image[0]", b"A"), ("prompt", b"x"), ("image[1]", b"B"), ("image[10]", b"C"))
    assert parse(READER, body, FORM)[1].images == (b"A", b"B", b"C")


@pytest.mark.parametrize("name", ["image[a]", "image[0][0]", "mask[]", "markup[0]"])
def test_a_file_of_another_name_is_not_left_out(name: str) -> None:
    error = refused(form(("image", b"A"), (name, b"B")), FORM)
    assert (error.code, error.param) == ("unknown_parameter", name)


@pytest.mark.parametrize("name", ["images", "reference", "prompt"])
def test_nor_is_one_of_a_fields_name(name: str) -> None:
    file = f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\nA\r\n'
    error = refused(file.encode() + form(("image", b"A")), FORM)
    assert (error.code, error.param) == ("unknown_parameter", name)


def test_a_list_that_a_form_cannot_say_is_refused() -> None:
    assert parse(READER, form(("tags[]", b"a")), FORM)[0] == {"tags[]": "a"}
    assert refused(form(("tags[]", b"a"), ("tags[]", b"b")), FORM).param == "tags[]"


@pytest.mark.parametrize(
    "text",
    [
        '{"subject": "a fox", "camera": "35mm"}',
        '{"subject": "a fox", "style": ["oil", "pastel"]}',
        '{"from": "day", "to": "night"}',
        '{"scene": "a fox"}',
        '["a fox"]',
        '{"subject": ',
    ],
)
def test_json_of_a_writers_own_is_a_text(text: str) -> None:
    assert parse(READER, form(("prompt", text.encode())), FORM)[0] == {"prompt": text}


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": "a fox", "avoid": ["snow"]},
        {"from": "job_1", "add": ["snow"]},
        {"from": "job_1", "add": "snow"},
    ],
)
def test_parts_are_parts_in_a_form_too(parts: dict[str, object]) -> None:
    assert parse(READER, form(("prompt", json.dumps(parts).encode())), FORM)[0] == {"prompt": parts}


def test_the_last_of_equal_fields_counts() -> None:
    assert parse(READER, form(("n", b"1"), ("n", b"2")), FORM)[0] == {"n": 2}


@pytest.mark.parametrize("name", ["mask", "markup"])
def test_there_is_one_mask(name: str) -> None:
    assert refused(form((name, b"A"), (name, b"B")), FORM).param == name


def test_the_case_of_the_type_does_not_matter() -> None:
    content_type = FORM.replace("multipart/form-data", "Multipart/Form-Data")
    assert parse(READER, form(("n", b"1")), content_type)[0] == {"n": 1}


def test_a_form_that_cannot_be_read_is_refused() -> None:
    assert refused(b"--XX\r\nnonsense", FORM).status == 400
    assert refused(b"", "multipart/form-data").status == 400
