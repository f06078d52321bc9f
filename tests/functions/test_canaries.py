"""What is sensitive goes through every door and every failure, and lies nowhere it should not."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3
import pytest

from easel import bootstrap, moderation, telemetry
from easel.doors import queue
from tests.functions.canaries import CANARIES, Written, overheard, picture, written_as
from tests.functions.conftest import Context, Deployed, fail
from tests.functions.test_edit import drop, form

PROMPT, IMAGE = CANARIES["prompt"], picture()
ASKED = {
    "prompt": f'{PROMPT} "ü" {PROMPT}',
    "user": CANARIES["end user"],
    "size": "1024x1024",
}
ALLOWED = {
    # A caller is told what it asked, and where its own pictures are.
    ("replies", "prompt"),
    ("replies", "presigned URL"),
    # A job keeps its prompt, for its retention; and its owner reads it in the outbox.
    ("jobs table", "prompt"),
    ("outbox", "prompt"),
    # Upstream is asked for the picture, with the operator's key.
    ("upstream", "prompt"),
}
"""Where a canary may be found again; and each of these is, or the test would see nothing."""

REFUSALS: dict[str, dict[str, Any]] = {
    "blocked": {"status": 400, "code": "moderation_blocked", "message": f"No: {PROMPT}."},
    "wrong": {"status": 400, "code": PROMPT + " !", "param": PROMPT, "message": PROMPT},
    "key": {"status": 401, "code": "invalid_api_key", "message": CANARIES["upstream key"]},
    "money": {"status": 429, "code": "insufficient_quota", "message": PROMPT},
    "busy": {
        "status": 429,
        "code": "slow_down",
        "message": PROMPT,
        "headers": {"retry-after": "30"},
        "times": 1,
    },
    "failing": {"status": 500, "code": "server_error", "message": PROMPT},
    "gateway": {"status": 502, "message": PROMPT},
    "not begun": {"drop": "before"},
    "lost": {"drop": "during"},
    "cut": {"drop": "after"},
}
ENDS = {
    *("moderation_blocked", "upstream_error", "insufficient_quota", "upstream_outcome_unknown"),
    "unknown_parameter",
}
"""What jobs failed with."""
INVALID: dict[str, dict[str, Any]] = {
    "size": {"size": PROMPT},
    "n": {"n": PROMPT},
    "style": {"style": PROMPT},
    "model": {"model": PROMPT},
    "part": {"prompt": {"subject": "x", PROMPT: 1}},
    "change": {"prompt": {"from": PROMPT}},
    "unknown": {"later": PROMPT},
    "response_format": {"response_format": PROMPT},
    "long": {"prompt": PROMPT * 9_000},
    "images": {"images": [{"image_url": f"https://{PROMPT}"}]},
    "data": {"images": [{"image_url": f"data:;base64,{PROMPT}"}]},
}
BLOCKED: dict[str, tuple[str, bytes]] = {
    "prompt": (f"{PROMPT} forbidden-violence", IMAGE),
    "input image": (PROMPT, picture("magenta")),
    "output": (f"{PROMPT} magenta", IMAGE),
}
"""A prompt and an image, of which moderation blocks one, or what is made of them."""
SILENT: dict[str, dict[str, Any]] = {
    "wrong": {"status": 400, "code": PROMPT + " !", "param": PROMPT, "message": PROMPT},
    "key": {"status": 401, "code": "invalid_api_key", "message": CANARIES["upstream key"]},
    "busy": {"status": 429, "message": PROMPT, "headers": {"retry-after": "60"}},
    "failing": {"status": 500, "code": "server_error", "message": PROMPT},
    "gateway": {"status": 502, "message": PROMPT},
    "nonsense": {"status": 200, "message": PROMPT},
    "strange": {"flags": [PROMPT, f"violence/{PROMPT}"]},
    "not begun": {"drop": "before"},
    "cut": {"drop": "after"},
}
"""How moderation can fail, but for not answering at all."""
UNJUDGED = {PROMPT: ("https", "direct", "inbox"), "[image]": ("https", "form", "edit", "inbox")}
"""What moderation fails at, prompts or images, and by which doors these come."""


class Session:
    """A tenant's day, and another's who looks on."""

    def __init__(self, deployed: Deployed, written: Written) -> None:
        self.deployed, self.written = deployed, written
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.tenant = {"name": "demo"}
        self.slept = 0.0
        self.easel = bootstrap.build(clock=self.clock, sleep=self.sleep)
        self.jobs: list[str] = []

    def clock(self) -> float:
        return time.time() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def handle(self, function: str, event: dict[str, Any]) -> Any:
        if function not in self.handlers:
            handler = self.deployed.handler(function)
            if "easel" in handler.__globals__:  # its own would really sleep
                self.deployed.monkeypatch.setitem(handler.__globals__, "easel", self.easel)
            self.handlers[function] = handler
        return self.handlers[function](event, Context())

    def https(
        self, function: str, body: Any = None, door: str = "https", **changes: Any
    ) -> dict[str, Any]:
        event = self.deployed.event(function, door, **changes)
        event["headers"] |= {
            "Authorization": f"Bearer {CANARIES['tenant key']}",
            "Content-Type": "application/json",
        } | changes.get("headers", {})
        if body is not None:
            event |= {"body": json.dumps(body), "isBase64Encoded": False}
        event["requestContext"]["requestTimeEpoch"] = int(self.clock() * 1000)
        event["requestContext"]["authorizer"] = {"tenant": json.dumps(self.tenant)}
        answer = self.handle(function, event)
        self.written.add("replies" if self.tenant["name"] == "demo" else "others' replies", answer)
        return dict(answer)

    def post(self, function: str, *parts: tuple[str, bytes | str]) -> None:
        kind, body = form(*parts)
        sent = base64.b64encode(body).decode()
        event = self.deployed.event(function, "https", body=sent, isBase64Encoded=True)
        event["headers"] |= {"Content-Type": kind}
        event["requestContext"]["requestTimeEpoch"] = int(self.clock() * 1000)
        self.written.add("replies", self.handle(function, event))

    def direct(self, function: str, **event: Any) -> None:
        try:
            self.written.add("replies", self.handle(function, event))
        except Exception as error:  # Lambda logs it, and hands it to whoever invoked
            self.written.add("log", f"{type(error).__name__}: {error}")

    def ask(self, **fields: Any) -> str:
        """Ask, let a worker do it, and take the result; return the job's id, if there is one."""
        number = len(self.written.places["replies"])
        keyed = {"Idempotency-Key": f"{CANARIES['idempotency key']} {number}"}
        answer = self.https("generate", {**ASKED, **fields}, headers=keyed)
        self.work()
        job = str(json.loads(answer["body"]).get("id", ""))
        if job:
            self.look(job)
            self.jobs.append(job)
        return job

    def look(self, job: str) -> None:
        self.https("jobs", pathParameters={"id": job}, resource="/jobs/{id}")
        result = {"pathParameters": {"id": job}, "resource": "/jobs/{id}/result"}
        for query in ({"response_format": "url"}, {"stream": "true"}):
            self.https("jobs", queryStringParameters=query, **result)

    def work(self) -> None:
        for message in self.deployed.messages():
            self.written.add("messages", message)
            done = queue.work(message, self.easel.lifecycle, self.clock() + 900)
            self.written.add("messages", done)

    def judge(self, prompt: str, image: bytes, *doors: str) -> None:
        """Ask for what is judged, at some doors or at all."""
        asked = {**ASKED, "prompt": prompt}
        form = ("prompt", prompt), ("user", ASKED["user"]), ("image", image)
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        place = f"inbox/demo/{len(self.written.places['messages'])}.png"
        acts = {
            "https": lambda: self.ask(prompt=prompt),
            "form": lambda: (self.post("edit", *form), self.work()),
            "direct": lambda: self.direct("generate", tenant="demo", **asked),
            "edit": lambda: self.direct("edit", images=[{"image_url": url}], **asked),
            "inbox": lambda: self.put(place, image, prompt=prompt, user=ASKED["user"]),
        }
        for door in doors or acts:
            acts[door]()

    def put(self, name: str, data: bytes, **metadata: str) -> None:
        event = drop(self.deployed, name, data, **metadata)
        told = json.loads(event["Records"][0]["body"])
        told["Records"][0]["s3"]["object"]["key"] = name
        event["Records"][0]["body"] = json.dumps(told)
        self.written.add("messages", self.handle("edit", event))
        self.work()

    def through_every_door(self) -> None:
        self.handle(
            "authorizer",
            {
                **self.deployed.event("authorizer", "https"),
                "authorizationToken": f"Bearer {CANARIES['tenant key']}",
            },
        )
        self.ask()
        self.ask(safety_identifier=CANARIES["safety identifier"], n=2)
        self.ask(quote=True)
        for function in "edit", "variation":
            self.post(
                function, ("prompt", ASKED["prompt"]), ("user", ASKED["user"]), ("image", IMAGE)
            )
        url = f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}"
        self.https("edit", {**ASKED, "images": [{"image_url": url}]})
        self.work()
        self.https("inputs", {"bytes": len(IMAGE), "content_type": "image/png"})
        self.https("jobs", door="list")
        self.direct("generate", tenant="demo", idempotency_key=CANARIES["idempotency key"], **ASKED)
        self.put("inbox/demo/one.png", IMAGE, prompt=PROMPT, user=CANARIES["end user"])
        asked = {**ASKED, "images": ["cat.png"], "user": CANARIES["end user"]}
        self.put("inbox/demo/ask.json", json.dumps(asked).encode())
        self.put("inbox/demo/cat.png", IMAGE)

    def through_every_failure(self) -> None:
        for name, rule in REFUSALS.items():
            self.deployed.standin.rule(containing=f"{PROMPT} {name}", **rule)
            self.ask(prompt=f"{PROMPT} {name}")
            self.direct("generate", prompt=f"{PROMPT} {name}")
        for fields in INVALID.values():
            self.ask(**fields)
            self.direct("generate", **{**ASKED, **fields})
            self.direct("edit", **{**ASKED, **fields})
            self.put("inbox/demo/bad.json", json.dumps({**ASKED, **fields}).encode())
        self.direct("generate", tenant=PROMPT, **ASKED)
        self.crash()
        self.corrupt()
        self.expire()

    def through_moderation(self) -> None:
        for prompt, image in BLOCKED.values():
            self.judge(prompt, image)
        for name, rule in SILENT.items():
            for given, doors in UNJUDGED.items():
                self.deployed.standin.rule(path="moderations", containing=given, **rule)
                self.judge(f"{PROMPT} {name}", IMAGE, *doors)
                self.deployed.standin.clear_rules()
        self.deployed.monkeypatch.setattr(moderation, "_PATIENCE_SECONDS", 1)  # it truly waits
        self.deployed.standin.rule(path="moderations", hang=True)
        self.judge(f"{PROMPT} hanging", IMAGE, "https", "edit")
        self.deployed.standin.clear_rules()
        self.deployed.standin.rule(path="moderations", status=500, message=PROMPT)
        for wait in 120, 3_700:  # tried again; and ended
            self.slept += wait
            self.handle("sweep", {})
            self.work()
        for job in self.jobs:
            self.look(job)
        self.https("jobs", door="list")

    def crash(self) -> None:
        """Let what Easel is built on fail in its own words, wherever it is called."""
        for act in (
            lambda: self.https("generate", ASKED),
            lambda: self.direct("generate", **ASKED),
            lambda: self.look(self.jobs[0]),
            lambda: self.put("inbox/demo/one.png", IMAGE, prompt=PROMPT),
            lambda: self.ask(prompt=f"{PROMPT} crash"),
        ):
            for call in "GetItem", "UpdateItem", "TransactWriteItems", "PutItem":
                fail(self.easel.lifecycle.ledger.client, call, RuntimeError(PROMPT), times=1)
                act()

    def corrupt(self) -> None:
        """Let a job's item be what no job is."""
        for broken in (f'{{"prompt": "{PROMPT}"}}', f'{{"{PROMPT}'):
            answer = self.https("generate", {**ASKED, "prompt": f"{PROMPT} {broken}"})
            job = str(json.loads(answer["body"])["id"])
            boto3.client("dynamodb").update_item(
                TableName=self.deployed.environ["JOBS_TABLE"],
                Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{job}"}},
                UpdateExpression="SET #request = :broken, due_at = :now",
                ExpressionAttributeNames={"#request": "request"},
                ExpressionAttributeValues={":broken": {"S": broken}, ":now": {"N": "1"}},
            )
            self.look(job)
            self.https("jobs", door="list")
            self.work()
            self.handle("sweep", {})
            self.work()

    def expire(self) -> None:
        boto3.client("dynamodb").update_item(
            TableName=self.deployed.environ["JOBS_TABLE"],
            Key={"tenant": {"S": "demo"}, "sk": {"S": f"job#{self.jobs[0]}"}},
            UpdateExpression="SET finished_at = :then",
            ExpressionAttributeValues={":then": {"N": "1"}},
        )
        self.look(self.jobs[0])

    def looked_at_by_another(self) -> None:
        self.tenant = {"name": "other"}
        for job in self.jobs:
            self.look(job)
        self.https("jobs", door="list")
        self.https("edit", {"prompt": "x", "images": [{"file_id": f"{self.jobs[0]}/0"}]})

    def gather(self) -> None:
        """Take what lies in the tables, in the bucket, and at upstream."""
        for table in "JOBS_TABLE", "LEDGER_TABLE", "TENANTS_TABLE":
            items = boto3.resource("dynamodb").Table(self.deployed.environ[table]).scan()["Items"]
            self.written.add(table.lower().replace("_", " "), items)
        for one in boto3.client("s3").list_objects_v2(Bucket="easel")["Contents"]:
            self.written.add("keys", one["Key"])
            if one["Key"].startswith("outbox/") and one["Key"].endswith(".json"):
                self.written.add("outbox", self.deployed.object(one["Key"]).decode())
        self.written.add("upstream", self.deployed.standin.calls())


