"""Counts what one call of each sort asks of AWS, in this process: AWS is moto, OpenAI the stand-in.

Time is played: it passes while a door sleeps between two looks, and the worker's upstream answers
after as many of its seconds as the model takes. So a wait of minutes is counted look by look, and
each renewal of the lease with it, in a moment.
"""

from __future__ import annotations

import io
import json
import logging
import math
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, fields, replace
from functools import partial
from time import time
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from bench.cost.counting import Counts, Meter, item_bytes
from easel import bootstrap, telemetry
from easel.aws import clients
from easel.aws.items import plain
from easel.aws.jobs import of_item
from easel.aws.keys import Keys
from easel.doors import calls, https, jobs, pictures, queue
from easel.doors.authorizer import authorize
from easel.jobs import LEASE_SECONDS, Job
from easel.latencies import Latencies
from tests import deployment
from tests.functions.conftest import Context, Deployed
from tests.unit.examples import NOW, request, succeeded

if TYPE_CHECKING:
    from easel.bootstrap import Easel
    from easel.rendered import Rendered
    from easel.requests import Request
    from easel.upstream import Upstream

IMAGE_BYTES = 2_000_000
"""A 1024x1024 PNG, about."""
TO_WORKER_SECONDS = 0.1
"""From the message to its worker, which is warm."""
MODERATION_SECONDS = 0.5
"""What judging the prompt takes: unpublished, so a guess."""
SPREAD = 0.25
"""Of upstream's latencies, as the standard deviation of their logarithm."""


