"""The functions' roles, by what all stacks of the stack's tests saw them do: they run before these.

Of every call that a function made, ``local.ministack`` wrote down what IAM decided: all that is
granted is needed by somebody, and nobody was refused what he asked.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from local.template import ROOT
from tests.template.test_template import FUNCTIONS, resources, statements

LOGS = sorted((ROOT / ".local/tests").rglob("iam.log"))
READ, LIST = "s3:GetObject", "s3:ListBucket"
"""Who may list is told by S3 that what it reads is not there, others that they may not: so readers
need it, and nobody is seen to use it."""
pytestmark = pytest.mark.skipif(not LOGS, reason="make stack runs these after the stack's tests")


class Decision(NamedTuple):
    """What IAM said to a function's call."""

    function: str
    action: str
    resource: str
    outcome: str


@pytest.fixture(scope="module")
def decisions() -> set[Decision]:
    """All of them, but those of the probes that try the roles' bounds."""
    lines = {line for log in LOGS for line in log.read_text().splitlines()}
    every = {Decision(*line.split("\t")) for line in lines}
    return {
        one._replace(function=named[1])
        for one in every
        if (named := re.fullmatch(r"easel-(\w+Function)-.+", one.function))
    }


def grants(function: str) -> Iterator[tuple[str, str]]:
    """Yield (action, resource) of all that the template lets the function do."""
    for statement in statements(function):
        for action in statement["Action"]:
            for resource in resources(statement):
                yield action, pattern(resource)


def pattern(resource: dict[str, Any]) -> str:
    """Return what the ARNs of a resource look like, as MiniStack names what it makes."""
    [(intrinsic, said)] = resource.items()
    text = f"${{{'.'.join(said)}}}" if intrinsic == "Fn::GetAtt" else said
    text = re.sub(r"\$\{(AWS::\w+|EventBusName)\}", "[^:/]+", text.replace("*", ".*"))
    return re.sub(r"\$\{(\w+)\.\w+\}", r"arn:[^/]*[:/](secret:)?easel-\1-[^/]+", text)


def test_all_functions_were_at_work(decisions):
    counted = dict.fromkeys(FUNCTIONS, 0)
    for one in decisions:
        counted[one.function] += 1
    print(f"\nroles: {len(LOGS)} stacks; kinds of calls by function: {counted}")  # noqa: T201  # the counts
    assert {function for function, count in counted.items() if not count} == {"ModelsFunction"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_granted_that_nobody_used(decisions, function):
    made = [(one.action, one.resource) for one in decisions if one.function == function]
    reads = any(action == READ for action, _ in made)
    idle = {
        (action, resource)
        for action, resource in grants(function)
        if not (action == LIST and reads)
        and not any(
            action == did and re.fullmatch(resource, where, re.IGNORECASE) for did, where in made
        )
    }
    assert not idle


def test_no_function_was_refused_what_it_asked(decisions):
    assert not {one for one in decisions if one.outcome == "denied"}
