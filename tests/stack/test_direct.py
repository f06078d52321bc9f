"""Direct invocation, as another program of the same account uses it: boto3's ``lambda.invoke``."""

import base64
import os
import platform
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from local.emulator import VENV
from local.invoke import BUILD, PYTHON
from local.servers import free_port
from local.servers import running as serving
from tests.stack.running import decoded, fetched, png, unique

CAT = f"data:image/png;base64,{base64.b64encode(png()).decode()}"


def check(result, n=1, size=(1024, 1024)):
    """Hold an ImagesResponse against the pictures behind its URLs."""
    assert len(result["data"]) == n
    for image in result["data"]:
        assert "b64_json" not in image
        assert decoded(fetched(image["url"])).size == size
    assert result["model"] == "gpt-image-2.5-flare"


@pytest.mark.parametrize(
    ("function", "event", "size"),
    [
        ("Generate", {"n": 2, "size": "1536x1024"}, (1536, 1024)),
        ("Edit", {"images": [{"image_url": CAT}], "tenant": "demo"}, (1024, 1024)),
        ("Variation", {"images": [{"image_url": CAT}], "size": "256x256"}, (256, 256)),
    ],
)
def test_an_invocation_returns_the_images_response(running, function, event, size):
    prompt = unique("a hat")
    error, result = running.invoke(function, {"prompt": prompt, **event})
    assert error is None
    check(result, event.get("n", 1), size)
    (charge,) = running.charges(result["id"], event.get("tenant", "direct"))
    assert result["cost_usd"] == float(charge["amount"]) / 1_000_000
    assert running.paid(prompt) == 1


def test_a_made_picture_is_edited_by_its_id_and_not_by_another_tenant(running):
    _, made = running.invoke("Generate", {"prompt": unique("a fox"), "size": "1024x1024"})
    edit = {"prompt": unique("a hat"), "images": [{"file_id": f"{made['id']}/0"}]}
    error, edited = running.invoke("Edit", edit)
    assert error is None
    check(edited)
    error, _ = running.invoke("Edit", {**edit, "tenant": running.tenant})
    assert error == "Unhandled"


def test_an_invocation_repeated_with_its_key_is_the_same_job(running):
    prompt = unique("a fox")
    event = {"prompt": prompt, "idempotency_key": uuid.uuid4().hex}
    first, again = (running.invoke("Generate", event)[1] for _ in range(2))
    assert first["id"] == again["id"]
    assert running.paid(prompt) == 1


def test_an_error_raises(running):
    error, result = running.invoke("Generate", {"prompt": ""})
    assert error == "Unhandled"
    assert result["errorMessage"].startswith("Missing required parameter: 'prompt'")


@pytest.fixture(scope="module")
def generate(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the generate function under AWS's own runtime client, beside the stack."""
    port, folder = free_port(), BUILD / "GenerateFunction"
    machine = "x86_64" if platform.machine() in ("x86_64", "AMD64") else "arm64"
    (rapid,) = VENV.glob("sam/lib/python3*/site-packages/samcli/local/rapid")
    command = [
        *(str(rapid / f"aws-lambda-rie-{machine}"), "--log-level", "error"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{free_port()}"),
        *("sh", "-c", f'cd "{folder}" && exec "{PYTHON}" -m awslambdaric app.handler'),
    ]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{BUILD}/Dependencies/python:{BUILD}/Easel/python",
        "AWS_REGION": stack["aws"]["AWS_DEFAULT_REGION"],
        **stack["environment"],
        **stack["aws"],
    }
    with serving(command, environ, tmp_path_factory.mktemp("runtime") / "log", port):
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"prompt": "a fox", "model": "gpt-image-9"}, "model_not_found"),
        ({"prompt": "a fox", "tenant": "nobody"}, "not_found"),
    ],
)
def test_the_type_of_an_error_is_its_code(generate, event, code):
    """The emulator calls every error Runtime.HandlerError, so AWS's runtime client tells."""
    assert httpx2.post(generate, json=event, timeout=60).json()["errorType"] == code
