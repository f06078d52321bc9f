"""`easel`: tenants, their keys and costs, the inbox, what is stuck, and whether all is well.

A command finds the stack by its outputs and its parts by botocore, in whatever AWS the environment
leads to: the local stack's where AWS_ENDPOINT_URL is set.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.types import ExistingFile

from cli import spend, tenants
from cli.options import Find, Json, Yes, agreed
from cli.stack import Failure, Stack, explained
from easel.tenants import valid_name

app = App(name="easel", help="Operate Easel.", version_flags=[])
inbox = App(name="inbox", help="Files in, files out.")
app.command(tenants.app)
app.command(tenants.keys)
app.command(inbox)
jobs = App(name="jobs", help="Work that was asked for.")
app.command(jobs)
jobs.command(spend.listed, name="list")
app.command(spend.spend)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    stack_name: str = "easel",
    region: str | None = None,
) -> Any:
    """Run a command on a stack.

    Parameters
    ----------
    stack_name
        The CloudFormation stack; the local one has the default's name.
    region
        Its AWS region, where it is not your default one.
    """
    command, bound, ignored = app.parse_args(tokens)
    finders = dict.fromkeys(ignored, partial(Stack.find, stack_name, region))
    return command(*bound.args, **bound.kwargs, **finders)


@inbox.command
def put(
    file: ExistingFile,
    /,
    *parameters: str,
    prompt: str | None = None,
    tenant: str = "demo",
    mask: ExistingFile | None = None,
    size: str | None = None,
    out: Path = Path(),
    wait: int = 900,
    find: Find,
) -> None:
    """Edit a picture by way of the inbox: put it, wait for the answer, save the pictures.

    Parameters
    ----------
    file
        A PNG, JPEG or WebP.
    parameters
        Others of the request as name=value, like quality=high, or operation=variation.
    prompt
        What to make of it; a variation needs none.
    tenant
        Who pays.
    mask
        A PNG of the picture's size, transparent where it may be painted.
    size
        WIDTHxHEIGHT, or auto.
    out
        Where to save the pictures, under the file's name and the job's.
    wait
        For how many seconds.
    """
    from cli.inbox import answer, given, put

    named = {"prompt": prompt, "size": size}
    fields = given(parameters) | {name: text for name, text in named.items() if text is not None}
    bucket = find().bucket_name
    saved = answer(bucket, put(bucket, valid_name(tenant), file, mask, fields), out, wait)
    for path in saved.files:
        print(path, flush=True)
    print(f"cost_usd {saved.cost_usd}, {saved.job}", file=sys.stderr)


@jobs.command
def stuck(*, json: Json = False, find: Find) -> None:
    """Show what needs an operator: jobs nobody looks after, messages given up. Changes nothing.

    Parameters
    ----------
    json
        Print one JSON object instead: jobs, dead_letters.
    """
    from cli.jobs import Backlog

    backlog = Backlog.of(find())
    overdue, judged = list(backlog.overdue()), list(backlog.judged())
    if json:
        letters = [{"queue": queue, **verdict.record()} for queue, verdict in judged]
        found = {"jobs": [one._asdict() for one in overdue], "dead_letters": letters}
        print(json_format.dumps(found, indent=2))
        return
    for one in overdue:
        print(f"overdue  {one}")
    for queue, verdict in judged:
        print(f"{queue:<7}  {verdict}")
    if not overdue and not judged:
        print("Nothing is stuck.")


@app.command
def redrive(*, yes: Yes = False, find: Find) -> int:
    """Try again what was given up, as `easel jobs stuck` says; exit code 1 if anything failed.

    Parameters
    ----------
    yes
        Do not ask first.
    """
    from cli.jobs import Backlog, plan

    backlog = Backlog.of(find())
    planned = [verdict for _, verdict in backlog.judged()]
    print(plan(planned), flush=True)
    if not planned or not (yes or agreed()):
        return 0
    failed = 0
    for outcome in backlog.redrive(planned):
        failed += outcome.failure is not None
        print(outcome, flush=True)
    print(f"{len(planned) - failed} done, {failed} failed")
    return 1 if failed else 0


@app.command
def check(*, json: Json = False, find: Find) -> int:
    """Tell whether the stack is whole and upstream takes its key; exit code 1 if not. Free.

    Parameters
    ----------
    json
        Print one JSON object instead: ok, base_url, checks.
    """
    from cli.check import findings

    stack = find()
    found = []
    for one in findings(stack):
        found.append(one)
        if not json:
            print(f"{'ok  ' if one.ok else 'FAIL'}  {one.name:<13}  {one.detail}", flush=True)
    ok = all(one.ok for one in found)
    if json:
        checks = [one._asdict() for one in found]
        print(json_format.dumps({"ok": ok, "base_url": stack.base_url, "checks": checks}, indent=2))
    else:
        print(f"\nbase URL  {stack.base_url}\n\n{_CURL.format(stack.base_url)}")
    return 0 if ok else 1


def main(tokens: Sequence[str] | None = None) -> None:
    """Run the command line, then exit. What fails is one line on stderr, and exit code 1."""
    try:
        with explained():
            app.meta(tokens)
    except Failure as failure:
        sys.exit(f"easel: {failure}")


_CURL = """\
curl -L {}/images/generations -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -H "Content-Type: application/json" -d '{{"prompt": "a red fox in the snow"}}'"""

if __name__ == "__main__":
    main()
