from __future__ import annotations

import base64
import io
import json
from email.header import Header as EncodedHeader
from typing import Any

import boto3
import pytest
from PIL import Image

from easel.formats import sniff
from tests.functions.conftest import Context, Deployed


def picture(width: int = 64, height: int = 64, mode: str = "RGB", kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height), "orange" if mode == "RGB" else (0, 0, 0, 0)).save(stream, kind)
    return stream.getvalue()


def form(*parts: tuple[str, bytes | str]) -> tuple[str, bytes]:
    body = b""
    for name, value in parts:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            head += '; filename="upload"\r\nContent-Type: application/octet-stream'
        body += head.encode() + b"\r\n\r\n"
        body += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return "multipart/form-data; boundary=b", body + b"--b--\r\n"


def post(
    deployed: Deployed, context: Context, function: str, *parts: tuple[str, bytes | str]
) -> dict[str, Any]:
    kind, body = form(*parts)
    event = deployed.event(function, "https", body=base64.b64encode(body).decode())
    event["headers"]["Content-Type"] = kind
    event["requestContext"]["requestTimeEpoch"] = int(deployed.now * 1000)
    return deployed.handler(function)(event, context)


def test_the_events_of_all_doors_make_pictures(inline: Deployed, context: Context) -> None:
    for function in ("edit", "variation"):
        https = inline.handler(function)(inline.event(function, "https"), context)
        assert https["statusCode"] == 200, https["body"]
        direct = inline.handler(function)(inline.event(function, "direct"), Context())
        assert direct["data"][0]["url"].startswith("https://")


def test_several_images_and_a_mask(inline: Deployed, context: Context) -> None:
    done = post(
        inline,
        context,
        "edit",
        ("prompt", "join them"),
        ("n", "2"),
        ("image[]", picture(80, 60)),
        ("image[]", picture(60, 80, kind="webp")),
        ("mask", picture(80, 60, "RGBA")),
    )
    assert done["statusCode"] == 200, done["body"]
    assert len(json.loads(done["body"])["data"]) == 2
    [call] = inline.standin.calls(containing="join them")
    sent = [(one["field"], one["content_type"]) for one in call["inputs"]]
    assert sent == [("image[]", "image/png"), ("image[]", "image/webp"), ("mask", "image/png")]


def test_one_of_ones_own_images_is_edited_by_its_id(inline: Deployed, context: Context) -> None:
    made = inline.handler("generate")(inline.event("generate", "direct"), context)
    event = {
        "tenant": "demo",
        "prompt": "again",
        "images": [{"file_id": f"{made['id']}/0"}],
        "idempotency_key": "another",
    }
    assert inline.handler("edit")(event, context)["data"][0]["width"] == 1024


def bomb() -> bytes:
    data = bytearray(picture())
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    return bytes(data)


REFUSED: dict[str, tuple[list[tuple[str, bytes | str]], str]] = {
    "no image": ([("prompt", "x")], "image"),
    "no prompt": ([("image", picture())], "prompt"),
    "no picture": ([("prompt", "x"), ("image", b"not a picture at all")], "image"),
    "a truncated one": ([("prompt", "x"), ("image", picture(300, 300)[:-40])], "image"),
    "a bomb": ([("prompt", "x"), ("image", bomb())], "image"),
    "a mask of another size": (
        [("prompt", "x"), ("image", picture()), ("mask", picture(32, 32, "RGBA"))],
        "mask",
    ),
    "a mask without alpha": (
        [("prompt", "x"), ("image", picture()), ("mask", picture())],
        "mask",
    ),
    "seventeen images": ([("prompt", "x"), *[("image[]", picture())] * 17], "image"),
}


@pytest.mark.parametrize(("parts", "param"), REFUSED.values(), ids=list(REFUSED))
def test_bad_uploads_are_refused_before_anything_is_kept(
    deployed: Deployed, context: Context, parts: list[tuple[str, bytes | str]], param: str
) -> None:
    deployed.tenant()
    refused = post(deployed, context, "edit", *parts)
    assert refused["statusCode"] == 400
    assert json.loads(refused["body"])["error"]["param"] == param
    assert deployed.messages() == []
    assert deployed.rows("JOBS_TABLE") == deployed.rows("LEDGER_TABLE") == {}
    assert boto3.client("s3").list_objects_v2(Bucket="easel")["KeyCount"] == 0
    assert deployed.standin.calls() == []


def test_a_remote_image_is_never_fetched(deployed: Deployed, context: Context) -> None:
    body = {"prompt": "x", "images": [{"image_url": f"{deployed.standin.root_url}/secret.png"}]}
    event = deployed.event("edit", "https", body=json.dumps(body), isBase64Encoded=False)
    event["headers"]["Content-Type"] = "application/json"
    refused = deployed.handler("edit")(event, context)
    assert refused["statusCode"] == 400
    assert json.loads(refused["body"])["error"]["param"] == "images"


def drop(deployed: Deployed, key: str, data: bytes, **metadata: str) -> dict[str, Any]:
    put = boto3.client("s3").put_object(Bucket="easel", Key=key, Body=data, Metadata=metadata)
    event = deployed.event("edit", "inbox")
    notice = json.loads(event["Records"][0]["body"])
    notice["Records"][0]["s3"]["object"]["versionId"] = put["VersionId"]
    event["Records"][0]["body"] = json.dumps(notice)
    return event


def test_a_picture_in_the_inbox_is_answered_in_the_outbox(
    deployed: Deployed, context: Context
) -> None:
    deployed.tenant()
    prompt = EncodedHeader("Ein Hut für die Katze", "utf-8").encode()
    event = drop(deployed, "inbox/demo/a cat.png", picture(), prompt=prompt, size="1024x1024")
    for _ in "once", "and delivered again":
        assert deployed.handler("edit")(event, context) == {"batchItemFailures": []}
    [message] = deployed.messages()
    deployed.handler("worker")(message, context)

    document = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    assert document["status"] == "succeeded"
    assert document["prompt"] == "Ein Hut für die Katze"
    assert document["images"] == ["outbox/demo/a cat.png.png"]
    assert sniff(deployed.object(document["images"][0])).width == 1024
    assert len(deployed.standin.calls(containing="Ein Hut")) == 1


def test_a_bad_question_in_the_inbox_is_answered_too(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    event = drop(deployed, "inbox/demo/a cat.png", b"no picture", prompt="x")
    assert deployed.handler("edit")(event, context) == {"batchItemFailures": []}
    document = json.loads(deployed.object("outbox/demo/a cat.png.json"))
    assert document["status"] == "failed"
    assert document["error"]["code"] == "invalid_image_file"
    assert deployed.messages() == []
