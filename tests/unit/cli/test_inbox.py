"""`easel inbox put`."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from easel.aws import clients
from tests.unit.cli.conftest import Run


class Desk:
    """Whoever answers what is put into the inbox: with a document, and perhaps pictures."""

    def __init__(self) -> None:
        self.manifests: dict[str, dict[str, Any]] = {}
        self.error: dict[str, str] | None = None
        self.endings = [".png"]

    def __call__(self, params: dict[str, Any], **_: Any) -> None:
        key = params["Key"]
        if not re.fullmatch(r"inbox/.*\.json", key):
            return
        self.manifests[key] = json.loads(params["Body"])
        place = f"out{key.removeprefix('in')}"
        made = [] if self.error else [f"{place}{ending}" for ending in self.endings]
        document = {"id": "job_0123456789", "cost_usd": 0.013, "images": made, "error": self.error}
        for each, body in ((f"{place}.json", json.dumps(document)), *((one, one) for one in made)):
            boto3.client("s3").put_object(Bucket="easel", Key=each, Body=body)


@pytest.fixture
def desk(outputs: dict[str, str]) -> Desk:
    desk = Desk()
    emitter = clients.session().get_component("event_emitter")
    emitter.register("provide-client-params.s3.PutObject", desk)
    return desk


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    file = tmp_path / "a cat.png"
    file.write_bytes(b"a cat")
    return file


def test_a_file_goes_in_and_its_pictures_come_out(easel: Run, desk: Desk, cat: Path) -> None:
    desk.endings = ["-0.png", "-1.png"]
    out = cat.parent / "made"
    said = easel("inbox", "put", str(cat), "n=2", "--prompt", "Schnee, 雪", "--out", str(out))
    paths = [out / "a cat-23456789-0.png", out / "a cat-23456789-1.png"]
    assert said == (0, "".join(f"{path}\n" for path in paths), "cost_usd 0.013, job_0123456789\n")
    [(key, manifest)] = desk.manifests.items()
    assert [path.read_bytes().decode() for path in paths] == [
        f"outbox/{key.removeprefix('inbox/')}-{index}.png" for index in (0, 1)
    ]
    assert manifest == {"prompt": "Schnee, 雪", "n": 2, "images": ["a cat.png"]}
    assert key.startswith("inbox/demo/")
    beside = key.replace("a cat.json", "a cat.png")
    assert boto3.client("s3").get_object(Bucket="easel", Key=beside)["Body"].read() == b"a cat"


def test_a_mask_of_the_same_name_goes_along(easel: Run, desk: Desk, cat: Path) -> None:
    mask = cat.parent / "masks" / cat.name
    mask.parent.mkdir()
    mask.write_bytes(b"a mask")
    words = (
        "--mask",
        str(mask),
        "--size",
        "512x512",
        "--tenant",
        "shop",
        "--out",
        str(mask.parent),
    )
    assert easel("inbox", "put", str(cat), "operation=variation", *words)[0] == 0
    [(key, manifest)] = desk.manifests.items()
    assert manifest == {
        "operation": "variation",
        "size": "512x512",
        "images": ["a cat.png"],
        "mask": "mask/a cat.png",
    }
    assert key.startswith("inbox/shop/")
    found = boto3.client("s3").get_object(
        Bucket="easel", Key=key[: -len("a cat.json")] + manifest["mask"]
    )
    assert found["Body"].read() == b"a mask"


def test_no_put_takes_anothers_answer(easel: Run, desk: Desk, cat: Path) -> None:
    for _ in range(2):
        easel("inbox", "put", str(cat), "--prompt", "x", "--out", str(cat.parent))
    assert len(desk.manifests) == 2


def test_an_error_in_the_outbox_is_one_line(easel: Run, desk: Desk, cat: Path) -> None:
    desk.error = {"message": "The image is GIF.", "code": "invalid_image_file"}
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x")
    assert (code, out) == (1, "")
    assert err.startswith("easel: The image is GIF. (invalid_image_file, s3://easel/outbox/demo/")


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(
    easel: Run, outputs: dict[str, str], cat: Path
) -> None:
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x", "--wait", "1")
    assert (code, out) == (1, "")
    assert err.startswith("easel: No answer within 1 s. It will lie at s3://easel/outbox/demo/")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["high"], "easel: Write parameters as name=value"),
        (["--tenant", "a/b"], "easel: A tenant's name is"),
    ],
)
def test_a_bad_word_puts_nothing(
    easel: Run, desk: Desk, cat: Path, words: list[str], told: str
) -> None:
    code, out, err = easel("inbox", "put", str(cat), "--prompt", "x", *words)
    assert (code, out) == (1, "")
    assert err.startswith(told)
    assert boto3.client("s3").list_objects_v2(Bucket="easel")["KeyCount"] == 0
