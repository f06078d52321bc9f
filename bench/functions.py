"""The measured processes: the built functions and the plain scripts, each fed its calls in turn.

The functions run on the local stack's AWS and its stand-in for OpenAI. They have a work queue of
their own, so that no worker but the measured one takes their messages.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import defaultdict
from io import BytesIO
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import boto3
from PIL import Image

from easel import uploads
from local.emulator import PYTHON
from local.template import ROOT

HERE = Path(__file__).parent
WARM_UPS, CALLS = 3, 9
IMAGE_BYTES = 2_000_000
MANY, MANY_BYTES = 10, 3_000_000
MOST_INPUTS = 16
FUNCTIONS = {"generate", "edit", "worker", "jobs"}
ASYNC = {"prefer": "respond-async"}
Event = dict[str, Any]


class Probe:
    """A measured process, from its import on."""

    def __init__(self, module: str, environ: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            command = [str(PYTHON), str(HERE / "probe.py"), module]
            self._process = Popen(
                command, env=environ, stdin=PIPE, stdout=PIPE, stderr=output, text=True
            )
        self._log = log
        self.receive()

    def send(self, event: Event) -> None:
        """Begin a call."""
        if self._process.stdin:
            print(json.dumps(event), file=self._process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """Return what a call took, when it is done."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            sys.exit(f"A measured process died:\n{self._log.read_text()[-4000:]}")
        return dict(json.loads(line))

    def close(self) -> str:
        """End the process; return its profile, if it made one."""
        return str(self._process.communicate()[0])


class Bench:
    """The measured processes of one run, and what their calls took: by name, in order."""

    def __init__(self, described: dict[str, Any], state: Path) -> None:
        self.taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.build, self._log = state / "build", state / "probe.log"
        # Whoever builds meanwhile does not change what is measured.
        shutil.copytree(ROOT / ".local/build", self.build)
        self._sqs = boto3.client("sqs")
        self._queue = self._sqs.create_queue(QueueName="bench")["QueueUrl"]
        self.environ = {
            **described["environment"],
            **described["aws"],
            **({"WARM_UPS": str(WARM_UPS)} if os.environ.get("PROFILE") else {}),
            "HOME": str(state),
            "WORK_QUEUE_URL": self._queue,
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_OPENAI_KEY": "sk-standin",
            "BENCH_OPENAI_URL": f"{described['standin_url']}/v1",
        }

    def start(self, name: str) -> Probe:
        """Start a function's process, or that of a module beside this one."""
        function = name in FUNCTIONS
        folder = self.build / f"{name.capitalize()}Function" if function else HERE
        path = f"{folder}:{self.build}/Dependencies/python:{self.build}/Easel/python"
        environ = {**self.environ, "PYTHONPATH": path}
        return Probe("app" if function else name, environ, self._log)

    def pictures(self) -> None:
        """Make pictures in turn: by the plain script, and by a call that waits; then repeat it."""
        names = ("plain", "read", "generate", "worker", "jobs")
        plain, read, door, worker, jobs = (self.start(name) for name in names)
        for _ in range(WARM_UPS + CALLS):
            self._call("plain", plain, {"prompt": "plainly", **ASKED})
            event = generate()
            made = self._waited("door", door, worker, event)
            stored = {"tenant": {"S": "demo"}, "sk": {"S": f"job#{made['id']}"}}
            image = f"images/demo/{made['id']}/1/0.png"
            self._call("read and presign", read, {"key": stored, "times": 1, "presign": image})
            self._call("two reads", read, {"key": stored, "times": 2})
            again = with_headers(event, {"cache-control": "max-age=3600"})
            self._call("hit", door, again)
            self._call("status", jobs, job(made["id"]))
            self._call("result", jobs, result(made["id"]))
        self._end(("plain", plain), ("read", read), ("door", door), ("worker", worker))
        jobs.close()

    def answers(self) -> None:
        """Turn an answer of upstream's into an object, by Easel and plainly."""
        ours, plain = self.start("bytes_easel"), self.start("bytes_plain")
        for _ in range(WARM_UPS + CALLS):
            self._call("bytes plain", plain, {"bytes": IMAGE_BYTES})
            self._call("bytes", ours, {"bytes": IMAGE_BYTES})
        self._end(("bytes_easel", ours), ("bytes_plain", plain))

    def many(self) -> None:
        """Make ten pictures of 3 MB in a worker that has made one, then take the largest inputs."""
        door, edit, worker = (self.start(name) for name in ("generate", "edit", "worker"))
        self._call("open", door, with_headers(generate(), ASYNC))
        self._call("one", worker, self.message())
        self._call("open", door, with_headers(generate("many", n=MANY), ASYNC))
        self._call("many", worker, self.message())
        data = noise()
        inputs = [{"file_id": self._uploaded(data)} for _ in range(MOST_INPUTS)]
        large = generate("largely", images=inputs, size="1536x1024", n=MANY)
        large = with_headers(large, ASYNC) | {"resource": "/images/edits"}
        self._call("large edit", edit, large)
        self._call("large worker", worker, self.message())
        for probe in (door, edit, worker):
            probe.close()

    def opened(self) -> tuple[str, Event]:
        """Open a job without waiting; return its id, and the event of its message."""
        door = self.start("generate")
        answer = self._call("open", door, with_headers(generate(), ASYNC))
        door.close()
        return json.loads(answer["body"])["id"], self.message()

    def _uploaded(self, data: bytes) -> str:
        """Put an upload; return its id."""
        file_id = uploads.new_id(time.time())
        key = uploads.key("demo", file_id)
        boto3.client("s3").put_object(Bucket=self.environ["BUCKET"], Key=key, Body=data)
        return file_id

    def _waited(self, name: str, door: Probe, worker: Probe, event: Event) -> dict[str, Any]:
        """Make one picture while the door waits for it; return what the door answered."""
        door.send(event)
        self._call("worker", worker, self.message())
        answer: dict[str, Any] = json.loads(self._call(name, door)["body"])
        return answer

    def _call(self, name: str, probe: Probe, event: Event | None = None) -> dict[str, Any]:
        """Make a call, or end the one that was sent; return the answer, if it is right."""
        if event:
            probe.send(event)
        reply = probe.receive()
        answer: dict[str, Any] = reply["answer"]
        done = answer.get("statusCode") in (200, 202) or answer.get("bytes") == IMAGE_BYTES
        if not done and answer != {"batchItemFailures": []}:
            sys.exit(f"{name} answered {answer}")
        if name == "hit" and '"cached": true' not in answer["body"]:
            sys.exit(f"It was no hit: {answer}")
        self.taken[name].append(reply)
        return answer

    def _end(self, *probes: tuple[str, Probe]) -> None:
        for name, probe in probes:
            if profile := probe.close():
                print(f"\n{name}: CPU seconds of all profiled calls\n{profile}")

    def message(self) -> Event:
        """Take the one message of the queue, as the event Lambda makes of it."""
        [got] = self._sqs.receive_message(QueueUrl=self._queue, WaitTimeSeconds=20)["Messages"]
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=got["ReceiptHandle"])
        event = example("worker", "queue")
        event["Records"][0]["body"] = got["Body"]
        return event


