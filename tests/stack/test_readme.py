"""README.md is true: every block runs, in order, as its reader would run it; every table holds."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from easel import errors
from easel.catalogue import Catalogue
from local import emulator
from local.servers import free_port, running
from local.template import ROOT, gateway_responses, load
from tests.stack import readme
from tests.stack.readme import Block, Shell

BLOCKS = readme.blocks()
TEMPLATE = load()
SAM = str(emulator.VENV / "sam/bin/sam")
NODE = ROOT / ".local/node/node_modules"


# ---- Blocks ----


class Reader:
    """Who reads README from top to bottom, beside a running stack."""

    def __init__(self, folder: Path, stack: dict[str, Any]) -> None:
        self.folder = folder
        self.stack = stack
        bucket = {} if _has_aws() else {"BUCKET": stack["names"]["BucketName"]}
        self.shell = Shell(folder, {**stack["aws"], **bucket})
        for name in ("cli", "events"):
            (folder / name).symlink_to(ROOT / name)
        self.printed: dict[Block, str] = {}

    def read(self, block: Block) -> None:
        """Run the block, or compare it with what the one before it has printed."""
        by_language: dict[str, Callable[[Block], str | None]] = {
            "bash": self._bash,
            "python": self._python,
            "javascript": self._javascript,
            "json": self._json,
            "yaml": self._yaml,
            "text": self._text,
        }
        printed = by_language[block.language](block)
        if printed is not None:
            self.printed[block] = printed

    def _bash(self, block: Block) -> str:
        unknown = readme.unknown_to_aws(block.text)
        assert not unknown
        own = [run for start, run in OF_ITS_OWN.items() if block.text.startswith(start)]
        if own:
            return own[0](self, block.text)
        self._needs_aws(block.text)
        printed = self.shell.bash(self._here(block.text))
        assert '"error": {' not in printed, printed  # curl takes an error for an answer
        return printed

    def _python(self, block: Block) -> str:
        return self.shell.file(sys.executable, "block.py", self._here(block.text))

    def _javascript(self, block: Block) -> str:
        node = shutil.which("node")
        if node is None:
            pytest.skip("Node is not installed")
        if not NODE.is_dir():
            (self.folder / "block.mjs").write_text(block.text)
            subprocess.run([node, "--check", "block.mjs"], cwd=self.folder, check=True)
            pytest.skip("openai for Node is not installed: only the syntax was checked")
        modules = self.folder / "node_modules"
        if not modules.exists():
            modules.symlink_to(NODE)
        return self.shell.file(node, "block.mjs", self._here(block.text))

    def _json(self, block: Block) -> None:
        shown = json.loads(block.text)
        assert readme.shape(readme.printed_json(self._before(block))) == readme.shape(shown)

    def _yaml(self, block: Block) -> None:
        """Check the template: the emulator has not all of its resources."""
        (self.folder / "block.yaml").write_text(block.text)
        lint = readme.lint(self.folder / "block.yaml")
        assert lint.returncode == 0, lint.stdout

    def _text(self, block: Block) -> None:
        printed = self._before(block)
        assert readme.same_text(block.text, printed), printed

    def _before(self, block: Block) -> str:
        previous = BLOCKS[BLOCKS.index(block) - 1]
        if previous not in self.printed:
            pytest.skip(f"the block in line {previous.line} did not run")
        return self.printed[previous]

    def _here(self, text: str) -> str:
        return text.replace(readme.LOCAL, self.stack["base_url"])

    def _needs_aws(self, text: str) -> None:
        if re.search(r"(?<![\w-])aws |\bout ", text) and not _has_aws():
            pytest.skip("the aws command is not installed: only its words were checked")

    def targets(self, text: str) -> str:
        """Check that the targets exist; they are run elsewhere."""
        [targets] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for line in text.splitlines():
            make, target = line.split()
            assert make == "make"
            assert target in targets.split()
        return ""

    def make_invoke(self, text: str) -> str:
        """Run it as beside ``make run``, and see a picture."""
        with _as_made_run(self.stack):
            printed = self.shell.bash(text, cwd=ROOT)
        assert readme.printed_json(printed)["data"][0]["url"]
        return printed

    def sam_local(self, text: str) -> str:
        """Check names and options: to run it takes a container."""
        _, *words = shlex.split(text)
        options = [word for word in words if word.startswith("--")]
        told = subprocess.run(
            [SAM, "local", "invoke", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert [option for option in options if option not in told] == []
        assert words[:2] == ["local", "invoke"]
        assert words[2] in TEMPLATE["Resources"]
        given = dict(pairwise(words))
        assert (ROOT / given["-e"]).exists()
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())
        template = config["default"]["local_invoke"]["parameters"]["template_file"]
        assert words[2] in load(ROOT / template)["Resources"]
        state = Path(self.stack["log"]).parent
        environ = json.loads((state / Path(given["--env-vars"]).name).read_text())
        assert environ["Parameters"]["WORK_QUEUE_URL"] == ""
        return ""

    def deploy(self, text: str) -> str:
        """Run it against an AWS of its own: the stack's name is that of the one that runs."""
        self._needs_aws(text)
        folder = self.folder / "deploy"
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        key = folder / "openai-key.txt"
        upstream = {"api_key": "sk-standin", "base_url": f"{self.stack['standin_url']}/v1"}
        key.write_text(json.dumps(upstream))
        port = free_port()
        environ = {**self.stack["aws"], "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        del environ["AWS_DEFAULT_REGION"]
        server = emulator.environment(port, scratch)
        with running(emulator.command(folder), server, folder / "ministack.log", port):
            shell = Shell(folder, environ)
            text = text.replace("file://openai-key.txt", f"file://{key}")
            # Its base URL is AWS's, where nobody serves it.
            text = text.replace("easel check", "easel check || test $? = 1")
            printed = shell.bash(text, cwd=ROOT, stdin="y\n")
        assert re.search(r"^ek-\S+$", printed, re.MULTILINE)
        assert re.findall(r"^FAIL +(\w+)", printed, re.MULTILINE) == ["API"]
        return printed


OF_ITS_OWN: dict[str, Callable[[Reader, str], str]] = {
    "make run\n": Reader.targets,
    "make invoke": Reader.make_invoke,
    "sam local invoke": Reader.sam_local,
    "export AWS_DEFAULT_REGION=": Reader.deploy,
}
"""Blocks that are not simply run, by how they begin."""


def _has_aws() -> bool:
    aws = shutil.which("aws")
    return aws is not None and subprocess.run([aws, "--version"], check=False).returncode == 0


@contextmanager
def _as_made_run(stack: dict[str, Any]) -> Iterator[None]:
    """Describe the stack where ``make run`` would, unless one is described there."""
    names = ("stack.json", "env.json")
    if (ROOT / ".local/stack.json").exists():
        yield
        return
    (ROOT / ".local/log").mkdir(exist_ok=True)
    for name in names:
        shutil.copy(Path(stack["log"]).parent / name, ROOT / ".local" / name)
    try:
        yield
    finally:
        for name in names:
            (ROOT / ".local" / name).unlink()


@pytest.fixture(scope="module")
def reader(stack, tmp_path_factory):
    assert stack["key"] in readme.README
    return Reader(tmp_path_factory.mktemp("reader"), stack)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_does_what_it_says(block, reader, running):
    with running.redriving() if "redrive" in block.text else nullcontext():
        reader.read(block)


def test_every_special_case_is_in_use():
    for start in OF_ITS_OWN:
        assert [block for block in BLOCKS if block.text.startswith(start)]


# ---- Tables ----


def test_the_parameters_are_the_templates():
    shown = {name.strip("`"): (default, what) for name, default, what in _parameters()}
    expected = {
        name: (f"`{it['Default']}`" if it["Default"] != "" else "", it["Description"])
        for name, it in TEMPLATE["Parameters"].items()
    }
    assert shown == expected


def _parameters() -> list[list[str]]:
    return readme.table("parameter", "default", "what")


OF_NO_CALL = {(409, "conflict")}
"""The operator's command's."""
OF_UPSTREAM = {(429, "insufficient_quota")}
"""Upstream's own, passed on."""


def test_the_errors_are_those_of_the_code():
    shown = {
        (int(status), code)
        for status, codes, _ in readme.table("status", "code", "what to do")
        for code in re.findall(r"`(\w+)`", codes)
    }
    assert shown - OF_UPSTREAM == (_raised() | _of_gateway()) - OF_NO_CALL


def _raised() -> set[tuple[int, str]]:
    """Status and code of every error that the package makes with a code of its own."""
    pairs = set()
    for path in (ROOT / "layers/easel/easel").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = getattr(errors, node.func.id, None)
                if isinstance(kind, type) and issubclass(kind, errors.EaselError):
                    pairs |= _pair(kind, {each.arg: each.value for each in node.keywords})
    return pairs


def _pair(kind: type[errors.EaselError], given: dict[str | None, ast.expr]) -> set[tuple[int, str]]:
    status, code = (
        node.value if isinstance(node, ast.Constant) else None
        for node in (
            given.get("status", ast.Constant(kind.status)),
            given.get("code", ast.Constant(kind.code)),
        )
    )
    return {(status, code)} if isinstance(status, int) and isinstance(code, str) else set()


def _of_gateway() -> set[tuple[int, str]]:
    return {
        (response["StatusCode"], code)
        for response in gateway_responses(TEMPLATE).values()
        for code in re.findall(r'"code":"(\w+)"', response["ResponseTemplates"]["application/json"])
        if "StatusCode" in response
    }


def test_the_prices_are_the_catalogues():
    qualities = ("low", "medium", "high", "xhigh", "max")
    [[_, *shown]] = readme.table("quality", *qualities)
    for name in ("gpt-image-2.5-flare", "gpt-image-2.5-sunburst"):
        model = Catalogue.load().model(name)
        tokens = [model.output_tokens(quality, 1024, 1024) for quality in qualities]
        costs = [model.charge({"input_tokens": 0, "output_tokens": each}) for each in tokens]
        assert shown == [f"{cost / 1_000_000:.4f}" for cost in costs]


# ---- Promises ----


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", readme.README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists()


ABSENT: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "`POST /v1/inputs`": ("POST", "/inputs", {"bytes": 9, "content_type": "image/png"}),
    "`GET /v1/jobs`": ("GET", "/jobs", None),
    "`DELETE /v1/jobs/{id}`": ("DELETE", "/jobs/job_0", None),
    "`GET /v1/usage`": ("GET", "/usage", None),
    "`GET /v1/openapi.json`": ("GET", "/openapi.json", None),
}


@pytest.mark.parametrize("promise", ABSENT)
def test_what_is_said_not_to_be_there_is_not_there_and_nothing_else(promise, stack):
    method, path, body = ABSENT[promise]
    answer = httpx2.request(
        method,
        stack["base_url"] + path,
        json=body,
        headers={"Authorization": f"Bearer {stack['key']}"},
        timeout=60,
    )
    code = None if answer.status_code < 400 else answer.json()["error"]["code"]
    absent = code == "not_found"
    assert (promise in readme.section("Not there yet")) == absent, answer.text
