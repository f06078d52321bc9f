"""Cold starts: a function's process under AWS's runtime client, from its start to its first answer,
or to its first call of upstream, if that comes before.

The process is awslambdaric's, fed by a runtime API of our own (docs.aws.amazon.com/lambda/latest/
dg/runtimes-api.html), with what Lambda's runtime has beside it, boto3 among that, compiled. The
function's own code is only read, so what was not compiled when it was built is compiled
anew by every process. CPU is user and system of that process; on Lambda, where a small function has
a part of a processor, it is what is waited for. Ratios are of CPU: it stays the same on a machine
that does other work, while ours waits for an emulated AWS and the plain ones ask nothing of it.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from local.emulator import PYTHON, VENV

RUNTIME = ("awslambdaric", "runtime_client*", "simplejson", "snapshot_restore_py.py")
"""AWS's runtime client, and what it imports. It comes with SAM's, whose boto3 also finds awscrt and
pyOpenSSL, and loads them: on Lambda there is neither."""
SAM = VENV / "sam/bin/sam"
PLAIN = """\
import boto3
import openai
import pydantic
from aws_lambda_powertools import Logger

logger = Logger()
client = openai.OpenAI(api_key="none")
s3, dynamodb, secrets = (boto3.client(name) for name in ("s3", "dynamodb", "secretsmanager"))


def handler(event, context):
    return {"statusCode": 200}
"""
ONE_CLIENT = """\
import boto3

dynamodb = boto3.client("dynamodb")


def handler(event, context):
    return {"statusCode": 200}
"""
TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Plain:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: plain/, Handler: app.handler, Runtime: python3.13}
"""
_RUNTIME_API = "/2018-06-01/runtime/"
_PATIENCE_SECONDS = 60


class Start(NamedTuple):
    """What a process took from its start to its first answer, in seconds, and the answer.

    ``{"upstream": path}`` stands for an answer where upstream was called first.
    """

    cpu: float
    wall: float
    answer: dict[str, Any]


def build_runtime(folder: Path) -> Path:
    """Lay out what Lambda's runtime has, compiled as it is there; return the client's code."""
    (samcli,) = VENV.glob("sam/lib/python3*/site-packages")
    (boto3,) = VENV.glob("ministack/lib/python3*/site-packages")
    folder.mkdir(parents=True)
    for found in (path for name in RUNTIME for path in samcli.glob(name)):
        (shutil.copytree if found.is_dir() else shutil.copy)(found, folder / found.name)
    for name in ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "jmespath", "six.py"):
        (folder / name).symlink_to(boto3 / name)
    _compile(folder, *(found.resolve() for found in folder.iterdir()))
    return folder


def build_plain(folder: Path, requirements: Path) -> Path:
    """Build the plain function by ``sam build`` alone; return its code."""
    (folder / "plain").mkdir(parents=True)
    (folder / "plain/app.py").write_text(PLAIN)
    (folder / "plain/requirements.txt").write_text(requirements.read_text())
    (folder / "template.yaml").write_text(TEMPLATE)
    command = [str(SAM), "build", "--template-file", "template.yaml", "--build-dir", "built"]
    environ = {**os.environ, "PATH": f"{SAM.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return folder / "built/Plain"


def build_one_client(folder: Path) -> Path:
    """Write the function that makes one client, compiled; return its code."""
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(ONE_CLIENT)
    _compile(folder)
    return folder


def _compile(*paths: Path) -> None:
    compiling = [str(PYTHON), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compiling, *map(str, paths)], check=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """Say nothing: who was ended has cut its line."""


def started(
    code: Sequence[Path], environ: dict[str, str], event: dict[str, Any], log: Path, port: int
) -> Start:
    """Start a process on this code, ask it once, and end it.

    At ``port`` are the runtime API and, for whoever is sent there, upstream.
    """
    answers: queue.Queue[dict[str, Any]] = queue.Queue()

    class Runtime(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if answers.unfinished_tasks:  # it asks for its second event, and waits until it ends
                threading.Event().wait(_PATIENCE_SECONDS)
            body = json.dumps(event).encode()
            self.send_response(200)
            self.send_header(
                "Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000000"
            )
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 900_000))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:::function:f")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            if not self.path.startswith(_RUNTIME_API):
                answers.put({"upstream": self.path})
                threading.Event().wait(_PATIENCE_SECONDS)
            answer = self.rfile.read(int(self.headers["Content-Length"]))
            failed = not self.path.endswith("/response")
            answers.put({"error": answer.decode()} if failed else json.loads(answer))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", port), Runtime) as server, log.open("ab") as output:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        path = ":".join(str(folder) for folder in code)
        environ = environ | {
            "PYTHONPATH": path,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        began = time.monotonic()
        # -S: the emulator's own packages, among which the interpreter lives, are not on Lambda.
        command = [str(PYTHON), "-S", "-m", "awslambdaric", "app.handler"]
        process = subprocess.Popen(command, cwd=code[0], env=environ, stdout=output, stderr=output)
        try:
            answer = answers.get(timeout=_PATIENCE_SECONDS)
        except queue.Empty:
            sys.exit(f"No first answer:\n{log.read_text()[-4000:]}")
        wall = time.monotonic() - began
        process.kill()
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = -9
        server.shutdown()
    return Start(used.ru_utime + used.ru_stime, wall, answer)
