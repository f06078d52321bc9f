"""The stand-in behaves as OpenAI does, and misbehaves as told: asked by OpenAI's own SDK."""

import asyncio
import base64
import io
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from PIL import Image, ImageChops

from local.standin import Control, Standin

FLARE, FLARE_26 = "gpt-image-2.5-flare", "gpt-image-2.6-flare"
SIZE = (1024, 1024)


@pytest.fixture(scope="module")
def standin():
    with Standin() as standin:
        yield standin


@pytest.fixture(autouse=True)
def fresh(standin):
    standin.reset()
    standin.rate(None)


@pytest.fixture(scope="module")
def client(standin):
    with OpenAI(
        api_key="sk-standin", base_url=standin.base_url, max_retries=0, timeout=20
    ) as client:
        yield client


def encoded(image, kind="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(size=SIZE, colour="navy", mode="RGB"):
    return encoded(Image.new(mode, size, colour))


def sent(data, kind="png", name="cat"):
    return (f"{name}.{kind}", data, f"image/{kind}")


def half_mask(size=SIZE):
    """Only the right half may be painted."""
    mask = Image.new("RGBA", size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (size[0] // 2, 0, *size))
    return mask


def pictures(response):
    return [base64.b64decode(image.b64_json) for image in response.data]


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def changed(before, after):
    """Return the box of what differs."""
    return ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox()


def refusal(call, **parameters):
    with pytest.raises(openai.APIStatusError) as caught:
        call(**{"prompt": "a cat", "model": FLARE, **parameters})
    error = caught.value
    assert error.request_id.startswith("req_")
    assert set(error.body) == {"message", "type", "param", "code"}
    return error.status_code, error.code, error.param


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-2.5", "gpt-5"])
def test_retired_and_unknown_models(client, model):
    assert refusal(client.images.generate, model=model) == (404, "model_not_found", None)


@pytest.mark.parametrize(
    ("model", "parameters", "code", "param"),
    [
        (FLARE, {"response_format": "b64_json"}, "unknown_parameter", "response_format"),
        (FLARE, {"style": "vivid"}, "unknown_parameter", "style"),
        (FLARE, {"extra_body": {"quote": True}}, "unknown_parameter", "quote"),
        (FLARE, {"extra_body": {"input_fidelity": "low"}}, "unknown_parameter", "input_fidelity"),
        (FLARE, {"size": "256x256"}, "invalid_value", "size"),
        (FLARE, {"size": "1000x1000"}, "invalid_value", "size"),
        (FLARE, {"size": "3072x1008"}, "invalid_value", "size"),
        (FLARE, {"size": "3856x2144"}, "invalid_value", "size"),
        (FLARE, {"size": "3840x2176"}, "invalid_value", "size"),
        (FLARE, {"size": "01024x1024"}, "invalid_value", "size"),
        (FLARE, {"size": "large"}, "invalid_value", "size"),
        ("gpt-image-1.5", {"size": "1536x864"}, "invalid_value", "size"),
        (FLARE, {"quality": "hd"}, "invalid_value", "quality"),
        ("gpt-image-2", {"quality": "max"}, "invalid_value", "quality"),
        (FLARE, {"n": 0}, "integer_below_min_value", "n"),
        (FLARE, {"n": 11}, "integer_above_max_value", "n"),
        (FLARE, {"extra_body": {"n": "2"}}, "invalid_type", "n"),
        (FLARE, {"prompt": "x" * 32_001}, "string_above_max_length", "prompt"),
        (FLARE, {"prompt": ""}, "missing_required_parameter", "prompt"),
        ("gpt-image-2", {"background": "transparent"}, "invalid_value", "background"),
        (FLARE, {"background": "transparent", "output_format": "jpeg"},
         "invalid_value", "background"),
        (FLARE, {"output_compression": 50}, "invalid_value", "output_compression"),
        (FLARE, {"output_format": "jpeg", "output_compression": 101},
         "integer_above_max_value", "output_compression"),
        (FLARE, {"output_format": "bmp"}, "invalid_value", "output_format"),
        (FLARE, {"output_format": "gif"}, "invalid_value", "output_format"),
        (FLARE, {"complexity": "low"}, "invalid_value", "complexity"),
        (FLARE, {"moderation": "none"}, "invalid_value", "moderation"),
        (FLARE, {"partial_images": 2}, "invalid_value", "partial_images"),
        (FLARE, {"frame_count": 4}, "invalid_value", "frame_count"),
        (FLARE_26, {"output_format": "gif", "frame_count": 17},
         "integer_above_max_value", "frame_count"),
        (FLARE_26, {"output_format": "gif", "stream": True}, "invalid_value", "stream"),
        (FLARE_26, {"output_format": "svg", "n": 2}, "invalid_value", "n"),
    ],
)  # fmt: skip
def test_refused_parameters(standin, client, model, parameters, code, param):
    answer = refusal(client.images.generate, model=model, **parameters)
    assert answer == (400, code, param)
    (call,) = standin.calls()
    assert (call["outcome"], call["status"], call["billed"]) == ("refused", 400, False)


def test_missing_prompt(standin, client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/images/generations", body={"model": FLARE}, cast_to=object)
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "prompt")


def test_a_shut_down_model_is_gone():
    with (
        Standin(today=date(2026, 12, 1)) as later,
        OpenAI(api_key="sk-standin", base_url=later.base_url, max_retries=0) as client,
    ):
        assert refusal(client.images.generate, model="gpt-image-1.5")[0] == 404
        assert "gpt-image-1.5" not in [model.id for model in client.models.list()]


def test_key(standin, client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-other").images.generate(prompt="a cat", model=FLARE)
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-other").models.list()
    assert standin.calls("a cat")[0]["status"] == 401


def test_variations_are_retired(client):
    with pytest.raises(openai.NotFoundError), pytest.warns(DeprecationWarning, match="deprecated"):
        client.images.create_variation(image=sent(png()))


def test_unknown_route(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/images/dreams", cast_to=object)
    assert caught.value.request_id


TRUNCATED = encoded(Image.effect_noise(SIZE, 90))[:200_000]


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({"image": png()}, "unsupported_file_mimetype", "image"),
        ({"image": [png(), png()]}, "unsupported_file_mimetype", "image[0]"),
        ({"image": sent(b"no picture")}, "invalid_image_file", None),
        ({"image": sent(b"")}, "invalid_image_file", None),
        ({"image": sent(TRUNCATED)}, "invalid_image_file", None),
        ({"image": sent(png(), "jpeg")}, "invalid_image_file", None),
        ({"image": sent(encoded(Image.new("L", SIZE), "gif"), "gif")},
         "unsupported_file_mimetype", "image"),
        ({"image": [sent(png((64, 64)))] * 17}, "array_above_max_length", "image"),
        ({"image": []}, "missing_required_parameter", "image"),
        ({"mask": sent(png())}, "invalid_image_file", "mask"),
        ({"mask": sent(png((512, 512), 0, "RGBA"))}, "invalid_image_file", "mask"),
        ({"mask": sent(encoded(half_mask(), "webp"), "webp")}, "invalid_image_file", "mask"),
        ({"mask": png()}, "unsupported_file_mimetype", "mask"),
        ({"mask": sent(png(SIZE, 0, "RGBA")), "markup": sent(png(SIZE, 0, "RGBA"))},
         "invalid_value", "markup"),
        ({"markup": sent(png(SIZE, "navy", "RGBA"))}, "invalid_value", "markup"),
        ({"markup": sent(png(SIZE, 0, "RGBA")), "model": "gpt-image-2"},
         "invalid_value", "markup"),
        ({"input_fidelity": "high"}, "invalid_value", "input_fidelity"),
        ({"input_fidelity": "high", "model": "gpt-image-1-mini"},
         "invalid_value", "input_fidelity"),
        ({"response_format": "url"}, "unknown_parameter", "response_format"),
        ({"output_format": "gif", "model": FLARE_26, "mask": sent(png(SIZE, 0, "RGBA"))},
         "invalid_value", "mask"),
    ],
)  # fmt: skip
def test_refused_edits(standin, client, parameters, code, param):
    parameters = {"image": sent(png()), **parameters}
    assert refusal(client.images.edit, **parameters) == (400, code, param)
    assert not any(call["billed"] for call in standin.calls())


def test_a_mask_of_4_mb(client):
    noise = Image.merge("RGBA", [Image.effect_noise((1536, 1024), 200)] * 4)
    mask = encoded(noise, compress_level=0)
    assert len(mask) > 4 << 20
    answer = refusal(client.images.edit, image=sent(png(noise.size)), mask=sent(mask))
    assert answer == (400, "invalid_image_file", "mask")


def posted(standin, path, data, content_type):
    headers = {"Authorization": "Bearer sk-standin", "Content-Type": content_type}
    try:
        with urlopen(Request(f"{standin.base_url}/{path}", data, headers)) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def form(*parts):
    body = b""
    for name, value in parts:
        file = isinstance(value, bytes)
        body += f'--line\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += b'; filename="a.png"\r\nContent-Type: image/png' if file else b""
        body += b"\r\n\r\n" + (value if file else value.encode()) + b"\r\n"
    return body + b"--line--\r\n"


@pytest.mark.parametrize(
    ("parts", "code", "param"),
    [
        ([("image", png()), ("image", png())], "duplicate_parameter", "image"),
        ([("image", png()), ("image[]", png())], "duplicate_parameter", "image"),
        ([("n", "1"), ("n", "2"), ("image", png())], "duplicate_parameter", "n"),
        ([("svg", "x"), ("svg[a]", "y"), ("image", png())], "duplicate_parameter", "svg[a]"),
        ([("image", "a string")], "invalid_type", "image"),
        ([("photo", png())], "unknown_parameter", "photo"),
        ([("image", png()), ("n", "two")], "invalid_type", "n"),
        ([("image", png()), ("stream", "maybe")], "invalid_type", "stream"),
    ],
)  # fmt: skip
def test_refused_forms(standin, parts, code, param):
    data = form(("prompt", "a cat"), ("model", FLARE), *parts)
    status, body = posted(standin, "images/edits", data, "multipart/form-data; boundary=line")
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, code, param)


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff"])
def test_malformed_json(standin, data):
    assert posted(standin, "images/generations", data, "application/json")[0] == 400


def test_malformed_multipart(standin):
    broken = form(("prompt", "a cat")).replace(b"a cat", b"\xff")
    assert posted(standin, "images/edits", broken, "multipart/form-data; boundary=line")[0] == 400
    data = form(("prompt", "a cat"))[:-10]
    for content_type in ("multipart/form-data; boundary=line", "multipart/form-data", "text/plain"):
        assert posted(standin, "images/edits", data, content_type)[0] == 400


# --- what is painted ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
@pytest.mark.parametrize("size", ["1024x1024", "1536x864", "816x2448"])
def test_pictures_have_the_asked_kind_and_size(client, kind, size):
    response = client.images.generate(
        prompt="a cat in a hat", model=FLARE_26, size=size, output_format=kind
    )
    image = opened(pictures(response)[0])
    assert (image.format.lower(), "{}x{}".format(*image.size)) == (kind, size)
    assert (response.output_format, response.size) == (kind, size)


def letters(image):
    """Return how many pixels are as white as the ink."""
    return image.convert("L").point(lambda value: 255 * (value > 240)).histogram()[255]


def test_the_prompt_is_written_on_the_picture(client):
    def shown(prompt):
        response = client.images.generate(prompt=prompt, model=FLARE, n=2)
        return [opened(data) for data in pictures(response)]

    first, second = shown("a red cat")
    assert changed(first, second)
    assert changed(first, shown("a red cat")[0]) is None
    assert changed(first, shown("a red dog")[0])
    for image in (first, shown("word " * 6400)[0], shown("W" * 300)[0]):
        assert letters(image) > 20_000
        ink = image.convert("L").point(lambda value: 255 * (value > 240)).getbbox()
        assert min(ink[:2]) > 10
        assert max(ink[2:]) < 1014


def test_svg_says_the_prompt(client):
    response = client.images.generate(
        prompt="<cats> & dogs", model=FLARE_26, output_format="svg", size="1536x1024"
    )
    root = ElementTree.fromstring(pictures(response)[0])
    assert (root.get("width"), root.get("height")) == ("1536", "1024")
    assert "".join(root.itertext()) == "<cats>& dogs"
    assert response.svg_usage.total_tokens == 500


def test_gif_frames(client):
    response = client.images.generate(
        prompt="a cat", model=FLARE_26, output_format="gif",
        extra_body={"frame_count": 5, "frame_duration_ms": 120},
    )  # fmt: skip
    image = opened(pictures(response)[0])
    assert (image.n_frames, image.info["duration"]) == (5, 120)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_transparent_background(client, kind):
    response = client.images.generate(
        prompt="a cat", model=FLARE, background="transparent", output_format=kind
    )
    alpha = opened(pictures(response)[0]).getchannel("A")
    assert alpha.getextrema() == (0, 255)
    assert (alpha.getpixel((2, 2)), alpha.getpixel((512, 512))) == (0, 255)
    assert response.background == "transparent"


def test_compression_makes_smaller(client):
    large, small = (
        client.images.generate(
            prompt="a cat", model=FLARE, output_format="jpeg", output_compression=compression
        )
        for compression in (100, 10)
    )
    assert len(pictures(small)[0]) < len(pictures(large)[0])


def test_an_edit_paints_only_where_the_mask_is_transparent(client):
    photo = Image.effect_noise(SIZE, 80).convert("RGB")
    response = client.images.edit(
        image=sent(encoded(photo)), mask=sent(encoded(half_mask())), prompt="a cat", model=FLARE,
        size="1024x1024",
    )  # fmt: skip
    assert changed(photo, opened(pictures(response)[0])) == (512, 0, 1024, 1024)


def test_an_edit_without_a_mask_keeps_most_of_the_picture(client):
    photo = Image.new("RGB", (512, 768), "navy")
    images = [sent(encoded(photo, "jpeg", quality=95), "jpeg"), sent(png()), sent(png(), name="b")]
    response = client.images.edit(image=images, prompt="a cat", model=FLARE, size="1024x1536")
    edited = opened(pictures(response)[0])
    assert edited.size == (1024, 1536)
    assert edited.getpixel((500, 100)) == pytest.approx((0, 0, 128), abs=3)
    assert letters(edited.crop((0, 1152, 1024, 1536))) > 5_000


@pytest.mark.parametrize("kind", ["svg", "gif", "webp"])
def test_edits_of_every_kind(client, kind):
    response = client.images.edit(
        image=sent(png()), prompt="a cat", model=FLARE_26, output_format=kind
    )
    (data,) = pictures(response)
    if kind == "svg":
        link = ElementTree.fromstring(data)[0].get("href")
        assert opened(base64.b64decode(link.partition(",")[2])).size == SIZE
    else:
        assert opened(data).size == SIZE


def test_an_edit_keeps_transparency_if_asked(client):
    response = client.images.edit(
        image=sent(png(SIZE, (0, 0, 0, 0), "RGBA")), prompt="a cat", model=FLARE,
        background="transparent",
    )  # fmt: skip
    assert opened(pictures(response)[0]).getpixel((5, 5))[3] == 0


def test_json_edits(standin):
    link = "data:image/png;base64," + base64.b64encode(png((512, 512))).decode()
    parameters = {"prompt": "a cat", "model": FLARE, "moderation": "low", "n": None}
    images = [{"image_url": link}]
    body = json.dumps({**parameters, "images": images, "mask": {"image_url": link}}).encode()
    status, answer = posted(standin, "images/edits", body, "application/json")
    assert (status, answer["error"]["param"]) == (400, "mask")
    body = json.dumps({**parameters, "images": images}).encode()
    assert posted(standin, "images/edits", body, "application/json")[0] == 200
    call = standin.calls()[-1]
    assert [(entry["field"], entry["kind"], entry["width"]) for entry in call["inputs"]] == [
        ("images", "png", 512)
    ]
    for item in ({"file_id": "file-1"}, {"image_url": "https://example.com/a.png"}, {}, "cat",
                 {"image_url": "data:image/png;base64,?"}):  # fmt: skip
        body = json.dumps({**parameters, "images": [item]}).encode()
        assert posted(standin, "images/edits", body, "application/json")[0] == 400


def test_pictures_can_be_made_large(standin, client):
    standin.rule(image_bytes=2_500_000)
    response = client.images.generate(prompt="a cat", model=FLARE, n=2)
    for data in pictures(response):
        assert len(data) == 2_500_000
        assert opened(data).size == SIZE


# --- the answer and the bill ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "quality", "size", "tokens"),
    [
        ("gpt-image-2", "low", "1024x1024", 196),
        ("gpt-image-2", "medium", "1024x1024", 1756),
        ("gpt-image-2", "high", "1024x1024", 7024),
        (FLARE, "medium", "1024x1024", 439),
        (FLARE, "high", "1024x1024", 1756),
        (FLARE, "xhigh", "1024x1024", 3122),
        (FLARE, "max", "1024x1024", 7024),
        (FLARE_26, "high", "1024x1024", 1756),
        ("gpt-image-1.5", "low", "1536x1024", 400),
        ("gpt-image-1.5", "high", "1024x1536", 6240),
    ],
)  # fmt: skip
def test_usage_and_bill(standin, client, model, quality, size, tokens):
    response = client.images.generate(
        prompt="12345678", model=model, quality=quality, size=size, n=2
    )
    usage = response.usage
    assert usage.output_tokens == 2 * tokens
    assert usage.input_tokens == usage.input_tokens_details.text_tokens == 2 * 8
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert (response.quality, response.size) == (quality, size)
    (call,) = standin.calls("12345678")
    out = 32 if model == "gpt-image-1.5" else 30
    assert call["billed_micro_dollars"] == 2 * (8 * 5 + tokens * out)
    assert call["images"] == 2


def test_an_edit_pays_for_its_inputs(standin, client):
    response = client.images.edit(
        image=[sent(png()), sent(png((4096, 4096)))], prompt="12345678", model=FLARE, quality="low"
    )
    assert response.usage.input_tokens_details.image_tokens == 1024 + 1536
    assert standin.calls()[0]["billed_micro_dollars"] == 8 * 5 + 2560 * 8 + 196 * 30


def test_defaults_are_resolved_and_noted(standin, client):
    response = client.images.generate(prompt="a cat", user="u1")
    assert (response.size, response.quality) == ("1024x1024", "medium")
    assert (response.background, response.output_format) == ("opaque", "png")
    assert response.safety_identifier == "u1"
    assert opened(pictures(response)[0]).size == SIZE
    (call,) = standin.calls("a cat")
    assert call["omitted"] == ["model", "n", "size", "quality"]
    assert (call["model"], call["has_user"]) == ("gpt-image-2", True)


def test_calls(standin, client):
    client.images.edit(
        image=[sent(png(), name="one"), sent(png((64, 32)), name="two")],
        mask=sent(encoded(half_mask())), prompt="a blue cat", model=FLARE, n=1,
        extra_body={"svg": {}},
    )  # fmt: skip
    client.images.generate(prompt="a dog", model=FLARE)
    (call,) = standin.calls(containing="blue")
    assert (call["n"], call["path"], call["outcome"], call["status"]) == (
        1, "images/edits", "answered", 200,
    )  # fmt: skip
    assert call["parameters"] == {"prompt": "a blue cat", "model": FLARE, "n": "1"}
    assert call["started_at"] <= call["finished_at"] <= time.time()
    assert [(entry["field"], entry["filename"], entry["width"]) for entry in call["inputs"]] == [
        ("image[]", "one.png", 1024), ("image[]", "two.png", 64), ("mask", "cat.png", 1024),
    ]  # fmt: skip
    assert len(standin.calls()) == 2
    standin.reset()
    assert standin.calls() == []


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_stream(standin, client, operation):
    files = {"image": sent(png())} if operation == "edit" else {}
    stream = getattr(client.images, operation)(
        prompt="a cat", model=FLARE, quality="low", stream=True, partial_images=2, **files
    )
    with stream:
        events = list(stream)
    prefix = "image_edit" if operation == "edit" else "image_generation"
    assert [event.type for event in events] == [
        f"{prefix}.partial_image", f"{prefix}.partial_image", f"{prefix}.completed",
    ]  # fmt: skip
    assert opened(base64.b64decode(events[-1].b64_json)).size == SIZE
    assert events[-1].usage.output_tokens == 196 + 200
    assert standin.calls()[0]["billed"]


def test_models(client):
    found = {model.id: model.shutdown_date for model in client.models.list()}
    assert found[FLARE] is None
    assert found["gpt-image-1.5"] == "2026-12-01"
    assert "gpt-image-1" not in found


def test_moderations(standin, client):
    harmless, harmful = client.moderations.create(
        model="omni-moderation-latest", input=["a cat", "forbidden-violence"]
    ).results
    assert (harmless.flagged, harmful.flagged) == (False, True)
    assert harmful.categories.violence
    assert not harmful.categories.sexual
    assert len(harmful.categories.to_dict()) == 13
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="a cat", model="text-moderation-latest")
    for wrong in ([], [{"type": "video"}], None):
        with pytest.raises(openai.BadRequestError):
            client.post("/moderations", body={"input": wrong}, cast_to=object)
    assert standin.calls() == []
    assert len(standin.calls(path="moderations")) == 5


