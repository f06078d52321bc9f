"""A trial: one faulted job, from its caller's first word to what the caller reads in the end."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from easel.formats import sniff
from tests.stack.chaos.cases import Case
from tests.stack.chaos.strikes import Armed
from tests.stack.running import png

if TYPE_CHECKING:
    from tests.stack.chaos.chaos import Chaos

ASKED = {"size": "1024x640", "quality": "low", "output_format": "jpeg"}
"""The cheapest picture there is."""
BUSY_MODEL = "gpt-image-2.6-flare"
"""Whose calls upstream refuses for a while: that holds up all calls to the model."""
CAT = png(64, 64)
TRIES = 12
"""How often a caller asks again. Doors that die are many here, and machines small."""
PATIENCE_SECONDS = 420
SLOW_PATIENCE_SECONDS = 1_320


@dataclass
class Trial:
    """One faulted job. ``read`` is what its caller could: ``images``, an error's code, nothing."""

    case: Case
    tenant: str
    key: str
    began: float = field(default_factory=time.time)
    armed: list[Armed] = field(default_factory=list)
    job: str | None = None
    read: str | None = None
    trouble: str | None = None
    ended: float | None = None

    @property
    def prompt(self) -> str:
        return f"a fox for {self.tenant}"

    @property
    def hit(self) -> bool:
        """Whether all that was to happen has happened; what has no strike always happens."""
        return all(one.hits for one in self.armed)

    @property
    def recovery(self) -> float:
        """Seconds from the last strike, or from the beginning, until the caller could read."""
        hits = [at for one in self.armed for at in one.hits]
        return (self.ended or time.time()) - max(hits, default=self.began)

    @property
    def asked(self) -> dict[str, str]:
        """The picture that is asked for."""
        busy = self.case.rule.get("status") in (429, 503)
        return {**ASKED, "model": BUSY_MODEL} if busy else ASKED

    @property
    def patience(self) -> float:
        return SLOW_PATIENCE_SECONDS if self.case.slow else PATIENCE_SECONDS


def run(chaos: Chaos, trial: Trial) -> None:
    """Call as the case's caller calls, and note what could be read."""
    try:
        trial.read = CALLERS[trial.case.caller](chaos, trial)
    # Whatever it is, it is what this caller met; the judgement decides.
    except Exception as error:
        trial.trouble = f"{type(error).__name__}: {error}"
    trial.ended = trial.ended or time.time()


def look_again(chaos: Chaos, trial: Trial) -> None:
    """Let a caller look whose job was done only after its patience had ended.

    What it was told too late is not lost; the time of its recovery says how late.
    """
    if trial.read is None and (trial.job or trial.case.caller == "inbox"):
        trial.read = result(chaos, trial) if trial.job else in_outbox(chaos, trial)
        trial.ended = time.time()


def call_async(chaos: Chaos, trial: Trial, **more: Any) -> str | None:
    """Open without waiting, asking again with the same key; look when the job is closed."""
    path = "edits" if more else "generations"
    answer = _posted(
        chaos, trial, f"/images/{path}", {"prompt": trial.prompt, **trial.asked, **more}
    )
    if answer.status_code != 202:
        return _read(answer)
    trial.job = answer.json()["id"]
    if trial.case.copies:
        chaos.courier.send(trial.tenant, str(trial.job), trial.case.copies)
    chaos.watch.closed(str(trial.job), trial.began + trial.patience)
    trial.ended = time.time()  # from now on it can be read, however many stand in line to
    return result(chaos, trial)


def call_edit(chaos: Chaos, trial: Trial) -> str | None:
    """Do the same with a picture."""
    url = f"data:image/png;base64,{base64.b64encode(CAT).decode()}"
    return call_async(chaos, trial, images=[{"image_url": url}])


