"""``python -m local.stack``: Easel on this machine, with neither AWS, Docker nor an OpenAI key.

    make ready ─> stand-in ─> MiniStack ─> sam deploy ─> close gaps ─> secret, tenant ─> front

It is the production's own build and deployment. Once all is ready, ``stack.json`` describes what
runs and ``env.json`` is what ``sam local invoke --env-vars`` takes; a signal stops all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import uvicorn

from local import emulator
from local.front import Front
from local.servers import bind, free_port, running
from local.template import ROOT, gateway_responses, load

TENANT, KEY = "demo", "easel-local"
_PLENTY_BYTES = 4 << 30
WELCOME = """\
Easel, an OpenAI-compatible image API

base URL  {base_url}
key       {key}

curl -L {base_url}/images/generations -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" -d '{{"prompt": "a red fox in the snow"}}'

from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key="{key}")
image = client.images.generate(prompt="a red fox in the snow").data[0]
print(image.url)
"""


def main() -> None:
    """Run until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="local.stack")
    parser.add_argument("--port", type=int, default=0, help="of the front; 0 takes a free one")
    parser.add_argument("--state", type=Path, default=ROOT / ".local", help="where it writes")
    parser.add_argument("--parameter", action="append", default=[], help="NAME=VALUE")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    os.chdir(ROOT)
    state = options.state.resolve()
    with ExitStack() as started, bind(options.port) as listener:
        stack = start(started, listener.getsockname()[1], state, options.parameter)
        listener.listen(1024)
        describe(started, stack, state)
        serve(stack, listener)


def start(started: ExitStack, port: int, state: Path, parameters: Sequence[str]) -> dict[str, Any]:
    """Start everything but the front, which will be at ``port``; return what runs, as written."""
    began = time.monotonic()
    subprocess.run(["make", "--silent", "ready"], check=True)
    logs = state / "log"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    scratch = Path(started.enter_context(tempfile.TemporaryDirectory(dir=_roomy(state))))
    secret, standin = upstream(started, logs)
    at = free_port()
    _say(f"MiniStack on port {at}")
    environ = emulator.environment(at, scratch)
    aws_server = started.enter_context(
        running(emulator.command(logs), environ, logs / "ministack.log", at)
    )
    aws = emulator.lead_to(at)
    _say("sam deploy")
    names = emulator.deploy(parameters, logs / "deploy.log")
    door = boto3.client("lambda").get_function_configuration(FunctionName=names["GenerateFunction"])
    environment = door["Environment"]["Variables"]
    cors = bool(environment["ALLOWED_ORIGINS"])
    emulator.close_gaps(names["Api"], names["Bucket"], names["KeyTtlSeconds"], cors=cors)
    boto3.client("secretsmanager").put_secret_value(
        SecretId=names["UpstreamSecretArn"], SecretString=json.dumps(secret)
    )
    create_tenant(names["TenantsTable"])
    api = f"{aws['AWS_ENDPOINT_URL']}/restapis/{names['Api']}/v1/_user_request_"
    with urllib.request.urlopen(f"{api}/healthz", timeout=30):
        _say(f"ready after {time.monotonic() - began:.0f} s")
    return {
        "base_url": f"http://127.0.0.1:{port}/v1",
        "key": KEY,
        "tenant": TENANT,
        "aws": aws,
        "api_url": api,
        "standin_url": standin,
        "environment": environment,
        "names": names,
        "pids": {"stack": os.getpid(), "ministack": aws_server.pid},
        "log": str(logs),
        "scratch": str(scratch),
    }


def describe(started: ExitStack, stack: dict[str, Any], state: Path) -> None:
    """Tell the people and the programs that use the stack where it is."""
    # `sam local invoke` has no queue behind it: without one, the one invocation runs the job.
    alone = {"Parameters": {**stack["environment"], "WORK_QUEUE_URL": ""}}
    (state / "env.json").write_text(json.dumps(alone, indent=2))
    (state / "stack.json").write_text(json.dumps(stack, indent=2))
    started.callback((state / "stack.json").unlink, missing_ok=True)
    aws = " ".join(f"{name}={value}" for name, value in stack["aws"].items())
    print(f"{WELCOME.format(**stack)}\nAWS       {aws}\n\nCtrl-C stops it.", flush=True)


def serve(stack: dict[str, Any], listener: socket.socket) -> None:
    """Serve the front until a signal, which is then raised again."""
    environment = stack["environment"]
    timeout = int(environment["INTEGRATION_TIMEOUT_MILLIS"]) / 1000
    responses = gateway_responses(load(), cors=bool(environment["ALLOWED_ORIGINS"]))
    front = Front(stack["api_url"], responses, timeout, WELCOME.format(**stack))
    config = uvicorn.Config(
        front, lifespan="off", log_level="warning", server_header=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


def upstream(started: ExitStack, logs: Path) -> tuple[dict[str, str], str | None]:
    """Return the secret's value, and the root URL of the stand-in if one had to be started."""
    if key := os.environ.get("OPENAI_API_KEY"):
        base_url = os.environ.get("OPENAI_BASE_URL")
        _say(f"upstream is {base_url or 'OpenAI'}, with OPENAI_API_KEY: its pictures cost money")
        return {"api_key": key} | ({"base_url": base_url} if base_url else {}), None
    port = free_port()
    _say(f"the stand-in for OpenAI on port {port}")
    command = [sys.executable, "-m", "local.standin", "--port", str(port)]
    started.enter_context(running(command, os.environ, logs / "standin.log", port))
    root = f"http://127.0.0.1:{port}"
    return {"api_key": "sk-standin", "base_url": f"{root}/v1"}, root


def create_tenant(table: str) -> None:
    """Make the demo tenant and its key."""
    tenants = boto3.resource("dynamodb").Table(table)
    now = int(time.time())
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    tenants.put_item(Item={"id": f"tenant#{TENANT}", "name": TENANT, "created_at": now})
    tenants.put_item(Item={"id": f"key#{digest}", "tenant": TENANT, "created_at": now})


def _roomy(state: Path) -> Path:
    """Return where the emulator is to write: in memory, if it is plenty, since every process of a
    function is given its archives anew."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        return state
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return memory if min(free, shutil.disk_usage(memory).free) > _PLENTY_BYTES else state


def _say(what: str) -> None:
    print(f"· {what}", flush=True)


if __name__ == "__main__":
    main()
