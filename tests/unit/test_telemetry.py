"""What is said about the work, and what is not."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from easel import telemetry
from easel.errors import (
    BudgetExceeded,
    InvalidRequest,
    UpstreamBusy,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamUnknown,
)
from easel.jobs import Job
from local.template import ROOT, load
from tests.unit.examples import NOW, image, job, request, succeeded


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


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the metrics, a line each."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_job_is_counted_by_its_tenants_class_and_its_model(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    _, metrics = closed(succeeded(image(), image(), tenant_class="gold"), log, capsys)
    assert (metrics["JobsSucceeded"], metrics["Images"]) == ([1], [2])
    assert (metrics["MicroDollars"], metrics["HeldMicroDollars"]) == ([13_000], [20_000])
    assert (metrics["tenant_class"], metrics["model"]) == ("gold", "gpt-image-2.5-flare")
    assert not {"ChargesAboveHold", "BudgetRefusals"} & metrics.keys()
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Easel"


def test_a_charge_above_its_hold_is_counted(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    _, metrics = closed(succeeded(charge=20_001), log, capsys)
    assert metrics["ChargesAboveHold"] == [1]


def test_an_alarm_needs_no_model_to_see_it(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.closed(succeeded(charge=20_001))
    [line] = [line for line in lines(capsys) if "ChargesAboveHold" in line]
    assert not {"model", "tenant_class"} & line.keys()


def test_nothing_of_one_job_is_counted_with_the_next(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.closed(succeeded(charge=20_001))
    capsys.readouterr()
    failed = job(request=request(model="gpt-image-2", operation="edit"))
    telemetry.closed(failed.close("failed", NOW, error=InvalidRequest("x")))
    metrics = counted(capsys)
    assert (metrics["model"], metrics["tenant_class"]) == ("gpt-image-2", "standard")
    assert (metrics["JobsFailed"], metrics["MicroDollars"]) == ([1], [0])
    assert not {"JobsSucceeded", "ChargesAboveHold"} & metrics.keys()


REFUSED = BudgetExceeded("none left")


def test_a_call_that_no_budget_has_room_for_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with telemetry.admitted(job(tenant_class="gold")):
        pass
    assert lines(capsys) == []
    with pytest.raises(BudgetExceeded), telemetry.admitted(job(tenant_class="gold")):
        raise REFUSED
    [line] = lines(capsys)
    assert (line["BudgetRefusals"], line["tenant_class"]) == ([1], "gold")


def test_a_further_attempt_that_no_budget_has_room_for_is_counted(
    log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    _, metrics = closed(job().close("failed", NOW, error=REFUSED), log, capsys)
    assert (metrics["BudgetRefusals"], metrics["JobsFailed"]) == ([1], [1])


def test_upstreams_latency_is_of_what_it_answered(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([NOW, NOW + 6.5])
    with telemetry.called(job(request=request(operation="edit")), lambda: next(times)):
        pass
    [line] = lines(capsys)
    assert line["UpstreamLatency"] == [6500]
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Metrics"] == [{"Name": "UpstreamLatency", "Unit": "Milliseconds"}]
    assert (line["operation"], line["model"]) == ("edit", "gpt-image-2.5-flare")


@pytest.mark.parametrize(
    ("failure", "metric"),
    [
        (UpstreamBusy("x", status=429), "UpstreamLimited"),
        (UpstreamRefused("x", status=429, code="insufficient_quota"), "UpstreamClosed"),
        (UpstreamRefused("x", status=400, code="billing_hard_limit_reached"), "UpstreamClosed"),
        (UpstreamBusy("x"), "UpstreamFailed"),
        (UpstreamBusy("x", status=502), "UpstreamFailed"),
        (UpstreamUnknown("x"), "UpstreamFailed"),
        (UpstreamMisconfigured("x"), "UpstreamClosed"),
        (UpstreamRefused("x", status=400, code="moderation_blocked"), None),
        (KeyError("x"), None),
    ],
)
def test_upstreams_refusals_are_counted(
    failure: Exception, metric: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(failure)), telemetry.called(job(), lambda: NOW):
        raise failure
    assert [metric in line for line in lines(capsys)] == ([True] if metric else [])


def test_a_hit_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.hit(succeeded(tenant_class="gold"))
    [line] = lines(capsys)
    assert (line["CacheHits"], line["tenant_class"], line["model"]) == (
        [1],
        "gold",
        succeeded().request.model,
    )


@pytest.fixture
def said(log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Say everything there is to count, of a job whose every word is secret."""
    asked = request(prompt="secret", user="secret", parameters={"x": "secret"})
    one = succeeded(image("images/secret/1.png"), tenant="secret", request=asked, charge=20_001)
    telemetry.closed(one)
    telemetry.hit(one)
    for failure in (UpstreamBusy("secret", status=429), UpstreamBusy("secret")):
        with pytest.raises(UpstreamBusy), telemetry.called(one, lambda: NOW):
            raise failure
    with pytest.raises(BudgetExceeded), telemetry.admitted(one):
        raise BudgetExceeded("secret")
    with telemetry.called(one, lambda: NOW):
        pass
    telemetry.unjudged(one, "prompt", UpstreamBusy("secret"))
    with pytest.raises(UpstreamMisconfigured), telemetry.called(one, lambda: NOW):
        raise UpstreamMisconfigured("secret")
    telemetry.unexpected(KeyError("secret"))
    return lines(capsys)


