"""A deferred package is whole, but runs only when it is asked for what it defines."""

import importlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from easel.deferred import deferred
from local.template import ROOT


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package ``slowly`` of three modules that say when they run, in this list."""
    package, said = tmp_path / "slowly", list[str]()
    (package / "inner").mkdir(parents=True)
    say = "import sys; sys.said.append(__name__)\n"
    (package / "__init__.py").write_text(f"{say}from slowly.inner.leaf import FOUND\nHERE = 1\n")
    (package / "inner/__init__.py").write_text(f"{say}from .leaf import FOUND as ALSO\n")
    (package / "inner/leaf.py").write_text(f"{say}FOUND = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "said", said, raising=False)
    yield said
    for name in [name for name in sys.modules if name.partition(".")[0] == "slowly"]:
        del sys.modules[name]


def test_it_runs_when_a_name_is_asked_of_it(ran):
    with deferred("slowly"):
        slowly = importlib.import_module("slowly")
    assert ran == []
    assert slowly.HERE == 1
    assert ran == ["slowly", "slowly.inner", "slowly.inner.leaf"]


def test_a_module_in_it_runs_alone(ran):
    with deferred("slowly"):
        leaf = importlib.import_module("slowly.inner.leaf")
    assert (ran, leaf.FOUND) == (["slowly.inner.leaf"], 2)
    also = importlib.import_module("slowly.inner").ALSO
    assert (ran, also) == (["slowly.inner.leaf", "slowly.inner"], 2)


def test_all_of_it_may_be_asked_for(ran):
    with deferred("slowly"):
        importlib.import_module("slowly.inner")
    names: dict[str, object] = {}
    exec("from slowly import *", names)
    assert {"HERE", "FOUND"} <= names.keys()


def test_what_it_has_not_it_has_not(ran):
    with deferred("slowly"):
        slowly = importlib.import_module("slowly")
    with pytest.raises(AttributeError, match="slowly has no absent"):
        slowly.absent  # noqa: B018  # it is asked for
    assert not hasattr(slowly, "absent")
    assert ran.count("slowly") == 1


def test_what_failed_to_run_is_run_again(ran, monkeypatch):
    with deferred("slowly"):
        slowly = importlib.import_module("slowly")
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "slowly.inner.leaf", None)
        with pytest.raises(ImportError):
            slowly.HERE  # noqa: B018  # it is asked for
    assert slowly.HERE == 1


def test_others_and_what_follows_are_imported_as_ever(ran):
    with deferred("slow"):
        slowly = importlib.import_module("slowly")
    assert ran[0] == "slowly"
    assert slowly.__spec__.loader.__class__.__name__ == "SourceFileLoader"


def test_threads_get_it_whole(ran):
    with deferred("slowly"):
        slowly = importlib.import_module("slowly")
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(slowly.FOUND)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [2] * 20
    assert ran.count("slowly") == 1


PROBE = """\
import sys
import easel.upstream
import openai
client = openai.OpenAI(api_key="none")
types = {name for name in sys.modules if name.startswith("openai.types.")}
assert len(types) < 100, len(types)
assert openai.types.ImagesResponse.construct(created=1).created == 1
assert client.images.generate
assert openai.types.responses.Response
"""


def test_the_sdk_is_whole_though_its_types_are_deferred():
    environ = {"PYTHONPATH": str(ROOT / "layers/easel"), "PATH": ""}
    subprocess.run([sys.executable, "-c", PROBE], env=environ, check=True)
