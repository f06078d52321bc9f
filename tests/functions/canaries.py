"""Canaries: texts that stand for what is sensitive, and where they are found again.

Each is short and of letters alone, so that neither cutting nor escaping hides it; it is looked for
as it is, in hexadecimal, and in base64 wherever in a text it may begin.
"""

from __future__ import annotations

import base64
import io
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from easel import telemetry

CANARIES = {
    "upstream key": "sk-standin",
    "tenant key": "ek-TenantQvzx",
    "prompt": "PromptQvzx",
    "image": "ImageQvzx",
    "end user": "EndUserQvzx",
    "safety identifier": "SafetyQvzx",
    "idempotency key": "IdempotencyQvzx",
    "presigned URL": "X-Amz-Signature",
}
LIBRARIES = (
    *("aws_lambda_powertools", "boto3", "botocore", "s3transfer", "urllib3"),
    *("openai", "httpcore2", "httpx2", "PIL", "easel"),
)
"""Whose loggers an operator may have set to DEBUG."""


def picture(colour: str = "orange") -> bytes:
    """Return a PNG that says the image's canary."""
    said = PngInfo()
    said.add_text("Comment", CANARIES["image"])
    Image.new("RGB", (64, 64), colour).save(out := BytesIO(), "PNG", pnginfo=said)
    return out.getvalue()


def written_as(canary: str) -> set[str]:
    """Return how the text looks in whatever holds it, in lower case."""
    encoded = {base64.b64encode(b"." * lead + canary.encode())[4:-4].decode() for lead in range(3)}
    return {one.lower() for one in (canary, canary.encode().hex(), *encoded)}


@dataclass
class Written:
    """All that was written, by place."""

    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    log: io.StringIO = field(default_factory=io.StringIO)

    def add(self, place: str, what: Any) -> None:
        self.places[place].append(what if isinstance(what, str) else json.dumps(what, default=str))

    def found(self) -> set[tuple[str, str]]:
        """Return (place, canary) of every canary that is anywhere."""
        texts = {place: "\n".join(said).lower() for place, said in self.places.items()}
        texts["log"] = texts.get("log", "") + self.log.getvalue().lower()
        return {
            (place, name)
            for place, text in texts.items()
            for name, canary in CANARIES.items()
            if any(one in text for one in written_as(canary))
        }


@contextmanager
def overheard() -> Iterator[Written]:
    """Hear whatever is logged at whatever level, by Easel and by what it is built on."""
    written = Written()
    heard = logging.StreamHandler(written.log)
    loggers = [logging.getLogger(), *map(logging.getLogger, LIBRARIES), telemetry.logger._logger]
    levels = [one.level for one in loggers]
    ours = telemetry.logger.registered_handler
    before = ours.setStream(written.log)
    loggers[0].addHandler(heard)
    for one in loggers:
        one.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        loggers[0].removeHandler(heard)
        ours.setStream(before)
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
