"""``python -m local.licences``: what the layer ships, with its licences, as LICENSES.md has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, metadata

from local.template import ROOT

SHIPPED = ROOT / "layers/dependencies/requirements.txt"
INTRODUCTION = """\
# Licences

What the layer `Dependencies` ships, by its packages' own metadata; `make update` writes this.
Pillow's wheels bring image libraries along, which its own licence file names.

| package | version | licence |
|---|---|---|
"""


def pinned(requirements: str) -> dict[str, str]:
    """Return each package's version, by name, of a file as ``make update`` writes it."""
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==(\S+)", requirements, re.MULTILINE))


def licence(package: PackageMetadata) -> str:
    """Return what a package says its licence is: as an expression, a line or classifiers."""
    classified = [
        each.rpartition(" :: ")[2]
        for each in package.get_all("Classifier", ())
        if each.startswith("License :: ")
    ]
    line = (package.get("License") or "").strip()
    said = package.get("License-Expression") or line or ", ".join(classified)
    if "\n" in said:
        said = ", ".join(classified)
    if not said:
        raise ValueError(f"{package['Name']} does not say its licence")
    return str(said)


def table() -> str:
    """Return the whole of LICENSES.md, of what is installed here at the layer's versions."""
    return INTRODUCTION + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for name, version in pinned(SHIPPED.read_text()).items():
        package = metadata(name)
        if package["Version"] != version:
            raise ValueError(f"{name} is here at {package['Version']}, the layer has {version}")
        yield f"| {name} | {version} | {licence(package)} |"


if __name__ == "__main__":
    print(table(), end="")