def shown(data):
    """Return a part of a moderation that is a picture."""
    link = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": link}}


def test_a_picture_is_judged_by_its_colour(standin, client):
    for colour, flagged in (((200, 40, 40), False), ((255, 0, 255), True)):
        (alone,) = client.moderations.create(input=[shown(png(colour=colour))]).results
        assert (alone.flagged, alone.categories.violence) == (flagged, flagged)
        text = {"type": "text", "text": "forbidden-sexual cat"}
        (mixed,) = client.moderations.create(input=[text, shown(png(colour=colour))]).results
        assert mixed.categories.sexual
        assert mixed.categories.violence == flagged
    made = client.images.generate(prompt="a magenta cat", model=FLARE)
    (judged,) = client.moderations.create(input=[shown(pictures(made)[0])]).results
    assert judged.flagged
    assert len(standin.calls("[image]", path="moderations")) == 5


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        (2 * [shown(png((8, 8)))], 400, "too_many_images"),
        ([shown(b"no picture")], 400, "invalid_image_file"),
        ([shown(png((5000, 5000)))], 400, "file_too_large"),
        ([shown(png((8, 8), (9, 9), "LA"))], 500, "server_error"),
    ],
    ids=["two", "none", "large", "grey with alpha"],
)
def test_what_moderation_cannot_look_at(standin, client, parts, status, code):
    with pytest.raises(openai.APIStatusError) as caught:
        client.moderations.create(input=parts)
    assert (caught.value.status_code, caught.value.code) == (status, code)


