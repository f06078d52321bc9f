"""Packages that run when a name is first asked of them, not when they are imported.

OpenAI's SDK imports the types of all its endpoints, of which none is used here: a third of what
its import takes, at each cold start. Nothing is put in their place: whoever asks, the SDK included,
gets the package, run then. Only this differs: a module of the package that asks the package itself
for a name, while it is imported, asks too early; and two threads that import of it at once could
wait for each other, which Python itself would see. Python 3.15's ``lazy import`` (PEP 810) will do
without that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any


@contextmanager
def deferred(package: str) -> Iterator[None]:
    """Defer the package and the packages in it, if the block is the first to import them."""
    finder = _Finder(package)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find what Python would find; a package is found with a loader that does not run it."""
        if not f"{name}.".startswith(f"{self._package}."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader and spec.submodule_search_locations is not None:
            # importlib.abc, whose Loader it would else be, takes 20 ms to load.
            loader: Any = _Loader(spec.loader)
            spec.loader = loader
        return spec


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader, self._ran, self._one_at_a_time = loader, False, RLock()

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as its own loader does."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module later: once a name is asked of it that it does not have."""

        def run(name: str) -> Any:
            with self._one_at_a_time:
                if not self._ran:
                    self._ran = True
                    try:
                        self._loader.exec_module(module)
                    except BaseException:
                        self._ran = False
                        raise
            try:
                return vars(module)[name]
            except KeyError:
                raise AttributeError(f"{module.__name__} has no {name}", name=name) from None

        module.__getattr__ = run  # type: ignore[method-assign]  # PEP 562
