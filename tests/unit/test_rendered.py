"""Upstream's answer is read as it arrives, however it is cut; a part of it is none."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.errors import UpstreamUnknown
from easel.rendered import Rendered, Said

texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.sampled_from(["b64_json", '"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
pictures = st.lists(st.binary(max_size=40), min_size=1, max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, list[bytes], list[str | None]]:
    """An answer as JSON, its images, and its revised prompts: in any order, spaced anyhow."""
    images, prompts, data = draw(pictures), list[str | None](), []
    for image in images:
        text = base64.b64encode(image).decode()
        datum = {"b64_json": text, **draw(st.dictionaries(texts, values, max_size=2))}
        if draw(st.booleans()):
            datum["revised_prompt"] = draw(texts)
        prompts.append(datum.get("revised_prompt"))
        data.append(dict(draw(st.permutations(list({**datum, "b64_json": text}.items())))))
    said: dict[str, Any] = draw(st.dictionaries(texts, values, max_size=3))
    said |= {"created": 7, "data": data, "usage": {"input_tokens": 3}}
    ordered = dict(draw(st.permutations(list(said.items()))))
    indent, ascii_only = draw(st.sampled_from([None, 0, 2])), draw(st.booleans())
    whole = json.dumps(ordered, indent=indent, ensure_ascii=ascii_only)
    if draw(st.booleans()):
        whole = whole.replace("/", "\\/")
    return whole.encode(errors="surrogatepass"), images, prompts


def pieces(data: bytes, ends: Iterable[int]) -> Iterator[bytes]:
    began = 0
    for end in (*sorted(ends), len(data)):
        yield data[began:end]
        began = end


def read(chunks: Iterable[bytes]) -> tuple[list[bytes], Said]:
    rendered = Rendered(chunks)
    return list(rendered.pictures()), rendered.said


@given(answers(), st.lists(st.integers(0, 400), max_size=12))
def test_it_is_the_same_however_it_is_cut(
    answer: tuple[bytes, list[bytes], list[str | None]], ends: list[int]
) -> None:
    data, images, prompts = answer
    made, said = read(pieces(data, ends))
    assert made == images
    assert (said.created, said.usage) == (7, {"input_tokens": 3})
    told = [text and text.encode(errors="replace").decode() for text in prompts]
    assert [datum.revised_prompt for datum in said.data] == told


@given(answers(), st.data())
def test_a_part_of_it_is_none(
    answer: tuple[bytes, list[bytes], list[str | None]], data: st.DataObject
) -> None:
    whole, images, _ = answer
    end = data.draw(st.integers(0, len(whole) - 1))
    rendered, taken = Rendered([whole[:end]]), list[bytes]()
    with pytest.raises(UpstreamUnknown):
        taken.extend(rendered.pictures())
    assert taken == images[: len(taken)]
    with pytest.raises(RuntimeError):
        _ = rendered.said


def test_an_image_is_handed_over_before_the_next_has_arrived() -> None:
    arrived = []

    def arriving() -> Iterator[bytes]:
        for piece in (b'{"data":[{"b64_json":"QQ==', b'"},{"b64_json":"Qg=="}', b'],"created":1}'):
            arrived.append(piece)
            yield piece

    taken = Rendered(arriving()).pictures()
    assert (next(taken), len(arrived)) == (b"A", 2)
    assert (next(taken), len(arrived)) == (b"B", 2)
    assert (list(taken), len(arrived)) == ([], 3)


@pytest.mark.parametrize(
    "data",
    [
        b'{"created": 1, "data": [{"b64_json": "a"}]}',
        b'{"created": 1, "data": [{"b64_json": "?"}]}',
        '{"created": 1, "data": [{"b64_json": "é"}]}'.encode(),
        b'{"created": 1, "data": [{"b64_json": "\\u00e9"}]}',
        b'{"created": 1, "data": [{"b64_json": "QQ==", "b64_json": "QQ=="}]}',
        b'{"created": 1, "data": [{"b64_json": "QQ=="}, {"b64_json": null}]}',
        b'{"created": 1, "data": [{"b64_json": "QQ=="}, {"url": "x"}]}',
        b'{"created": 1, "other": {"b64_json": "QQ=="}, "data": [{"b64_json": "QQ=="}]}',
        b'{"created": 1, "data": [{"b64\\u005fjson": "QQ=="}]}',
        b"[" * 100_000,
        b'"b64_json":"QQ=="',
    ],
)
def test_what_is_no_answer_may_have_been_billed(data: bytes) -> None:
    with pytest.raises(UpstreamUnknown):
        read([data])


def test_of_many_large_images_two_are_in_memory_at_most() -> None:
    size = 3_000_000
    text = base64.b64encode(bytes(size))

    def arriving() -> Iterator[bytes]:
        yield b'{"created":1,"data":['
        for number in range(10):
            yield b',{"b64_json":"'[not number :]
            for at in range(0, len(text), 65_536):
                yield text[at : at + 65_536]
            yield b'"}'
        yield b"]}"

    tracemalloc.start()
    try:
        for image in Rendered(arriving()).pictures():
            assert len(image) == size
            del image
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3.5 * size, "one in base64, one decoded"