# --- what goes wrong on demand --------------------------------------------------------------


def test_a_rule_refuses_so_many_times(standin, client):
    standin.rule(
        containing="busy", times=2, status=429, code="slow_down", type="rate_limit_error",
        message="please slow down", headers={"retry-after": "7"},
    )  # fmt: skip
    client.images.generate(prompt="a cat", model=FLARE)
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.generate(prompt="a busy cat", model=FLARE)
        assert (caught.value.code, caught.value.type) == ("slow_down", "rate_limit_error")
        assert caught.value.response.headers["retry-after"] == "7"
    client.images.generate(prompt="a busy cat", model=FLARE)
    assert [call["billed"] for call in standin.calls("busy")] == [False, False, True]


def test_rules_are_tried_in_order_and_forgotten(standin, client):
    standin.rule(status=500, code="server_error", path="images/edits")
    standin.rule(status=503, code="server_is_overloaded", times=1)
    standin.rule(status=500, code="image_generation_failed")
    client.moderations.create(input="a cat")
    assert refusal(client.images.edit, image=sent(png()))[1] == "server_error"
    assert refusal(client.images.generate)[1] == "server_is_overloaded"
    assert refusal(client.images.generate)[1] == "image_generation_failed"
    assert refusal(client.images.generate, size="1x1")[1] == "invalid_value"
    standin.clear_rules()
    assert client.images.generate(prompt="a cat", model=FLARE).data
    assert len(standin.calls()) == 5