ASKED = {"model": "gpt-image-2.5-flare", "quality": "medium", "size": "1024x1024"}


def example(function: str, door: str) -> Event:
    """Return events/{function}/{door}.json, as if sent now."""
    event: Event = json.loads((ROOT / f"events/{function}/{door}.json").read_text())
    if "requestContext" in event:
        event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
    return event


def with_headers(event: Event, headers: dict[str, str]) -> Event:
    """Return the call, sent now and with more headers."""
    context = {**event["requestContext"], "requestTimeEpoch": int(time.time() * 1000)}
    return {**event, "headers": {**event["headers"], **headers}, "requestContext": context}


def generate(prompt: str = "quickly", **body: Any) -> Event:
    """Return the event of a new picture: each is another's prompt, so that none is a repeat."""
    said = {"prompt": f"{prompt} {time.time()}", **ASKED, "response_format": "url", **body}
    return example("generate", "https") | {"body": json.dumps(said)}


def noise(edge: int = 4096) -> bytes:
    """Return a picture of 50 MB: noise that no format makes smaller."""
    stream = BytesIO()
    picture = Image.frombytes("RGB", (edge, edge), os.urandom(edge * edge * 3))
    picture.save(stream, "PNG", compress_level=0)
    return stream.getvalue()


def job(job_id: str) -> Event:
    """Return the event that asks how a job stands."""
    return example("jobs", "https") | {"pathParameters": {"id": job_id}}


def result(job_id: str) -> Event:
    """Return the event that reads a job's result."""
    event = job(job_id) | {"resource": "/jobs/{id}/result"}
    event["requestContext"]["path"] = f"/v1/jobs/{job_id}/result"
    return event | {"queryStringParameters": {"response_format": "url"}}
