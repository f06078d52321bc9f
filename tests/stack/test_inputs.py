"""Uploads by presigned POST, and what pages of which origins are told."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from local.template import load
from tests.stack.running import Running, decoded, png, unique

FILE = png(640, 480, (10, 120, 200))
KINDS = {"image/png", "image/jpeg", "image/webp"}


def granted(running: Running, data: bytes = FILE, kind: str = "image/png") -> dict[str, Any]:
    with running.http() as http:
        answer = http.post("/inputs", json={"bytes": len(data), "content_type": kind})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def post(said: dict[str, Any], data: bytes = FILE, **fields: str) -> httpx2.Response:
    """Post the file as a form does; ``fields`` are changed ones."""
    form = said["fields"] | {name.replace("_", "-"): value for name, value in fields.items()}
    return httpx2.post(said["url"], data=form, files={"file": data}, timeout=60)


def test_an_upload_can_be_edited_and_varied(running):
    said = granted(running)
    assert post(said).status_code == 204
    key = f"inputs/{running.tenant}/{said['file_id']}"
    assert running.object(key) == FILE
    reference = {"images": [{"file_id": said["file_id"]}], "size": "1024x1024"}
    for path in ("/images/edits", "/images/variations"):
        with running.http() as http:
            answer = http.post(path, json=reference | {"prompt": unique("a hat")})
        assert answer.status_code == 200, answer.text
        made = running.object(f"images/{running.tenant}/{answer.json()['id']}/1/0.png")
        assert decoded(made).size == (1024, 1024)


@pytest.mark.parametrize(
    ("data", "fields", "status", "code"),
    [
        (FILE + b"!", {}, 400, "EntityTooLarge"),
        (FILE[:-1], {}, 400, "EntityTooSmall"),
        (FILE, {"Content_Type": "image/webp"}, 403, "AccessDenied"),
        (FILE, {"Content_Type": "text/html"}, 403, "AccessDenied"),
        (FILE, {"key": "inputs/demo/another"}, 403, "AccessDenied"),
        (FILE, {"key": "inbox/demo/cat.png"}, 403, "AccessDenied"),
    ],
)
def test_nothing_else_can_be_posted(running, data, fields, status, code):
    said = granted(running)
    answer = post(said, data, **fields)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True)
    assert running.objects(f"inputs/{running.tenant}/{said['file_id']}") == []


def test_every_kind_that_openai_takes_is_granted(running):
    for kind in KINDS:
        assert granted(running, kind=kind)["fields"]["Content-Type"] == kind


def test_another_tenant_does_not_find_it(running):
    said = granted(running)
    assert post(said).status_code == 204
    _, key = running.new_tenant()
    with running.http(key=key) as http:
        body = {"prompt": "a hat", "images": [{"file_id": said["file_id"]}]}
        answer = http.post("/images/edits", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


# ---- Pages of other origins ----


@pytest.fixture(scope="module")
def origins(running: Running) -> list[str]:
    """The origins that are let in."""
    listed = running.stack["environment"]["ALLOWED_ORIGINS"]
    if not listed:
        pytest.skip("this stack lists no AllowedOrigins")
    found: list[str] = listed.split(",")
    return found


ROUTES = sorted(
    {
        (event["Properties"]["Path"], event["Properties"]["Method"])
        for resource in load()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and event["Properties"]["Method"] != "options"
    }
)


def told(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "access-control" in name}


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_listed_page_may_call_every_route_and_no_other_page_any(running, origins, path, method):
    sends = "authorization,content-type,idempotency-key"
    asked = {
        "Access-Control-Request-Method": method.upper(),
        "Access-Control-Request-Headers": sends,
    }
    with running.http(key=None) as http:
        url = path.replace("{id}", "job_0")
        for origin in origins:
            answer = http.options(url, headers={**asked, "Origin": origin})
            assert answer.status_code == 204
            headers = told(answer)
            assert headers["access-control-allow-origin"] == origin
            assert method.upper() in headers["access-control-allow-methods"]
            assert headers["access-control-allow-headers"] == sends
        other = http.options(url, headers={**asked, "Origin": "https://evil.example"})
    assert (other.status_code, told(other)) == (404, {})


def test_a_listed_page_may_read_results_and_errors(running, origins):
    page = {"Origin": origins[0]}
    with running.http() as http:
        listed, other = (
            http.get("/models", headers={"Origin": one}) for one in (origins[0], "https://evil.x")
        )
        refused = http.post("/images/generations", json={"prompt": ""}, headers=page)
    assert told(listed)["access-control-allow-origin"] == origins[0]
    assert told(refused)["access-control-allow-origin"] == origins[0]
    assert (other.status_code, told(other)) == (200, {})
    with running.http(key=None) as http:
        for path in ("/models", "/nowhere"):
            gateway = http.get(path, headers=page)
            assert told(gateway)["access-control-allow-origin"] == "*"
            assert "x-request-id" in told(gateway)["access-control-expose-headers"]


def test_the_bucket_lets_any_page_read_and_a_listed_one_post(running, origins):
    def allowed(origin: str, method: str) -> bool:
        headers = {"Origin": origin, "Access-Control-Request-Method": method}
        url = f"{granted(running)['url']}/images/x"
        return "access-control-allow-origin" in httpx2.options(url, headers=headers).headers

    for origin in (*origins, "https://evil.example", "null"):
        assert allowed(origin, "GET")
        assert allowed(origin, "POST") == (origin in origins)
        assert not allowed(origin, "PUT")