def test_a_rule_for_moderations(standin, client):
    standin.rule(path="moderations", status=429, code="rate_limit_exceeded")
    with pytest.raises(openai.RateLimitError):
        client.moderations.create(input="a cat")


def test_a_rule_says_what_is_flagged_and_what_is_painted(standin, client):
    standin.rule(path="moderations", flags=["hate"])
    (judged,) = client.moderations.create(input="a cat").results
    assert (judged.flagged, judged.categories.hate) == (True, True)
    standin.rule(picture="<svg/>")
    made = client.images.generate(prompt="a cat", model=FLARE_26, output_format="svg")
    assert pictures(made) == [b"<svg/>"]


@pytest.mark.parametrize("wrong", [{"contains": "cat"}, {"drop": "sometimes"}])
def test_a_wrong_rule_is_refused(standin, wrong):
    with pytest.raises(HTTPError) as caught:
        standin.rule(**wrong)
    with caught.value as error:
        assert error.code == 400


@pytest.mark.parametrize(("drop", "billed"), [("before", False), ("during", True), ("after", True)])
@pytest.mark.parametrize("stream", [False, True])
def test_dropped_lines(standin, client, drop, billed, stream):
    standin.rule(drop=drop, times=1)

    def ask():
        response = client.images.generate(prompt="a cat", model=FLARE, stream=stream)
        return list(response) if stream else response

    with pytest.raises(openai.APIConnectionError) as caught:
        ask()
    assert not isinstance(caught.value, openai.APITimeoutError)
    (call,) = standin.calls()
    assert (call["outcome"], call["status"], call["billed"]) == ("dropped", None, billed)
    assert call["finished_at"]
    assert ask()


