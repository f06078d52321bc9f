"""A question for the inbox, put from this machine, and its answer brought back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import WaiterError

from cli.stack import Failure
from easel.aws import clients
from easel.catalogue import Catalogue

_LOOK_EVERY_SECONDS = 1


class Saved(NamedTuple):
    """An answer that has been brought back."""

    files: list[Path]
    cost_usd: float
    job: str


def given(words: Sequence[str]) -> dict[str, Any]:
    """Return ``name=value`` words as a request's fields. Raises Failure."""
    if not all("=" in word for word in words):
        raise Failure("Write parameters as name=value, like quality=high n=2.")
    named = dict(word.split("=", 1) for word in words)
    return Catalogue.load().from_text(named)


def put(bucket: str, tenant: str, picture: Path, mask: Path | None, fields: dict[str, Any]) -> str:
    """Put the files, then a manifest of them; return the key of the answer's document.

    Each put has a folder of its own, so that no answer but its own lies there.
    """
    client = clients.s3()
    folder = f"{tenant}/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    manifest = {**fields, "images": [picture.name]}
    named = {picture.name: picture}
    if mask:
        manifest["mask"] = f"mask/{mask.name}"
        named[manifest["mask"]] = mask
    for name, path in named.items():
        with path.open("rb") as file:
            client.put_object(Bucket=bucket, Key=f"inbox/{folder}/{name}", Body=file)
    body = json.dumps(manifest).encode()
    client.put_object(Bucket=bucket, Key=f"inbox/{folder}/{picture.stem}.json", Body=body)
    return f"outbox/{folder}/{picture.stem}.json.json"


def answer(bucket: str, document: str, out: Path, seconds: int) -> Saved:
    """Wait so long for the document, and save its pictures. Raises Failure, for its error, too."""
    client = clients.s3()
    place = f"s3://{bucket}/{document}"
    tries: Any = {"Delay": _LOOK_EVERY_SECONDS, "MaxAttempts": seconds // _LOOK_EVERY_SECONDS}
    try:
        client.get_waiter("object_exists").wait(Bucket=bucket, Key=document, WaiterConfig=tries)
    except WaiterError as error:
        if error.last_response["Error"]["Code"] != "404":
            raise
        raise Failure(f"No answer within {seconds} s. It will lie at {place}.") from None
    told = json.loads(client.get_object(Bucket=bucket, Key=document)["Body"].read())
    if told["error"]:
        raise Failure(f"{told['error']['message']} ({told['error']['code']}, {place})")
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for key in told["images"]:
        ending = key.removeprefix(document.removesuffix(".json"))
        files.append(out / f"{Path(document).name.split('.json')[0]}-{told['id'][-8:]}{ending}")
        files[-1].write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    return Saved(files, told["cost_usd"], told["id"])