def call_sdk(chaos: Chaos, trial: Trial) -> str | None:
    """Call with openai-python, which knows nothing of Easel, and wait."""
    with chaos.doors:
        client = chaos.client.with_options(api_key=trial.key, max_retries=TRIES)
        try:
            made = client.images.generate(prompt=trial.prompt, **trial.asked)  # type: ignore[call-overload] # plain dict
        except openai.APIStatusError as error:
            return str(error.code)
    trial.job = made.id
    return _looked_at(httpx2.get(made.data[0].url, timeout=30))


def call_direct(chaos: Chaos, trial: Trial) -> str | None:
    """Invoke the function, again with the same key where it died."""
    event = {
        "prompt": trial.prompt,
        **trial.asked,
        "tenant": trial.tenant,
        "idempotency_key": "once",
    }
    for _ in range(TRIES):
        failed, answer = chaos.running.invoke("Generate", event)
        if not failed:
            trial.job = answer["id"]
            return _looked_at(httpx2.get(answer["data"][0]["url"], timeout=30))
        # The emulator keeps an error's type to itself.
        if "may have been billed" in answer["errorMessage"]:
            return "upstream_outcome_unknown"
        time.sleep(1)
    return None


def call_inbox(chaos: Chaos, trial: Trial) -> str | None:
    """Put a picture into the inbox and wait for the document in the outbox."""
    chaos.courier.expect(trial.tenant, trial.case.copies)
    chaos.running.aws("s3").put_object(
        Bucket=chaos.running.bucket,
        Key=f"inbox/{trial.tenant}/cat.png",
        Body=CAT,
        Metadata={"prompt": trial.prompt, **trial.asked},
    )
    while (read := in_outbox(chaos, trial)) is None and time.time() < trial.began + trial.patience:
        time.sleep(2)
    return read


def in_outbox(chaos: Chaos, trial: Trial) -> str | None:
    """Return what the document in the outbox says; None where there is none yet."""
    keys = chaos.running.objects(f"outbox/{trial.tenant}/cat.png.json")
    if not keys:
        return None
    document = json.loads(chaos.running.object(keys[0]))
    trial.job = document["id"]
    if document["error"]:
        return str(document["error"]["code"])
    sniff(chaos.running.object(document["images"][0]))
    return "images"


CALLERS: dict[str, Callable[[Chaos, Trial], str | None]] = {
    "async": call_async,
    "sdk": call_sdk,
    "edit": call_edit,
    "direct": call_direct,
    "inbox": call_inbox,
}


def result(chaos: Chaos, trial: Trial) -> str | None:
    """Return what the job's result is to its caller; it is asked for until it is no 5xx of ours."""
    with chaos.readers:
        for count in range(TRIES):
            answer = chaos.http.get(
                f"/jobs/{trial.job}/result",
                headers={"Authorization": f"Bearer {trial.key}", "Prefer": "wait=0"},
            )
            if answer.status_code != 303 and _final(answer):
                return _read(answer)
            time.sleep(min(0.5 * 2**count, 8))
    return None


def _posted(chaos: Chaos, trial: Trial, path: str, body: dict[str, Any]) -> httpx2.Response:
    headers = {
        "Authorization": f"Bearer {trial.key}",
        "Prefer": "respond-async",
        "Idempotency-Key": uuid.uuid4().hex,
    }
    answer = None
    with chaos.doors:
        for count in range(TRIES):
            try:
                answer = chaos.http.post(path, json=body, headers=headers)
            except httpx2.TransportError as error:
                trial.trouble = repr(error)
            else:
                if _final(answer):
                    return answer
            time.sleep(min(0.5 * 2**count, 8))
    assert answer is not None, trial.trouble
    return answer


def _final(answer: httpx2.Response) -> bool:
    """Whether a caller that does as it is told would not ask again."""
    if told := answer.headers.get("x-should-retry"):
        return told == "false"
    return answer.status_code < 500


def _read(answer: httpx2.Response) -> str | None:
    if answer.status_code != 200:
        code: str | None = answer.json()["error"]["code"]
        return code
    return _looked_at(httpx2.get(answer.json()["data"][0]["url"], timeout=30))


def _looked_at(picture: httpx2.Response) -> str:
    sniff(picture.raise_for_status().content)
    return "images"
