"""Options that many commands take, and the question that one of them spares."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from cli.stack import Failure, Stack

Find = Annotated[Callable[[], Stack], Parameter(parse=False)]
"""Finds the stack that the options name. Raises Failure."""
Json = Annotated[bool, Parameter(negative=())]
Yes = Annotated[bool, Parameter(negative=())]


def agreed() -> bool:
    """Ask on the terminal. Raises Failure where there is none."""
    if not sys.stdin.isatty():
        raise Failure("Nothing was done. Where there is no terminal to ask on, say --yes.")
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
