"""The front's limits, before an API that does as it is told; and the gateway's own errors."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from local.front import GATEWAY_LIMIT, LAMBDA_LIMIT, Front
from local.template import gateway_responses, load
from tests.stack.conftest import described, start, stop

MB = 1024 * 1024


class Api(BaseHTTPRequestHandler):
    """Answers what ``x-answer`` says, after ``x-sleep`` seconds; else what it was sent."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(self.path)
        time.sleep(float(self.headers.get("x-sleep", 0)))
        if "x-together" in self.headers:
            self.server.together.wait(60)
        echo = {"method": self.command, "path": self.path, "body": len(body)}
        echo["headers"] = self.headers.items()
        answer = json.loads(self.headers.get("x-answer", "{}"))
        self.send_response(answer.get("status", 200))
        for name, value in answer.get("headers", []):
            self.send_header(name, value)
        data = answer.get("body", json.dumps(echo)).encode() * answer.get("times", 1)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 # http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(
    api: ThreadingHTTPServer, *requests: tuple[str, str, dict[str, Any]], timeout: float = 5
) -> list[httpx2.Response]:
    """Send all the requests through a front at once; return the answers in their order."""

    async def all_of_them() -> list[httpx2.Response]:
        stage = f"http://127.0.0.1:{api.server_port}/restapis/x/v1/_user_request_"
        front = Front(stage, gateway_responses(load()), timeout, "welcome")
        transport = httpx2.ASGITransport(front)
        async with (
            front,
            httpx2.AsyncClient(transport=transport, base_url="http://easel", timeout=30) as client,
        ):
            calls = [client.request(method, path, **more) for method, path, more in requests]
            return list(await asyncio.gather(*calls))

    return asyncio.run(all_of_them())


def wait_until_gone(group: int) -> None:
    """Wait until no process of the group is left; init may take a moment to bury the last."""
    until = time.monotonic() + 10
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.05)
        pytest.fail("processes of the stack live on")


def answering(**answer: Any) -> dict[str, Any]:
    return {"headers": {"x-answer": json.dumps(answer)}}


def test_a_request_reaches_the_stage_as_it_came(api):
    path = "/v1/jobs/a%2Fb/result?hop=2&x=%20y"
    headers = {"Authorization": "Bearer k", "X-Odd": "a, b;c"}
    [answer] = send(api, ("POST", path, {"content": b"12345", "headers": headers}))
    seen = answer.json()
    assert (seen["method"], seen["body"]) == ("POST", 5)
    assert seen["path"] == "/restapis/x/v1/_user_request_/jobs/a%2Fb/result?hop=2&x=%20y"
    assert {"authorization": "Bearer k", "x-odd": "a, b;c"}.items() <= dict(seen["headers"]).items()


def test_an_answer_comes_back_as_it_is(api):
    headers = [("Location", "/v1/jobs/j/result?hop=1"), ("X-A", "1"), ("X-A", "2")]
    [answer] = send(api, ("GET", "/v1/x", answering(status=303, headers=headers, body="")))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/v1/jobs/j/result?hop=1"
    assert answer.headers.get_list("x-a") == ["1", "2"]


def test_head_is_passed_on(api):
    [answer] = send(api, ("HEAD", "/v1/jobs/j/result", answering(status=303, body="")))
    assert (answer.status_code, answer.content) == (303, b"")


def test_slow_calls_wait_side_by_side(api):
    api.together = threading.Barrier(40)  # none is answered before all have arrived
    answers = send(api, *[("GET", "/v1/x", {"headers": {"x-together": "yes"}})] * 40)
    assert {answer.status_code for answer in answers} == {200}


def test_a_call_beyond_the_integration_timeout_is_a_504_in_openais_shape(api):
    [answer] = send(api, ("POST", "/v1/x", {"headers": {"x-sleep": "1"}}), timeout=0.1)
    assert answer.status_code == 504
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-request-id"]) == 36


def test_more_than_10_mb_is_refused_in_plain_text_before_the_api(api):
    body = b"x" * (GATEWAY_LIMIT + 1)
    [answer] = send(api, ("POST", "/v1/x", {"content": body}))
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/plain")
    assert api.seen == []