@dataclass
class Measured:
    """What one call of a sort took, by who: door, jobs, worker."""

    counts: dict[str, Counts] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long their invocations waited, all together, in played time."""
    invocations: dict[str, int] = field(default_factory=dict)
    answer_bytes: int = 0
    log_bytes: int = 0
    metrics: int = 0
    """CloudWatch metrics that were counted in: name and dimensions."""
    item_bytes: int = 0
    """What it left in DynamoDB."""

    def recorded(self) -> dict[str, Any]:
        """Return it as data, times to the hundredth of a second."""
        record = {each.name: getattr(self, each.name) for each in fields(self)}
        record["counts"] = {who: one.recorded() for who, one in sorted(self.counts.items())}
        record["seconds"] = {who: round(one, 2) for who, one in sorted(self.seconds.items())}
        return record

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Measured:
        """Return what was recorded."""
        counts = {who: Counts.of_record(one) for who, one in record["counts"].items()}
        return cls(**{**record, "counts": counts})


class Played:
    """The time: it passes while the door sleeps, and stands while the worker works."""

    def __init__(self) -> None:
        self.now = time()
        self._turn = threading.Condition()
        self._working = False
        self._wakes: float | None = None

    def __call__(self) -> float:
        """Return the Unix time."""
        return self.now

    def start(self) -> None:
        """Let what comes begin in the middle of a second."""
        self.now = int(self.now) + 1.5

    def begin(self) -> None:
        """Let the worker work, until it passes time or is done."""
        self._working = True

    def sleep(self, seconds: float) -> None:
        """Sleep, as the door."""
        until = self.now + seconds
        with self._turn:
            while True:
                self._turn.wait_for(lambda: not self._working)
                if self._wakes is None or self._wakes > until:
                    break
                self.now, self._wakes, self._working = self._wakes, None, True
                self._turn.notify_all()
            self.now = until

    def work_on(self, seconds: float) -> None:
        """Let so much time pass, as the worker."""
        with self._turn:
            self._wakes, self._working = self.now + seconds, False
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._working)

    def done(self) -> None:
        """Let the door go on alone."""
        with self._turn:
            self._working = False
            self._turn.notify_all()


@dataclass
class Slow:
    """Upstream that takes as long as a model does, meanwhile the lease is renewed."""

    real: Upstream
    seconds: float
    played: Played
    renew: Any

    def render(
        self, request: Request, inputs: Mapping[str, IO[bytes]], *, timeout: float
    ) -> Rendered:
        """Make the picture, in its time."""
        renewals, rest = divmod(self.seconds, LEASE_SECONDS / 3)
        for _ in range(int(renewals)):
            self.played.work_on(LEASE_SECONDS / 3)
            self.renew()
        self.played.work_on(rest)
        return self.real.render(request, inputs, timeout=timeout)

    def moderate(self, *args: Any, **kwargs: Any) -> Any:
        """Judge, in its time."""
        self.played.work_on(MODERATION_SECONDS)
        return self.real.moderate(*args, **kwargs)


class Rehearsal:
    """A deployment in this process whose calls are counted, its functions warm."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed
        deployed.tenant()
        deployed.standin.rule(image_bytes=IMAGE_BYTES)
        self._shadow = deployment.client("dynamodb")
        self._meter = Meter(clients.session(), self._shadow, deployed.environ["LEDGER_TABLE"])
        self._played = Played()
        self._door, self._jobs, self._worker = (self._function() for _ in range(3))
        self._keys = Keys(clients.dynamodb(), deployed.environ["TENANTS_TABLE"])
        self._asked = 0
        self.made("generate", 1)

    def made(self, function: str, seconds: float, **asked: Any) -> Measured:
        """Make a picture as a caller does that follows every redirect."""
        model, quality = asked.get("model", ""), asked.get("quality", "")
        for easel in (self._door, self._jobs):
            _teach(easel.lifecycle.latencies, function, model, quality, seconds)
        self._asked += 1
        self._played.start()
        body = {"prompt": f"a red fox in the snow, number {self._asked:03}", **asked}
        event = self._event(function, body)
        with self._counting() as measured, self._working(measured, seconds):
            reply = self._called(measured, "door", lambda: self._make(function, event))
            while reply["statusCode"] == 303:
                location = reply["headers"]["location"]
                reply = self._called(measured, "jobs", partial(self._result, location))
        assert reply["statusCode"] == 200, reply
        measured.answer_bytes = len(reply["body"].encode())
        self.last = json.loads(reply["body"])
        measured.item_bytes = self._kept(self.last["id"])
        return measured

    def hit(self, **asked: Any) -> Measured:
        """Ask for the last picture again, from the cache."""
        body = {"prompt": f"a red fox in the snow, number {self._asked:03}", **asked}
        event = self._event("generate", body)
        event["headers"]["cache-control"] = "max-age=3600"
        with self._counting() as measured:
            reply = self._called(measured, "door", lambda: self._make("generate", event))
        assert json.loads(reply["body"])["cached"], reply
        measured.answer_bytes = len(reply["body"])
        return measured

    def status(self) -> Measured:
        """Ask how the last job stands."""
        return self._read(jobs.show, f"/v1/jobs/{self.last['id']}")

    def result(self) -> Measured:
        """Ask for the last job's result, which is there."""
        return self._read(None, f"/v1/jobs/{self.last['id']}/result?response_format=url")

    def authorized(self) -> Measured:
        """Ask whose key it is."""
        event = self._deployed.event("authorizer", "https")
        with self._counting() as measured:
            self._called(measured, "authorizer", lambda: authorize(event, self._keys))
        return measured

    def swept(self) -> Measured:
        """Sweep, with nothing to do."""
        with self._counting() as measured:

            def sweep() -> dict[str, Any]:
                due = self._worker.lifecycle.sweep()
                telemetry.logger.info("swept", extra={"due": due})
                return {"due": due}

            self._called(measured, "sweep", sweep)
        return measured

    def _function(self) -> Easel:
        return bootstrap.build(clock=self._played, sleep=self._played.sleep)

    def _event(self, function: str, body: Mapping[str, Any]) -> dict[str, Any]:
        event = self._deployed.event("generate", "https", body=json.dumps(body))
        event["resource"] = f"/images/{'generations' if function == 'generate' else 'edits'}"
        event["requestContext"] |= {
            "path": f"/v1{event['resource']}",
            "requestTimeEpoch": int(self._played.now * 1000),
        }
        return event

    def _make(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        operation = cast("Any", function)
        return pictures.serve(self._door, operation, event, cast("Any", Context()))

    def _result(self, location: str) -> dict[str, Any]:
        event = self._location(location)
        ends_at = self._played.now + 290
        return https.answer(event, lambda call: calls.result(self._jobs, call, ends_at), ())

    def _location(self, location: str) -> dict[str, Any]:
        url = urlsplit(location)
        _, _, job_id, *rest = url.path.strip("/").split("/")
        event = self._deployed.event("jobs", "https")
        context = {"path": url.path, "requestTimeEpoch": int(self._played.now * 1000)}
        return event | {
            "resource": "/".join(["/jobs/{id}", *rest]),
            "pathParameters": {"id": job_id},
            "queryStringParameters": dict(parse_qsl(url.query)) or None,
            "requestContext": event["requestContext"] | context,
        }

    def _read(self, show: Any, location: str) -> Measured:
        with self._counting() as measured:

            def read() -> dict[str, Any]:
                if show is None:
                    return self._result(location)
                event = self._location(location)
                return https.answer(event, lambda call: show(self._jobs, call), ())

            reply = self._called(measured, "jobs", read)
        assert reply["statusCode"] == 200, reply
        measured.answer_bytes = len(reply["body"])
        return measured

    def _called(self, measured: Measured, who: str, call: Any) -> dict[str, Any]:
        began = self._played.now
        with self._meter.who(who):
            reply: dict[str, Any] = call()
        passed = self._played.now - began
        measured.seconds[who] = measured.seconds.get(who, 0) + passed
        measured.invocations[who] = measured.invocations.get(who, 0) + 1
        return reply

    @contextmanager
    def _working(self, measured: Measured, seconds: float) -> Iterator[None]:
        """Have a worker that takes the one message that comes."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self._played.work_on(TO_WORKER_SECONDS)
                [event] = self._deployed.messages()
                lifecycle = self._worker.lifecycle
                real, message = lifecycle.worker.upstream, json.loads(event["Records"][0]["body"])

                def renew() -> None:
                    lifecycle.ledger.renew(self._leased(message), int(self._played.now))

                slow: Any = Slow(real(), seconds, self._played, renew)
                worker = replace(lifecycle.worker, upstream=lambda: slow)
                until = self._played.now + 890
                lifecycle = replace(lifecycle, worker=worker)
                done = self._called(measured, "worker", lambda: queue.work(event, lifecycle, until))
                assert done == {"batchItemFailures": []}
            except BaseException as error:  # the door's thread raises it
                failed.append(error)
            finally:
                self._played.done()

        self._played.begin()
        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            self._played.sleep(0)
            thread.join(5)
        if failed:
            raise failed[0]

    def _leased(self, message: Mapping[str, str]) -> Job:
        key = {"tenant": {"S": message["tenant"]}, "sk": {"S": f"job#{message['job']}"}}
        table = self._deployed.environ["JOBS_TABLE"]
        return of_item(plain(self._shadow.get_item(TableName=table, Key=key)["Item"]))

    def _kept(self, job_id: str) -> int:
        """Return the bytes of the job's items, with DynamoDB's own 100 of each."""
        size = 0
        for name in ("JOBS_TABLE", "LEDGER_TABLE"):
            table = self._deployed.environ[name]
            for item in self._shadow.scan(TableName=table)["Items"]:
                if job_id in json.dumps(item):
                    size += item_bytes(item) + 100
        return size

    @contextmanager
    def _counting(self) -> Iterator[Measured]:
        """Count what the block calls, and what it says to the log."""
        measured, said = Measured(), io.StringIO()
        self._meter.counts = measured.counts
        [handler] = cast("list[logging.StreamHandler[Any]]", telemetry.logger.handlers)
        before = handler.setStream(said)
        try:
            with redirect_stdout(said):
                yield measured
        finally:
            handler.setStream(before)
        measured.log_bytes = len(said.getvalue().encode())
        measured.metrics = len(set(_metrics(said.getvalue())))


def measure(deployed: Deployed, models: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what each sort of call took, as data: a picture of each model, and the others."""
    rehearsal = Rehearsal(deployed)
    found = {}
    for one in models:
        named = {"model": one["model"], "quality": one["quality"]}
        made = rehearsal.made("generate", one["seconds"], size="1024x1024", **named)
        found[f"{one['model']} {one['quality']}"] = made
    rehearsal.made("generate", 1)
    found["status"], found["result"] = rehearsal.status(), rehearsal.result()
    found["hit"] = rehearsal.hit(response_format="url")
    inputs = [{"file_id": f"{rehearsal.last['id']}/0"}]
    found["edit"] = rehearsal.made("edit", 27, images=inputs, quality="medium")
    found["authorizer"], found["sweep"] = rehearsal.authorized(), rehearsal.swept()
    return {name: one.recorded() for name, one in found.items()}


def _teach(latencies: Latencies, function: str, model: str, quality: str, seconds: float) -> None:
    """Teach what 16 jobs before would have, whose latencies were spread as upstream's are."""
    dice = random.Random(16)
    parameters = {"quality": quality or "medium"}
    asked = request(operation=function, model=model or "gpt-image-2.5-flare", parameters=parameters)
    for _ in range(16):
        took = seconds * math.exp(dice.gauss(0, SPREAD))
        done = succeeded(request=asked)
        change = {"started_at": NOW, "finished_at": int(NOW + took)}
        latencies.learn(done.model_copy(update=change), NOW + took)


def _metrics(text: str) -> Iterator[tuple[str, ...]]:
    """Yield name and dimensions of each metric in the log."""
    for line in text.splitlines():
        said = json.loads(line)
        for one in said.get("_aws", {}).get("CloudWatchMetrics", []):
            for dimensions in one["Dimensions"]:
                where = [f"{name}={said[name]}" for name in sorted(dimensions)]
                yield from ((metric["Name"], *where) for metric in one["Metrics"])