def test_metrics_have_few_dimensions_and_name_nobody(said: list[dict[str, Any]]) -> None:
    assert not re.search("secret|job_", json.dumps(said))
    for line in said:
        [directive] = line.pop("_aws")["CloudWatchMetrics"]
        [dimensions] = directive["Dimensions"]
        assert set(dimensions) <= {"service", "tenant_class", "model", "operation"}
        assert line.keys() == {*dimensions, *(each["Name"] for each in directive["Metrics"])}
    told = {name for line in said for name in line if name[0].isupper()}
    assert told == documented() - {"JobsFailed", "JobsCancelled"}


def test_dashboard_and_alarm_look_at_what_is_said(said: list[dict[str, Any]]) -> None:
    directives = [line["_aws"]["CloudWatchMetrics"][0] for line in said]
    dimensions = {
        metric["Name"]: set(one["Dimensions"][0]) for one in directives for metric in one["Metrics"]
    }
    resources = load()["Resources"]
    alarms = [one["Properties"] for name, one in resources.items() if name.endswith("Alarm")]
    looked = [
        (alarm["MetricName"], {one["Name"] for one in alarm["Dimensions"]})
        for alarm in alarms
        if alarm.get("Namespace") == "Easel"
    ]
    body = json.loads(resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    expressions = [
        metric["expression"]
        for widget in body["widgets"]
        for [metric] in widget["properties"]["metrics"]
    ]
    for text in expressions:
        [(schema, search)] = re.findall(r"SCHEMA\(Easel, (.+?)\)|\{Easel,(.+?)\}", text)
        [(summed, found)] = re.findall(r'SUM\((\w+)\)|MetricName="(\w+)"', text)
        looked.append((summed or found, set(re.findall(r"\w+", schema or search))))
    assert len(looked) == 10
    assert [dimensions[name] == by for name, by in looked] == [True] * 10


def test_readme_names_every_metric_that_there_is() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z][a-zA-Z]+)`", row)}
    assert documented() <= named


def documented() -> set[str]:
    """Return the metrics that the module's docstring tables say."""
    told = {
        name
        for row in re.findall(r"^\| ([A-Z][\w, ]+) \|", str(telemetry.__doc__), re.MULTILINE)
        for name in row.split(", ")
    }
    alone = {"ChargesAboveHold", "UpstreamClosed", "UnexpectedErrors", "ModerationFailures"}
    return told | alone


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