def test_a_hung_call_is_billed_and_never_answered(standin, client):
    standin.rule(hang=True)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).images.generate(prompt="a cat", model=FLARE)
    (call,) = standin.calls()
    assert (call["outcome"], call["billed"], call["status"]) == ("hung", True, None)


def test_a_caller_who_leaves_pays(standin, client):
    standin.rule(delay_seconds=0.6)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).images.generate(prompt="a cat", model=FLARE)
    (call,) = standin.calls()
    assert (call["billed"], call["outcome"]) == (True, None)
    time.sleep(0.6)
    assert standin.calls()[0]["outcome"] == "dropped"


def test_forty_slow_calls_at_once(standin):
    standin.rule(delay_seconds=1.5)

    async def ask():
        async with AsyncOpenAI(
            api_key="sk-standin", base_url=standin.base_url, max_retries=0
        ) as client:
            return await asyncio.gather(
                *(client.images.generate(prompt=f"cat {i}", model=FLARE) for i in range(40))
            )

    assert len(asyncio.run(ask())) == 40
    spans = [(call["started_at"], call["finished_at"]) for call in standin.calls()]
    assert max(sum(start <= at < end for start, end in spans) for at, _ in spans) > 10


def test_rate_limit(standin, client):
    standin.rate(3, seconds_per_minute=4)
    ask = client.images.generate
    ask(prompt="a cat", model=FLARE, n=2)
    ask(prompt="a cat", model=FLARE)
    ask(prompt="a cat", model=FLARE_26)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(prompt="a cat", model=FLARE)
    assert caught.value.code == "rate_limit_exceeded"
    wait = int(caught.value.response.headers["retry-after-ms"]) / 1000
    assert 0 < wait <= 4
    assert int(caught.value.response.headers["retry-after"]) - 1 < wait
    time.sleep(wait)
    ask(prompt="a cat", model=FLARE)
    standin.rate(None)
    ask(prompt="a cat", model=FLARE, n=4)


