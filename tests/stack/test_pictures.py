"""Pictures through openai-python: every URL fetched, every picture measured."""

import asyncio
import base64
from io import BytesIO
from typing import Any

import pytest
from openai.types import ImagesResponse
from PIL import Image

from tests.stack.running import Running, decoded, fetched, png, unique

RED, BLUE = (200, 40, 40), (40, 40, 200)
CAT = ("cat.png", png(color=RED))


def check(
    running: Running,
    made: ImagesResponse,
    *,
    n: int = 1,
    size: str = "1024x1024",
    response_format: str | None = None,
    model: str = "gpt-image-2.5-flare",
) -> list[bytes]:
    """Hold an answer against the pictures behind it and the ledger; return the pictures."""
    pictures = []
    for image in made.data or []:
        assert (image.url is None) == (response_format == "b64_json")
        assert (image.b64_json is None) == (response_format == "url")
        copies = {fetched(image.url)} if image.url else set()
        copies |= {base64.b64decode(image.b64_json)} if image.b64_json else set()
        (data,) = copies
        picture = decoded(data)
        assert picture.format == "PNG"
        assert "{}x{}".format(*picture.size) == size == made.size
        extra: dict[str, Any] = image.model_extra or {}
        assert (extra["width"], extra["height"], extra["bytes"]) == (*picture.size, len(data))
        pictures.append(data)
    assert len(set(pictures)) == n
    extra = made.model_extra or {}
    assert extra["model"] == model
    (charge,) = running.charges(extra["id"])
    assert extra["cost_usd"] == float(charge["amount"]) / 1_000_000 > 0
    return pictures


@pytest.mark.parametrize(
    ("n", "size", "response_format"),
    [
        (1, "1024x1024", "url"),
        (2, "1536x1024", "b64_json"),
        (3, "1024x1536", None),
        (2, "256x256", None),
        (1, "1792x1024", "url"),
    ],
)
def test_generate(running, n, size, response_format):
    given = {"response_format": response_format} if response_format else {}
    made = running.client.images.generate(prompt=unique("a fox"), n=n, size=size, **given)
    check(running, made, n=n, size=size, response_format=response_format)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # create_variation
def test_all_three_operations_with_the_asynchronous_client(running):
    async def make() -> list[ImagesResponse]:
        async with running.openai_async() as client:
            images = client.images
            return await asyncio.gather(
                images.generate(prompt=unique("a fox"), n=2, size="1536x1024"),
                images.edit(image=CAT, prompt=unique("a hat"), response_format="url"),
                images.create_variation(image=CAT, size="512x512"),
            )

    generated, edited, varied = asyncio.run(make())
    check(running, generated, n=2, size="1536x1024")
    check(running, edited, response_format="url")
    check(running, varied, size="512x512")


@pytest.mark.parametrize(
    ("image", "fields"),
    [
        (CAT, ["image"]),
        (CAT[1], ["image"]),
        ([CAT, ("hat.png", png(640, 480, BLUE))], ["image[]", "image[]"]),
    ],
    ids=["one", "raw bytes", "several"],
)
def test_edit(running, image, fields):
    prompt = unique("give it a hat")
    check(running, running.client.images.edit(image=image, prompt=prompt))
    (call,) = running.standin.calls(containing=prompt)
    assert [sent["field"] for sent in call["inputs"]] == fields
    assert {sent["content_type"] for sent in call["inputs"]} == {"image/png"}


def test_a_mask_says_where_an_edit_may_paint(running):
    mask = Image.new("RGBA", (1024, 1024), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (512, 0, 1024, 1024))
    mask.save(encoded := BytesIO(), "PNG")
    made = running.client.images.edit(
        image=CAT, mask=encoded.getvalue(), prompt=unique("a hat"), size="1024x1024"
    )
    (picture,) = check(running, made)
    assert decoded(picture).getpixel((10, 10)) == RED
    assert decoded(picture).getpixel((1000, 10)) != RED


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # create_variation
def test_variation(running):
    made = running.client.images.create_variation(image=CAT[1], n=2, size="256x256")
    check(running, made, n=2, size="256x256")


def test_an_edit_in_json_by_data_url_and_by_the_id_of_a_made_picture(running):
    def edit(**reference: str) -> ImagesResponse:
        body = {"prompt": unique("a hat"), "images": [reference], "size": "1024x1024"}
        return running.client.post("/images/edits", body=body, cast_to=ImagesResponse)

    url = f"data:image/png;base64,{base64.b64encode(CAT[1]).decode()}"
    first = edit(image_url=url)
    (kept,) = check(running, first)
    (again,) = check(running, edit(file_id=f"{first.model_extra['id']}/0"))
    # The stand-in paints the lower quarter only: what is above it came from the picture named.
    for picture in (kept, again):
        assert decoded(picture).getpixel((10, 10)) == RED


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [
        ("dall-e-2", "gpt-image-2.5-flare"),
        ("dall-e-3", "gpt-image-2.5-flare"),
        ("gpt-image-1", "gpt-image-2.5-flare"),
        ("gpt-image-2.5-sunburst-2026-09-08", "gpt-image-2.5-sunburst"),
        ("gpt-image-2.6-flare", "gpt-image-2.6-flare"),
    ],
)
def test_the_reply_says_what_a_models_name_stands_for(running, asked, resolved):
    prompt = unique("a fox")
    made = running.client.images.generate(
        model=asked, prompt=prompt, quality="standard", size="1024x1024", response_format="b64_json"
    )
    check(running, made, response_format="b64_json", model=resolved)
    (call,) = running.standin.calls(containing=prompt)
    assert (call["model"], call["parameters"]["quality"]) == (resolved, "medium")