@pytest.mark.parametrize(
    ("content_type", "size", "status"),
    [
        ("application/json", LAMBDA_LIMIT - 10, 200),
        ("application/json", LAMBDA_LIMIT, 413),
        ("multipart/form-data; boundary=b", 4 * MB, 200),
        ("multipart/form-data; boundary=b", 5 * MB, 413),
    ],
)
def test_more_than_lambda_takes_once_encoded_is_a_413(api, content_type, size, status):
    content = {"content": b"x" * size, "headers": {"content-type": content_type}}
    [answer] = send(api, ("POST", "/v1/x", content))
    assert answer.status_code == status
    if status == 413:
        assert answer.json()["error"]["code"] == "request_too_large"


@pytest.mark.parametrize(("size", "status"), [(LAMBDA_LIMIT - 10, 200), (LAMBDA_LIMIT, 502)])
def test_more_than_lambda_answers_is_a_502(api, size, status):
    [answer] = send(api, ("GET", "/v1/x", answering(body="x", times=size)))
    assert answer.status_code == status


def test_what_a_crashed_function_said_stays_inside(api):
    crash = answering(status=502, body='{"message": "secret"}')
    refusal = answering(status=502, body='{"error": {"code": "upstream_error"}}')
    crashed, refused = send(api, ("GET", "/v1/x", crash), ("GET", "/v1/x", refusal))
    assert crashed.json()["error"]["code"] == "server_error"
    assert "secret" not in crashed.text
    assert refused.json()["error"]["code"] == "upstream_error"


def test_elsewhere_than_v1_is_the_welcome_or_forbidden(api):
    welcome, other = send(api, ("GET", "/", {}), ("GET", "/v2/models", {}))
    assert (welcome.text, other.status_code) == ("welcome", 403)
    assert api.seen == []


@pytest.mark.parametrize(
    ("method", "path", "key", "status", "code"),
    [
        ("GET", "/nowhere", "right", 404, "not_found"),
        ("GET", "/images/generations", "right", 404, "not_found"),
        ("GET", "/models", None, 401, "invalid_api_key"),
        ("GET", "/models", "wrong", 401, "invalid_api_key"),
        ("POST", "/images/edits", "wrong", 401, "invalid_api_key"),
    ],
)
def test_the_gateways_own_errors_have_openais_shape(stack, method, path, key, status, code):
    bearer = {"right": stack["key"], "wrong": "sk-no", None: ""}[key]
    headers = {"Authorization": f"Bearer {bearer}"} if key else {}
    answer = httpx2.request(method, stack["base_url"] + path, headers=headers, timeout=30)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    assert error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"]


def test_every_gateway_response_of_the_template_is_in_effect(stack):
    gateway = boto3.client(
        "apigateway",
        endpoint_url=stack["aws"]["AWS_ENDPOINT_URL"],
        region_name=stack["aws"]["AWS_DEFAULT_REGION"],
        aws_access_key_id=stack["aws"]["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=stack["aws"]["AWS_SECRET_ACCESS_KEY"],
    )
    items = gateway.get_gateway_responses(restApiId=stack["names"]["Api"])["items"]
    gateway.close()
    bodies = {item["responseType"]: item["responseTemplates"] for item in items}
    for kind, response in gateway_responses(load()).items():
        assert bodies[kind] == response["ResponseTemplates"]


def test_health_needs_no_key_and_the_first_page_says_how_to_call(stack):
    assert httpx2.get(f"{stack['base_url']}/healthz", timeout=30).status_code == 200
    page = httpx2.get(stack["base_url"].removesuffix("v1")).text
    assert stack["base_url"] in page
    assert stack["key"] in page


def test_a_second_stack_runs_beside_the_first_and_a_signal_stops_all_of_it(stack, tmp_path):
    process = start(tmp_path)
    try:
        other = described(tmp_path, process)
        assert other["base_url"] != stack["base_url"]
        for each in (stack, other):
            assert httpx2.get(f"{each['base_url']}/healthz", timeout=30).status_code == 200
    finally:
        code = stop(process)
    assert code == 0
    assert not (tmp_path / "stack.json").exists()
    assert not Path(other["scratch"]).exists()
    wait_until_gone(other["pids"]["ministack"])
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(other["standin_url"])