def test_it_stops_at_once():
    standin = Standin()
    with (
        ThreadPoolExecutor(2) as pool,
        standin,
        OpenAI(api_key="sk-standin", base_url=standin.base_url, max_retries=0) as client,
    ):
        standin.rule(containing="hang", hang=True)
        standin.rule(containing="slow", delay_seconds=60)
        asked = [
            pool.submit(client.images.generate, prompt=prompt, model=FLARE)
            for prompt in ("hang", "slow")
        ]
        while sum(call["billed"] for call in standin.calls()) < 2:
            time.sleep(0.05)
        standin.__exit__()
        for answer in asked:
            assert isinstance(answer.exception(), openai.APIConnectionError)
    with pytest.raises(URLError):
        standin.calls()


def test_another_process_is_steered_alike():
    with Standin() as reserved:
        port = int(reserved.root_url.rpartition(":")[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "local.standin", "--port", str(port)],
        cwd=Path(__file__).parents[2],
    )
    try:
        control = Control(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 15
        while True:
            try:
                control.rule(containing="cat", status=500, code="server_error")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        with OpenAI(api_key="sk-standin", base_url=control.base_url, max_retries=0) as client:
            assert refusal(client.images.generate)[1] == "server_error"
        assert control.calls()[0]["status"] == 500
    finally:
        process.terminate()
        assert process.wait(5) is not None
