"""The running stack, as its tests see it: SDKs in front, the stand-in and the tables behind."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import httpx2
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from openai import AsyncOpenAI, OpenAI
from PIL import Image

from easel.aws.tenants import Tenants
from easel.keys import new_key
from easel.tenants import Tenant
from local.standin import Control
from local.template import ROOT

PATIENCE = 150
"""Seconds after which a condition that has not come true never will."""

_plain = TypeDeserializer().deserialize
Item = dict[str, Any]


class Running:
    """A stack that runs, by what ``stack.json`` says of it."""

    def __init__(self, stack: Item) -> None:
        self.stack = stack
        self.base_url: str = stack["base_url"]
        self.key: str = stack["key"]
        self.tenant: str = stack["tenant"]
        self.names: dict[str, str] = stack["names"]
        self.bucket = self.names["Bucket"]
        self.standin = Control(stack["standin_url"])
        self._clients: Item = {}

    @cached_property
    def client(self) -> OpenAI:
        """openai-python with its default settings."""
        return self.openai()

    @property
    def tenants(self) -> Tenants:
        """The tenants table."""
        return Tenants(self.aws("dynamodb"), self.names["TenantsTable"])

    def openai(self, **options: Any) -> OpenAI:
        """Return openai-python, configured."""
        return OpenAI(**{"base_url": self.base_url, "api_key": self.key, **options})

    def openai_async(self, **options: Any) -> AsyncOpenAI:
        """Return openai-python's other client."""
        return AsyncOpenAI(**{"base_url": self.base_url, "api_key": self.key, **options})

    def http(self, key: str | None = "", **options: Any) -> httpx2.Client:
        """Return plain HTTP with the tenant's key, another, or None at all.

        It follows what it is sent to, as every SDK does: the stack may be busy for longer
        than a door waits.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        given = {"base_url": self.base_url, "headers": headers, "timeout": 60}
        return httpx2.Client(**given | {"follow_redirects": True} | options)

    def aws(self, service: str) -> Any:
        """Return a boto3 client of the emulator that waits long and asks once."""
        if service not in self._clients:
            aws = self.stack["aws"]
            self._clients[service] = boto3.client(
                service,
                endpoint_url=aws["AWS_ENDPOINT_URL"],
                region_name=aws["AWS_DEFAULT_REGION"],
                aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
                config=Config(read_timeout=900, retries={"total_max_attempts": 1}),
            )
        return self._clients[service]

    def invoke(self, function: str, event: Item) -> tuple[str | None, Item]:
        """Invoke a function directly; return its error's kind, if any, and its result."""
        answer = self.aws("lambda").invoke(
            FunctionName=self.names[f"{function}Function"], Payload=json.dumps(event).encode()
        )
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    def easel(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the operator's command on the stack, with nobody at the terminal."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *words],
            cwd=ROOT,
            env={**os.environ, **self.stack["aws"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    @contextmanager
    def redriving(self) -> Iterator[None]:
        """Keep the stack's other tests from its dead letters meanwhile: a redrive takes all."""
        with Path(self.stack["log"], "redrive.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def new_tenant(self, **settings: Any) -> tuple[str, str]:
        """Make a tenant; return its name and its key."""
        name, key = f"t{uuid.uuid4().hex[:8]}", new_key()
        self.tenants.create(Tenant(name=name, **settings), time.time())
        self.tenants.add_key(name, key, time.time())
        return name, key

    def budget(self, tenant: str, micro_dollars: int) -> None:
        """Give a tenant a budget of a month; a key that was used before knows it in a minute."""
        self.tenants.change(tenant, {"month_budget": micro_dollars})

    def rows(self, table: str, prefix: str = "", tenant: str | None = None) -> list[Item]:
        """Return a tenant's items of the JobsTable or the LedgerTable whose keys begin so."""
        condition, values = "tenant = :tenant", {":tenant": {"S": tenant or self.tenant}}
        if prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        query = self.aws("dynamodb").get_paginator("query")
        pages = query.paginate(
            TableName=self.names[table],
            ConsistentRead=True,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
        )
        return [
            {name: _plain(value) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]

    def job(self, job_id: str, tenant: str | None = None) -> Item:
        """Return a tenant's job as the table has it."""
        (job,) = self.rows("JobsTable", f"job#{job_id}", tenant)
        return {**job, "attempts": json.loads(job["attempts"])}

    def jobs(self, prompt: str, tenant: str | None = None) -> list[str]:
        """Return the ids of the tenant's jobs whose prompt contains a text, oldest first."""
        return [
            row["sk"].removeprefix("job#")
            for row in self.rows("JobsTable", "job#", tenant)
            if prompt in json.loads(row["request"])["prompt"]
        ]

    def charges(self, job_id: str, tenant: str | None = None) -> list[Item]:
        """Return what the ledger charges for a job, an attempt a row."""
        return self.rows("LedgerTable", f"charge#{job_id}#", tenant)

    def paid(self, prompt: str) -> int:
        """Return how many calls with this prompt upstream has billed."""
        return sum(call["billed"] for call in self.standin.calls(containing=prompt))

    def objects(self, prefix: str) -> list[str]:
        """Return the keys in the bucket that begin so."""
        found = self.aws("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for one in found.get("Contents", ())]

    def object(self, key: str) -> bytes:
        """Return what lies in the bucket."""
        data: bytes = self.aws("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def books(self, tenant: str | None = None) -> tuple[dict[str, int], dict[str, int]]:
        """Return what a tenant's month says, and what its charges and its open jobs' holds say."""
        (month,) = self.rows("LedgerTable", "month#", tenant)
        charged = sum(row["amount"] for row in self.rows("LedgerTable", "charge#", tenant))
        held = sum(
            job["hold"]
            for job in self.rows("JobsTable", "job#", tenant)
            if job["status"] in ("queued", "running")
        )
        said = {"committed": month["committed"], "spent": month.get("spent", 0)}
        return said, {"committed": charged + held, "spent": charged}


def unique(words: str) -> str:
    """Return a prompt that no other test has, for the stand-in's rules and counts."""
    return f"{words} {uuid.uuid4().hex[:10]}"


def until[T](look: Callable[[], T], pause: float = 0.05) -> T:
    """Look until there is something; return it."""
    ends = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(pause)
    return found


def png(width: int = 1024, height: int = 1024, color: Any = (200, 40, 40)) -> bytes:
    """Return a picture of one colour; four numbers give it alpha."""
    buffer = BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def decoded(data: bytes) -> Image.Image:
    """Return the picture, every pixel read."""
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        return picture


def fetched(url: str) -> bytes:
    """Return what is behind a presigned URL, asked for as a browser does."""
    return httpx2.get(url, timeout=30).raise_for_status().content


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the command line of every process that lives, by its id."""
    listed = subprocess.run(
        ["ps", "-e", "-ww", "-o", "pid=,ppid=,stat=,args="],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    return {int(row[0]): (int(row[1]), row[-1]) for row in rows if not row[2].startswith("Z")}


def descendants(pid: int) -> dict[int, str]:
    """Return the command lines of the processes that a process started, and theirs, by id."""
    alive, found, parents = processes(), {}, [pid]
    for parent in parents:
        for child, (its_parent, command) in alive.items():
            if its_parent == parent:
                parents.append(child)
                found[child] = command
    return found
