"""Who calls Easel: published clients of OpenAI's Images API, old and new, by small programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from local.template import ROOT

PROGRAMS = Path(__file__).parent / "programs"
NODE = ROOT / ".local/node"
FAST, SLOW = 0, 10
"""Seconds that upstream takes; the stack waits three at a time."""
FULL_CHAIN = 23
"""Seconds that take all eight hops but for part of the last."""
PATIENCE = 180
"""Seconds after which a program has failed."""
FORMATS = (None, "url", "b64_json")
KINDS = ("png", "jpeg", "webp")

Pictures = list[dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Case:
    """What a client asks for: ``delay`` is how many seconds upstream takes."""

    operation: str = "generate"
    response_format: str | None = None
    kind: str = "png"
    delay: int = FAST


@dataclass(frozen=True, slots=True, eq=False)
class Client:
    """A library in one of its ways to call, and what it can express.

    ``shows`` is the one field that its caller gets to see, where it is not what was asked for.
    ``home`` is the virtual environment it is installed in, or Node's folder.
    """

    name: str
    program: str
    home: str = "dev"
    way: str = "sync"
    options: Mapping[str, str] = field(default_factory=dict)
    operations: tuple[str, ...] = ("generate", "edit", "variation")
    formats: tuple[str | None, ...] = FORMATS
    kinds: tuple[str, ...] = KINDS
    edited_kinds: tuple[str, ...] = KINDS
    shows: str | None = None
    hints: bool = True
    """Whether a variation can be given a prompt."""
    size: str = "512x512"
    prompt: str | None = None
    """The one that it always sends."""
    reads: Callable[[str], Pictures] = json.loads
    delays: tuple[int, ...] = (FAST, SLOW)
    node: int = 18
    """The least major version of Node."""

    def missing(self) -> str | None:
        """Return why the client cannot be run here, if it cannot."""
        if self.home != "node":
            ready = f".local/venv/{self.home}/ready"
            installed = self.home == "dev" or (ROOT / ready).exists()
            return None if installed else f"`make {ready}` installs it"
        major = _node()
        if major < self.node:
            return f"it needs Node {self.node}; there is {major or 'none'}"
        return None if (NODE / "ready").exists() else "`make .local/node/ready` installs it, by npm"

    def cases(self) -> Iterator[Case]:
        """Yield all that it can express: slow once per operation but for the first."""
        yield from (
            Case("generate", *one) for one in product(self.formats, self.kinds, self.delays)
        )
        for operation in self.operations[1:]:
            kinds = self.edited_kinds if operation == "edit" else ("png",)
            yield from (Case(operation, *one) for one in product(self.formats, kinds))
            if operation == "edit" or self.hints:
                yield Case(operation, self.formats[0], "png", SLOW)
        if self.way == "async":
            yield Case(delay=FULL_CHAIN)

    def call(self, base_url: str, key: str, asked: Mapping[str, Any]) -> Pictures:
        """Run the program; return the pictures it got. Raises SubprocessError."""
        case = {"base_url": base_url, "key": key, "way": self.way, **self.options, **asked}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "PYTHON"))}
        program = PROGRAMS / self.program
        if self.home == "node":  # which looks for libraries beside the program, unless it is read
            command, cwd, text = ["node", "--input-type=module", "-"], NODE, program.read_text()
        else:
            command, cwd, text = [_python(self.home), str(program)], ROOT, ""
        done = subprocess.run(
            [*command, json.dumps(case)],
            cwd=cwd,
            env={**kept, "OPENAI_API_BASE": base_url, "OPENAI_API_KEY": key},
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return self.reads(done.stdout)


def _python(home: str) -> str:
    return sys.executable if home == "dev" else str(ROOT / ".local/venv" / home / "bin/python")


@cache
def _node() -> int:
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.strip().lstrip("v").split(".")[0])


def _printed_url(text: str) -> Pictures:
    return [{"url": text.split()[-1]}]


_PYTHON = "openai_python.py"
_STREAM = {"way": "stream", "operations": ("generate", "edit"), "formats": (None,)}
_OLD, _LANGCHAIN = "clients-0.28.1", "clients-langchain"
_NODE = {"program": "openai_node.mjs", "home": "node"}
_AI = {
    "program": "vercel_ai.mjs",
    "home": "node",
    "formats": (None, "b64_json"),
    "shows": "b64_json",
}
GUIDE = "A futuristic cityscape at sunset with neon lights and flying cars"

CLIENTS = (
    Client("openai-python 3", _PYTHON),
    Client("openai-python 3 async", _PYTHON, way="async"),
    Client("openai-python 3 stream", _PYTHON, shows="b64_json", **_STREAM),
    Client("openai-python 3 with_raw_response", _PYTHON, way="raw"),
    Client("openai-python 3 with_streaming_response", _PYTHON, way="streamed"),
    Client("openai-python 1", _PYTHON, home=_LANGCHAIN),
    Client("openai-python 0.28.1", "openai_0_28.py", home=_OLD),
    Client("openai-python 0.28.1 async", "openai_0_28.py", home=_OLD, way="async"),
    Client(
        "the guide's program",
        "guide.py",
        home=_OLD,
        operations=("generate",),
        formats=(None,),
        kinds=("png",),
        shows="url",
        size="1024x1024",
        prompt=GUIDE,
        reads=_printed_url,
        delays=(SLOW,),
    ),
    Client("openai-node 7", **_NODE, options={"library": "openai-7"}, node=20),
    Client(
        "openai-node 7 stream",
        **_NODE,
        **_STREAM,
        options={"library": "openai-7"},
        shows="b64_json",
        node=20,
    ),
    Client("openai-node 6", **_NODE, options={"library": "openai"}),
    Client("openai-node 4", **_NODE, options={"library": "openai-4"}),
    Client(
        "openai-node 3",
        "openai_node_3.mjs",
        home="node",
        options={"library": "openai-3"},
        edited_kinds=("png",),
        hints=False,
    ),
    Client(
        "LangChain DallEAPIWrapper",
        "langchain_dalle.py",
        home=_LANGCHAIN,
        operations=("generate",),
        formats=(None,),
        kinds=("png",),
        shows="url",
    ),
    Client(
        "Vercel AI SDK 7",
        **_AI,
        operations=("generate", "edit"),
        options={"library": "ai", "provider": "@ai-sdk/openai"},
        node=20,
    ),
    Client(
        "Vercel AI SDK 5",
        **_AI,
        operations=("generate",),
        options={"library": "ai-5", "provider": "@ai-sdk/openai-2"},
    ),
    Client("curl -L", "curl.py"),
)
