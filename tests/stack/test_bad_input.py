"""Bad input is refused in OpenAI's shape, before anything is held, queued or called."""

import base64
import json
import zlib
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx2
import pytest
from PIL import Image

from tests.stack.running import Running, png, unique

GENERATIONS, EDITS, VARIATIONS = "/images/generations", "/images/edits", "/images/variations"
INVALID, MISSING, IMAGE = "invalid_value", "missing_required_parameter", "invalid_image_file"
REFUSED = "a picture that is never made"
PNG = png(64, 64)
SOLID = png(64, 64, (0, 0, 0))
HOLED = png(64, 64, (0, 0, 0, 0))
SMALL = png(32, 32, (0, 0, 0, 0))


def huge(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims other dimensions, its checksum right."""
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4) + PNG[33:]


def jpeg() -> bytes:
    Image.effect_noise((200, 200), 90).convert("RGB").save(data := BytesIO(), "JPEG")
    return data.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


class Bad(NamedTuple):
    """A call that is refused, and how."""

    status: int
    code: str
    param: str | None
    method: str
    path: str
    sent: Mapping[str, Any] = MappingProxyType({})
    key: str | None = ""


def generate(param: str | None, code: str = INVALID, status: int = 400, **fields: Any) -> Bad:
    body = {"prompt": REFUSED, **fields}
    return Bad(status, code, param, "POST", GENERATIONS, {"json": body})


def edit(param: str | None, code: str, files: list[tuple[str, bytes]], **fields: Any) -> Bad:
    sent = {
        "data": {"prompt": REFUSED, **fields},
        "files": [(name, ("cat.png", data, "image/png")) for name, data in files],
    }
    return Bad(400, code, param, "POST", EDITS, sent)


def edit_json(param: str | None, code: str, *, status: int = 400, **fields: Any) -> Bad:
    body = {"prompt": REFUSED, "images": [{"image_url": data_url(PNG)}], **fields}
    return Bad(status, code, param, "POST", EDITS, {"json": body})


def raw(content: bytes, content_type: str = "application/json", path: str = GENERATIONS) -> Bad:
    headers = {"content-type": content_type}
    return Bad(400, INVALID, None, "POST", path, {"content": content, "headers": headers})


CASES = {
    "no key": generate(None, "invalid_api_key", 401)._replace(key=None),
    "wrong key": generate(None, "invalid_api_key", 401)._replace(key="sk-wrong"),
    "not JSON": raw(b'{"prompt": "a fox"'),
    "a JSON array": raw(b'["a fox"]'),
    "no body": raw(b""),
    "no boundary": raw(b"--x--", "multipart/form-data", EDITS),
    "prompt missing": generate("prompt", MISSING, prompt=None),
    "prompt blank": generate("prompt", MISSING, prompt="  "),
    "prompt too long": generate("prompt", prompt="f" * 32_001),
    "prompt a number": generate("prompt", prompt=7),
    "n 0": generate("n", n=0),
    "n 11": generate("n", n=11),
    "n in letters": generate("n", n="two"),
    "n true": generate("n", n=True),
    "size no size": generate("size", size="large"),
    "size negative": generate("size", size="-1x1024"),
    "size beyond the model": generate("size", size="8192x8192"),
    "size too long": generate("size", size="3840x512"),
    "size a number": generate("size", size=1024),
    "transparent jpeg": generate("background", background="transparent", output_format="jpeg"),
    "quality of no model": generate("quality", quality="splendid"),
    "response format": generate("response_format", response_format="png"),
    "unknown model": generate("model", "model_not_found", 404, model="gpt-image-9"),
    "edit without an image": Bad(
        *(400, MISSING, "image", "POST", EDITS), {"files": [("prompt", (None, REFUSED))]}
    ),
    "edit without a prompt": edit("prompt", MISSING, [("image", PNG)], prompt=""),
    "n in letters, multipart": edit("n", INVALID, [("image", PNG)], n="two"),
    "mask of other dimensions": edit("mask", IMAGE, [("image", PNG), ("mask", SMALL)]),
    "mask without alpha": edit("mask", IMAGE, [("image", PNG), ("mask", SOLID)]),
    "mask a JPEG": edit("mask", IMAGE, [("image", PNG), ("mask", jpeg())]),
    "two masks": edit("mask", INVALID, [("image", PNG), ("mask", HOLED), ("mask", HOLED)]),
    "no image": edit("image", IMAGE, [("image", b"<html>no picture</html>")]),
    "empty image": edit("image", IMAGE, [("image", b"")]),
    "truncated PNG": edit("image", IMAGE, [("image", PNG[: len(PNG) // 2])]),
    "truncated JPEG": edit("image", IMAGE, [("image", jpeg()[:-2000])]),
    "30000x30000": edit("image", IMAGE, [("image", huge(30_000, 30_000))]),
    "17 images": edit("image", INVALID, [("image[]", PNG)] * 17),
    "variation of two": Bad(
        *(400, INVALID, "image", "POST", VARIATIONS),
        {"files": [("image[]", ("cat.png", PNG, "image/png"))] * 2},
    ),
    "remote image URL": edit_json(
        "images", INVALID, images=[{"image_url": "https://x.test/y.png"}]
    ),
    "data URL not base64": edit_json(
        "images", INVALID, images=[{"image_url": "data:image/png;base64,?"}]
    ),
    "data URL no image": edit_json("image", IMAGE, images=[{"image_url": data_url(b"no picture")}]),
    "file_id of no form": edit_json("images", INVALID, images=[{"file_id": "cat"}]),
    "file_id of no job": edit_json(
        "id", "job_not_found", status=404, images=[{"file_id": "job_none/0"}]
    ),
    "unknown job": Bad(404, "job_not_found", "id", "GET", "/jobs/job_none"),
    "unknown job's result": Bad(404, "job_not_found", "id", "GET", "/jobs/job_none/result"),
    "another tenant's job": Bad(404, "job_not_found", "id", "GET", "/jobs/{theirs}"),
    "another tenant's result": Bad(404, "job_not_found", "id", "GET", "/jobs/{theirs}/result"),
    "another tenant's picture": edit_json(
        "id", "job_not_found", status=404, images=[{"file_id": "{theirs}/0"}]
    ),
    "unknown route": Bad(404, "not_found", None, "GET", "/images/paintings"),
    "unknown method": Bad(404, "not_found", None, "GET", GENERATIONS),
    "unknown model's page": Bad(404, "model_not_found", "model", "GET", "/models/gpt-image-9"),
}


class Asked(NamedTuple):
    """The answers by case, what the stack holds after all of them, and another tenant's job."""

    answers: dict[str, httpx2.Response]
    left: dict[str, Any]
    theirs: str


@pytest.fixture(scope="module")
def asked(running: Running) -> Asked:
    """Make every bad call, one after the other, as a tenant that has nothing yet."""
    name, key = running.new_tenant()
    other, _ = running.new_tenant()
    _, made = running.invoke("Generate", {"tenant": other, "prompt": unique("their fox")})
    answers = {}
    for case, bad in CASES.items():
        sent = dict(bad.sent)
        if "json" in sent:
            sent["json"] = json.loads(json.dumps(sent["json"]).replace("{theirs}", made["id"]))
        with running.http(bad.key if bad.key != "" else key) as client:
            path = bad.path.replace("{theirs}", made["id"])
            answers[case] = client.request(bad.method, path, **sent)
    left = {
        "items": running.rows("JobsTable", tenant=name) + running.rows("LedgerTable", tenant=name),
        "inputs": running.objects(f"inputs/{name}/"),
        "calls": running.standin.calls(containing=REFUSED),
    }
    return Asked(answers, left, made["id"])


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_openais_shape(asked, name):
    bad, answer = CASES[name], asked.answers[name]
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (bad.status, bad.code, bad.param)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"].startswith("application/json")


def test_nothing_is_held_stored_or_called(asked):
    assert asked.left == {"items": [], "inputs": [], "calls": []}


@pytest.mark.parametrize("page", ["job", "result"])
def test_another_tenants_job_is_as_unknown_as_none(asked, page):
    names = {"job": ("unknown job", "another tenant's job")}
    names["result"] = ("unknown job's result", "another tenant's result")
    none, theirs = (asked.answers[name].text for name in names[page])
    assert none.replace("job_none", asked.theirs) == theirs
