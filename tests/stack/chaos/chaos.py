"""A stack whose functions reach AWS and upstream through the proxy, and trials run against it."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from openai import DefaultHttpxClient, OpenAI

from easel.aws.tenants import Tenants
from easel.keys import new_key
from easel.tenants import Tenant
from tests.stack.chaos import trials
from tests.stack.chaos.cases import Case
from tests.stack.chaos.courier import Courier
from tests.stack.chaos.proxy import Proxy
from tests.stack.chaos.strikes import Armed
from tests.stack.chaos.trials import Trial
from tests.stack.conftest import described, start, stop
from tests.stack.running import Running

AT_ONCE = 400
"""Trials; most of them wait for a lease to lapse, or for the sweep."""
READERS = 2
"""Callers that read their result at once: those who come must not keep them from it."""
FUNCTIONS = ("Generate", "Edit", "Worker", "Sweep")
"""The ones that run jobs."""


class Chaos:
    """What trials share."""

    def __init__(self, running: Running, proxy: Proxy, dice: random.Random, doors: int) -> None:
        self.running = running
        self.proxy = proxy
        self.courier = Courier(running, dice)
        self.watch = Watch(running)
        self.doors = threading.BoundedSemaphore(doors)
        self.readers = threading.BoundedSemaphore(READERS)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=doors)
        self.http = running.http(None, limits=limits, follow_redirects=False)
        self.client: OpenAI = running.openai(
            http_client=DefaultHttpxClient(limits=limits, follow_redirects=True)
        )

    def trial(self, case: Case) -> Trial:
        """Make a tenant of the trial's own, and arm its strikes."""
        name, key = f"chaos-{uuid.uuid4().hex[:8]}", new_key()
        tenants = Tenants(self.running.aws("dynamodb"), self.running.names["TenantsTable"])
        tenants.create(Tenant(name=name), time.time())
        tenants.add_key(name, key, time.time())
        armed = [Armed(strike) for strike in case.strikes]
        self.proxy.arm(name, armed)
        if case.rule:
            self.running.standin.rule(containing=name, **case.rule)
        return Trial(case, name, key, armed=armed)

    def run(self, cases: Sequence[Case], said: Callable[[str], None]) -> list[Trial]:
        """Run a trial of each case, side by side; return them when all callers have their ends."""
        done: list[Trial] = []

        def one(case: Case) -> None:
            trial = self.trial(case)
            trials.run(self, trial)
            done.append(trial)
            if len(done) % 100 == 0:
                said(f"{len(done)} of {len(cases)} jobs after {time.time() - began:.0f} s")

        began = time.time()
        for attempts, group in groupby(sorted(cases, key=_attempts), key=_attempts):
            self._permit(attempts)
            pool = ThreadPoolExecutor(AT_ONCE)
            try:
                list(pool.map(one, group))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return done

    def _permit(self, attempts: int) -> None:
        """Let jobs make so many paid attempts."""
        functions, key = self.running.aws("lambda"), "MAX_PAID_ATTEMPTS"
        for name in FUNCTIONS:
            function = {"FunctionName": self.running.names[f"{name}Function"]}
            environment = functions.get_function_configuration(**function)["Environment"]
            if environment["Variables"][key] != str(attempts):
                environment["Variables"][key] = str(attempts)
                functions.update_function_configuration(**function, Environment=environment)

    def close(self) -> None:
        """End what runs beside the trials."""
        self.courier.close()
        self.watch.close()


class Watch:
    """Looks once a second which jobs are open, for all trials that wait for theirs to close."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._seen: tuple[float, frozenset[str]] = (0.0, frozenset())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def closed(self, job: str, until: float) -> None:
        """Return when the job is closed, or at Unix time ``until``."""
        asked = time.time()
        while time.time() < until:
            at, still_open = self._seen
            if at > asked and job not in still_open:
                return
            time.sleep(0.5)

    def close(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join(30)

    def _look(self) -> None:
        query = self._running.aws("dynamodb").get_paginator("query")
        while not self._stopped.wait(1):
            at = time.time()
            pages = query.paginate(
                TableName=self._running.names["JobsTable"],
                IndexName="open",
                KeyConditionExpression="#open = :open",
                ExpressionAttributeNames={"#open": "open"},
                ExpressionAttributeValues={":open": {"S": "open"}},
            )
            found = (item["sk"]["S"] for page in pages for item in page["Items"])
            self._seen = at, frozenset(sk.removeprefix("job#") for sk in found)


@contextmanager
def chaos(seed: int, doors: int = 6, workers: int = 16) -> Iterator[Chaos]:
    """Start a stack of its own under the proxy; stop it when the block is left.

    ``doors`` is how many callers may keep a door's process busy at once, ``workers`` how many jobs
    are worked at once.
    """
    with tempfile.TemporaryDirectory() as state:
        yield from _chaos(Path(state), random.Random(seed), doors, workers)


def _chaos(state: Path, dice: random.Random, doors: int, workers: int) -> Iterator[Chaos]:
    described_by: dict[str, Any] = {}
    proxy = Proxy()
    aws = proxy.listen(lambda: _port(described_by.get("aws", {}).get("AWS_ENDPOINT_URL")))
    upstream = proxy.listen(lambda: _port(described_by.get("standin_url")))
    parameters = ("WaitSeconds=3", f"WorkerConcurrency={workers}")
    endpoint = f"AwsEndpointUrl=http://127.0.0.1:{aws}"
    process: subprocess.Popen[bytes] = start(state, *parameters, endpoint)
    try:
        described_by |= described(state, process)
        running = Running(described_by)
        running.aws("secretsmanager").put_secret_value(
            SecretId=running.names["UpstreamSecretArn"],
            SecretString=json.dumps(
                {"api_key": "sk-standin", "base_url": f"http://127.0.0.1:{upstream}/v1"}
            ),
        )
        made = Chaos(running, proxy, dice, doors)
        yield made
        made.close()
    finally:
        stop(process)
        proxy.close()


def _attempts(case: Case) -> int:
    return case.attempts


def _port(url: str | None) -> int:
    """Return a URL's port; 0, where nobody listens, while it is not known."""
    return urlsplit(url or "").port or 0
