"""``python -m local.invoke generate direct``: one function as Lambda runs it, without a container.

What ``sam build`` made runs under AWS's own runtime client and interface emulator, with the
environment of the local stack beside it (``env.json``), on ``events/generate/direct.json``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import urllib.request
from pathlib import Path

from local.emulator import VENV
from local.servers import free_port, running
from local.template import ROOT

PYTHON = VENV / "sam/bin/python"
BUILD = ROOT / ".local/build"


def main(function: str, event: str) -> None:
    """Print what the function answers."""
    events = ROOT / "events" / function
    if not (events / f"{event}.json").exists():
        sys.exit(f"No such event; there are {sorted(e.stem for e in events.glob('*.json'))}.")
    described = ROOT / ".local/stack.json"
    if not described.exists():
        sys.exit("No stack is running here: start it with `make run` in another terminal.")
    machine = "x86_64" if platform.machine() in ("x86_64", "AMD64") else "arm64"
    (rapid,) = VENV.glob("sam/lib/python3*/site-packages/samcli/local/rapid")
    port, runtime = free_port(), free_port()
    command = [
        *(str(rapid / f"aws-lambda-rie-{machine}"), "--log-level", "error"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{runtime}"),
        *(str(PYTHON), "-m", "awslambdaric", "app.handler"),
    ]
    os.chdir(BUILD / f"{function.capitalize()}Function")
    log = ROOT / ".local/log/invoke.log"
    with running(command, _environ(described), log, port):
        body = (events / f"{event}.json").read_bytes()
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        with urllib.request.urlopen(url, body) as answer:
            print(answer.read().decode())
    print(log.read_text(), file=sys.stderr)


def _environ(described: Path) -> dict[str, str]:
    stack = json.loads(described.read_text())
    alone = json.loads(described.with_name("env.json").read_text())["Parameters"]
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{BUILD}/Dependencies/python:{BUILD}/Easel/python",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "900",
        "AWS_LAMBDA_FUNCTION_NAME": "easel",
        "AWS_REGION": stack["aws"]["AWS_DEFAULT_REGION"],
        **stack["aws"],
        **alone,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