@pytest.fixture
def written() -> Iterator[Written]:
    with overheard() as written:
        yield written


def prepared(deployed: Deployed, written: Written) -> Session:
    """Return a session whose secrets are all canaries."""
    deployed.tenant(key=CANARIES["tenant key"])
    deployed.set(WAIT_SECONDS="0", EVENT_BUS="default", POWERTOOLS_LOG_LEVEL="DEBUG")
    boto3.client("secretsmanager").put_secret_value(
        SecretId=deployed.environ["UPSTREAM_SECRET"],
        SecretString=json.dumps(
            {"api_key": CANARIES["upstream key"], "base_url": deployed.standin.base_url}
        ),
    )
    return Session(deployed, written)


def ended(written: Written) -> set[tuple[str, str]]:
    """Return how jobs ended, and with which error, as the log has it."""
    return set(re.findall(r'"(succeeded|failed)"(?:,"error":"(\w+)")?', written.log.getvalue()))


def searched(written: Written, events: Iterable[Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Look for the canaries in all that was gathered, the bus's events and the output too."""
    for event in events:
        written.add("events", event)
    written.add("log", "".join(capfd.readouterr()))
    assert written.found() == ALLOWED


def test_nothing_sensitive_lies_where_it_does_not_belong(
    deployed: Deployed, written: Written, capfd: pytest.CaptureFixture[str]
) -> None:
    session, bus = prepared(deployed, written), listening()
    session.through_every_door()
    session.through_every_failure()
    session.looked_at_by_another()
    session.gather()
    searched(written, bus(), capfd)
    assert ended(written) == {("succeeded", ""), *(("failed", code) for code in ENDS)}

    for canary in CANARIES.values():
        for one in written_as(canary):
            leaky = Written()
            leaky.add("log", f"a line that says {one}")
            assert leaky.found(), "a leak in this spelling would not be seen"
    telemetry.logger.info("a line that leaks", extra={"what": ASKED})
    sys.stdout.write(base64.b64encode(IMAGE).decode())
    written.add("log", "".join(capfd.readouterr()))
    assert {("log", name) for name in ("prompt", "end user", "image")} <= written.found()


@pytest.mark.parametrize("failure", ["open", "closed"])
def test_nothing_that_is_judged_lies_where_it_does_not_belong(
    deployed: Deployed, written: Written, capfd: pytest.CaptureFixture[str], failure: str
) -> None:
    deployed.set(MODERATION_POLICY="prompt+output", MODERATION_FAILURE=failure)
    session, bus = prepared(deployed, written), listening()
    session.through_moderation()
    session.looked_at_by_another()
    session.gather()
    searched(written, bus(), capfd)
    codes = {"moderation_blocked", *(["moderation_unavailable"] if failure == "closed" else [])}
    assert ended(written) == {("succeeded", ""), *(("failed", code) for code in codes)}
    jobs = (row for sk, row in deployed.rows("JOBS_TABLE").items() if sk.startswith("job#"))
    assert {job["status"] for job in jobs} == {"succeeded", "failed"}
    unjudged = set(re.findall(r'"stage":"([\w ]+)"', written.log.getvalue()))
    assert unjudged == BLOCKED.keys()


def listening() -> Callable[[], list[Any]]:
    """Connect a queue to the default bus; return what takes all that was told there."""
    sqs, bus = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bus.put_rule(Name="told", EventPattern='{"source": ["easel"]}')
    bus.put_targets(Rule="told", Targets=[{"Id": "told", "Arn": arn["QueueArn"]}])

    def take() -> list[Any]:
        told: list[Any] = []
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            told += [one["Body"] for one in found]
        return told

    return take
