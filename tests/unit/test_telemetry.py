"""What is said about the work, and what is not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from easel import telemetry
from easel.errors import InvalidRequest
from easel.jobs import Job
from tests.unit.examples import NOW, image, job, request, succeeded


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged meanwhile."""
    handler = telemetry.logger.registered_handler
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


def closed(
    one: Job, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the log's line and the metrics of a job that has ended."""
    telemetry.closed(one)
    [line] = log.getvalue().splitlines()
    return json.loads(line), counted(capsys)


def counted(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the metrics, in however many lines they were said."""
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return {name: value for line in lines for name, value in line.items()}


def test_a_job_is_logged_by_what_it_was(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    done = succeeded(image(), image())
    line, _ = closed(done, log, capsys)
    expected = {
        "tenant": "demo",
        "job": done.id,
        "operation": "generate",
        "model": "gpt-image-2.5-flare",
        "status": "succeeded",
        "images": 2,
        "charge": 13_000,
        "hold": 20_000,
        "seconds": 9,
        "refusals": 0,
    }
    assert {name: line[name] for name in expected} == expected
    assert "error" not in line


def test_a_job_is_counted(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    _, metrics = closed(succeeded(image(), image()), log, capsys)
    assert (metrics["JobsSucceeded"], metrics["Images"]) == ([1], [2])
    assert metrics["MicroDollars"] == [13_000]
    assert (metrics["operation"], metrics["model"]) == ("generate", "gpt-image-2.5-flare")
    assert "ChargesAboveHold" not in metrics
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Easel"


def test_a_charge_above_its_hold_is_counted(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    _, metrics = closed(succeeded(charge=20_001), log, capsys)
    assert metrics["ChargesAboveHold"] == [1]


def test_an_alarm_needs_no_model_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.closed(succeeded(charge=20_001))
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    [line] = [line for line in lines if "ChargesAboveHold" in line]
    assert not {"model", "operation"} & line.keys()


def test_nothing_of_one_job_is_counted_with_the_next(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.closed(succeeded(charge=20_001))
    capsys.readouterr()
    failed = job(request=request(model="gpt-image-2", operation="edit"))
    telemetry.closed(failed.close("failed", NOW, error=InvalidRequest("x")))
    metrics = counted(capsys)
    assert (metrics["model"], metrics["operation"]) == ("gpt-image-2", "edit")
    assert (metrics["JobsFailed"], metrics["MicroDollars"]) == ([1], [0])
    assert not {"JobsSucceeded", "ChargesAboveHold"} & metrics.keys()


def test_nothing_that_was_asked_or_made_is_said(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = request(prompt="my secret", user="secret-user", parameters={"x": "secret-x"})
    done = succeeded(image("images/secret/key"), request=asked, reply_to="outbox/demo/secret")
    failed = job(request=asked).close("failed", NOW, error=InvalidRequest("the secret", code="c"))
    telemetry.closed(done)
    telemetry.closed(failed)
    said = log.getvalue() + capsys.readouterr().out
    assert "secret" not in said
    assert json.loads(log.getvalue().splitlines()[1])["error"] == "c"


def test_an_unexpected_error_is_a_type_and_a_place(log: io.StringIO) -> None:
    try:
        raise KeyError("secret")
    except KeyError as error:
        telemetry.unexpected(error, job="job_1")
    line = json.loads(log.getvalue())
    assert (line["level"], line["error"], line["job"]) == ("ERROR", "KeyError", "job_1")
    [at] = line["at"]
    assert "test_telemetry.py" in at
    assert "secret" not in log.getvalue()
