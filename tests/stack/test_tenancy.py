"""Whatever names one tenant's things is as unknown to another as what never was."""

import base64
import json
from typing import NamedTuple

import httpx2
import pytest

from tests.stack.running import Running, png, unique, until

GENERATIONS, EDITS, VARIATIONS = "/images/generations", "/images/edits", "/images/variations"


class Theirs(NamedTuple):
    """One tenant's names for its things, and another tenant's name and key."""

    tenant: str
    key: str
    job: str
    upload: str
    stranger: str
    strangers_key: str


@pytest.fixture(scope="module")
def theirs(running: Running) -> Theirs:
    tenant, key = running.new_tenant()
    ask = {"prompt": unique("their fox"), "quality": "low"}
    with running.http(key) as http:
        made = http.post(GENERATIONS, json=ask, headers={"Idempotency-Key": "order-1"}).json()
        leave = {"bytes": len(png(64, 64)), "content_type": "image/png"}
        upload = http.post("/inputs", json=leave).json()
    httpx2.post(
        upload["url"], data=upload["fields"], files={"file": png(64, 64)}
    ).raise_for_status()
    return Theirs(tenant, key, made["id"], upload["file_id"], *running.new_tenant())


def asked(running: Running, key: str, method: str, path: str, body: object) -> httpx2.Response:
    with running.http(key) as http:
        return http.request(method, path, json=body)


CASES = {
    "the job": ("GET", "/jobs/{job}", None),
    "its result": ("GET", "/jobs/{job}/result", None),
    "its result, posted": ("POST", "/jobs/{job}/result", None),
    "a hop of it": ("GET", "/jobs/{job}/result?hop=3&response_format=url", None),
    "cancelling it": ("DELETE", "/jobs/{job}", None),
    "its prompt": ("POST", GENERATIONS, {"prompt": {"from": "{job}", "add": ["snow"]}}),
    "its picture": ("POST", EDITS, {"prompt": "a fox", "images": [{"file_id": "{job}/0"}]}),
    "a variation": ("POST", VARIATIONS, {"images": [{"file_id": "{job}/0"}]}),
    "as a mask": (
        *("POST", EDITS),
        {
            "prompt": "a fox",
            "images": [{"image_url": "data:image/png;base64,{png}"}],
            "mask": {"file_id": "{job}/0"},
        },
    ),
    "the upload": ("POST", EDITS, {"prompt": "a fox", "images": [{"file_id": "{upload}"}]}),
}


@pytest.mark.parametrize("case", CASES)
def test_over_https_it_is_a_404_that_tells_nothing(running, theirs, case):
    method, path, body = CASES[case]

    def answer(job: str, upload: str) -> tuple[int, str]:
        picture = base64.b64encode(png(64, 64)).decode()
        names = {"{job}": job, "{upload}": upload, "{png}": picture}
        text, where = json.dumps(body), path
        for name, value in names.items():
            text, where = text.replace(name, value), where.replace(name, value)
        got = asked(running, theirs.strangers_key, method, where, json.loads(text))
        return got.status_code, got.text.replace(job, "JOB").replace(upload, "UPLOAD")

    status, told = answer(theirs.job, theirs.upload)
    assert status == 404
    nothing = theirs.job[:-6] + ("000000" if theirs.job[-6:] != "000000" else "111111")
    assert (status, told) == answer(nothing, f"{theirs.upload[:-6]}000000")
    assert running.rows("JobsTable", "job#", theirs.stranger) == []


def test_its_page_begins_where_their_own_jobs_do(running, theirs):
    listed = asked(running, theirs.strangers_key, "GET", f"/jobs?after={theirs.job}", None)
    assert listed.json().get("data", []) == []


@pytest.mark.parametrize("name", ["{job}/0", "{upload}"])
def test_directly_invoked_it_is_unknown(running, theirs, name):
    file_id = name.replace("{job}", theirs.job).replace("{upload}", theirs.upload)
    ask = {"tenant": theirs.stranger, "prompt": "a fox", "images": [{"file_id": file_id}]}
    failed, told = running.invoke("Edit", ask)
    assert failed
    assert told["errorMessage"].startswith(("There is no job", "Nothing was uploaded as"))
    assert running.rows("JobsTable", "job#", theirs.stranger) == []


def test_its_idempotency_key_is_another_key(running, theirs):
    with running.http(theirs.strangers_key) as http:
        other = http.post(
            GENERATIONS,
            json={"prompt": unique("another fox"), "quality": "low"},
            headers={"Idempotency-Key": "order-1", "Prefer": "respond-async"},
        )
    assert other.status_code == 202
    assert other.json()["id"] != theirs.job


def test_a_manifest_in_the_inbox_reads_no_other_tenants_things(running, theirs):
    place = f"inbox/{theirs.stranger}/ask.json"
    running.aws("s3").put_object(
        Bucket=running.bucket, Key=f"inbox/{theirs.tenant}/cat.txt", Body=png(64, 64)
    )
    for images in ([{"file_id": f"{theirs.job}/0"}], [f"../{theirs.tenant}/cat.txt"]):
        ask = {"operation": "edit", "prompt": "a fox", "images": images}
        running.aws("s3").put_object(Bucket=running.bucket, Key=place, Body=json.dumps(ask))
        answer = f"outbox/{theirs.stranger}/ask.json.json"
        until(lambda answer=answer: running.objects(answer))
        assert "error" in json.loads(running.object(answer))
        running.aws("s3").delete_object(Bucket=running.bucket, Key=answer)
    assert [one for one in running.objects(f"outbox/{theirs.stranger}/") if "ask" in one] == []


@pytest.mark.parametrize("change", ["key", "signature"])
def test_a_url_is_good_for_its_one_picture(running, theirs, change):
    shown = asked(running, theirs.key, "GET", f"/jobs/{theirs.job}", None).json()
    url = shown["data"][0]["url"]
    assert httpx2.get(url).status_code == 200
    if change == "key":
        _, other = running.invoke(
            "Generate", {"tenant": theirs.stranger, "prompt": unique("their fox")}
        )
        changed = url.replace(theirs.tenant, theirs.stranger).replace(theirs.job, other["id"])
    else:
        changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert changed != url
    assert httpx2.get(changed).status_code == 403
