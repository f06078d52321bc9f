"""MiniStack, which here unpacks an archive once, and writes down what IAM decides.

It would unpack every archive anew for every process of every function: half of the CPU of its cold
start here, and 50 MB of the disk, or the memory, that it is done on. So a process is shown what was
unpacked by links, read only as on Lambda.

Each line of the file that is this program's one argument says what a function asked of AWS, and
whether its role lets it: function, action, resource, ``allowed`` or ``denied``, a tab between them.
The same is said once; objects are told apart by the first part of their key alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.core import iam_evaluator
from ministack.services import sts

_unpack = zipfile.ZipFile.extractall
_one_at_a_time = threading.Lock()


def unpack(
    self: zipfile.ZipFile,
    path: str | os.PathLike[str] | None = None,
    members: Iterable[str | zipfile.ZipInfo] | None = None,
    pwd: bytes | None = None,
) -> None:
    """Do what ``ZipFile.extractall`` does; a whole archive that lies in a file, once."""
    if path is None or members is not None or self.filename is None:
        _unpack(self, path, members, pwd)
        return
    digest = hashlib.sha256(Path(self.filename).read_bytes()).hexdigest()
    kept = Path(tempfile.gettempdir(), "unpacked", digest)
    with _one_at_a_time:
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=kept.parent))
            _unpack(self, made, None, pwd)
            made.rename(kept)
    for entry in kept.iterdir():
        Path(path, entry.name).symlink_to(entry)


def recording(enforce: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """Return MiniStack's check of a call, which writes what it decides into the file."""
    said: set[str] = set()

    def enforced(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        refusal = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        if session := sts._sessions.get(access_key_id):
            function = session["Arn"].rpartition("/")[2]
            resource = re.sub(r"(:s3:::[^/]+/[^/]+/).*", r"\1*", resource_arn)
            line = "\t".join((function, iam_action, resource, "denied" if refusal else "allowed"))
            with _one_at_a_time:
                if line not in said:
                    said.add(line)
                    with path.open("a") as file:
                        print(line, file=file)
        return refusal

    return enforced


if __name__ == "__main__":
    zipfile.ZipFile.extractall = unpack  # type: ignore[method-assign]  # MiniStack unpacks by it
    iam_evaluator.enforce = recording(iam_evaluator.enforce, Path(sys.argv.pop()))
    main()
