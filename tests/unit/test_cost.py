"""What Easel costs on AWS: reckoned by hand in small, and what the README says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bench.cost import bill, growth
from bench.cost.__main__ import put, shown
from bench.cost.bill import Deployment
from bench.cost.counting import Counts, index_units, item_bytes, read_units, write_units
from bench.cost.measuring import MODERATION_SECONDS, Measured
from bench.cost.tables import USUAL, Tables, models
from easel.catalogue import Catalogue
from local.template import ROOT, load

README = (ROOT / "README.md").read_text()


def deployment(**changes: Any) -> Deployment:
    functions = ("Generate", "Edit", "Worker", "Jobs", "Authorizer", "Sweep")
    fields = {
        "memory": {f"{name}Function": 1024 for name in functions},
        "disk": {f"{name}Function": 512 for name in functions} | {"WorkerFunction": 1536},
        "parameters": {"RetentionDays": 23, "KeyTtlSeconds": 60, "Architecture": "arm64"},
        "noncurrent_days": 7,
        "alarms": 3,
        "dashboards": 1,
        "secrets": 1,
        "polled_queues": 2,
    }
    return Deployment(**{**fields, **changes})


def test_a_picture_by_hand() -> None:
    door = Counts(write_units=8, index_units=1, read_units=20, messages=1, gets=1)
    worker = Counts(write_units=12, puts=2, stored_bytes=2_000_000, messages=2, cpu_seconds=0.5)
    door.calls.update({"GetItem job": 19, "TransactWriteItems job": 1, "SendMessage": 1})
    measured = Measured(
        counts={"door": door, "worker": worker},
        seconds={"door": 10, "worker": 9.5},
        invocations={"door": 1, "worker": 1},
        answer_bytes=3_000_000,
        log_bytes=1_100,
        item_bytes=2_000,
    )
    checked = Measured(invocations={"authorizer": 1}, seconds={"authorizer": 0.1})
    found = bill.picture(measured, checked, deployment())
    assert found["doors"] == pytest.approx(
        {"arm64_gb_seconds": 10.04 + 0.1, "disk_gb_seconds": 0, "invocations": 2}
    )
    assert found["worker"] == {"arm64_gb_seconds": 10, "disk_gb_seconds": 10, "invocations": 1}
    assert found["API"] == {"api_calls": 1, "gb_out": 0.003}
    assert found["DynamoDB"] == {
        "write_units": 21,
        "read_units": 20,
        "item_gb_months": pytest.approx(24e-6),
    }
    assert found["S3"] == {"s3_puts": 2, "s3_gets": 1, "s3_gb_months": 0.002}
    assert found["rest"] == {
        "fair_requests": 3,
        "secret_reads": 0,
        "log_gb": pytest.approx((1100 + 3 * 450) / 1e9),
    }
    prices = bill.prices()
    # 10 GB-seconds at 0.0000133334, as many of disk at 0.0000000309, 0.2 millionths for the call
    assert bill.usd(found["worker"], prices) == pytest.approx(0.000133334 + 0.000000309 + 0.0000002)
    # 3.50 a million, and 3 MB at 0.09 a GB
    assert bill.usd(found["API"], prices) == pytest.approx(0.0000035 + 0.00027)
    # 0.625 and 0.125 a million, 0.25 a GB-month
    dynamodb = 21 * 0.625e-6 + 20 * 0.125e-6 + 24e-6 / 1e0 * 0.25
    assert bill.usd(found["DynamoDB"], prices) == pytest.approx(dynamodb)


def test_who_waits_past_the_key_s_time_is_asked_again() -> None:
    measured = Measured(seconds={"door": 25, "jobs": 100}, invocations={"door": 1, "jobs": 4})
    checked = Measured(invocations={"authorizer": 1})
    found = bill.picture(measured, checked, deployment())
    assert found["API"]["api_calls"] == 5
    assert found["doors"]["invocations"] == 5 + 3


def test_a_month_by_hand() -> None:
    swept = Measured(
        counts={"sweep": Counts(read_units=0.5)},
        seconds={"sweep": 0.5},
        invocations={"sweep": 1},
        log_bytes=550,
    )
    found = bill.month(swept, 5, deployment())
    beats = 30 * 24 * 60
    assert found["sweep"] == pytest.approx(
        {
            "arm64_gb_seconds": beats * 0.5,
            "disk_gb_seconds": 0,
            "invocations": beats,
            "read_units": beats / 2,
            "log_gb": beats * 1000 / 1e9,
        }
    )
    # two queues, five polls each, of 20 s
    assert found["polls of idle queues"] == {"sqs_requests": 1_296_000}
    costs = {name: bill.usd(one, bill.prices()) for name, one in found.items()}
    assert costs["alarms"] == pytest.approx(0.3)
    assert costs["metrics of one class and model"] == pytest.approx(1.5)
    assert costs["dashboard"] == 3
    assert costs["secret"] == 0.4


def test_limits_by_hand() -> None:
    # An image a second takes 60 of 5 a minute. A month has 2,592,000 s; its peaks are ten times it.
    assert growth.met_at(5, 60) == pytest.approx(21_600)
    waits = Measured(
        counts={"worker": Counts(index_units=6, ledger_units=20)},
        seconds={"door": 25, "jobs": 5, "worker": 29},
        invocations={"door": 1, "jobs": 2, "worker": 1},
    )
    assert growth.demands(waits) == {
        "images a minute": 60,
        "executions at once": 59,
        "workers at once": 29,
        "calls a second to a route": 2,
        "API calls a second": 3,
        "ledger write units a second": 20,
        "transactions a second of a tenant": 2,
        "index write units a second": 6,
    }
    parameters = {"WorkerConcurrency": 29, "CallsPerSecond": 100}
    found = growth.limits(waits, deployment(parameters=parameters))
    by_name = {limit.name: limit for limit in found}
    assert by_name["`WorkerConcurrency`"].met_at == pytest.approx(259_200)
    assert by_name["Lambda, a new account"].met_at == pytest.approx(10 / 59 * 259_200)


def test_units_by_dynamodb_s_rules() -> None:
    item = {"tenant": {"S": "demo"}, "sk": {"S": "é"}, "n": {"N": "1234"}, "b": {"BOOL": True}}
    assert item_bytes(item) == (6 + 4) + (2 + 2) + (1 + 3) + (1 + 1)
    large = {"tenant": {"S": "x" * 4091}}
    assert write_units(None, item) == 1
    assert write_units(large, item) == 5, "the larger of before and after"
    assert read_units("GetItem", {"ConsistentRead": True}, {}) == 1
    assert read_units("GetItem", {"ConsistentRead": True}, {"Item": large}) == 2
    assert read_units("Query", {}, {"Items": [large, item]}) == 1
    assert read_units("PutItem", {}, {}) == 0


def test_units_of_the_index() -> None:
    due, later = ({"open": {"S": "open"}, "due_at": {"N": at}} for at in ("1", "2"))
    assert index_units(None, due) == 1
    assert index_units(due, due) == 0
    assert index_units(due, later) == 2
    assert index_units(due, {"due_at": {"N": "1"}}) == 1


def test_the_template_says_what_is_paid_for() -> None:
    read = Deployment.of_template(load())
    assert read.memory["AuthorizerFunction"] < read.memory["WorkerFunction"]
    assert read.disk["WorkerFunction"] > read.disk["GenerateFunction"] == 512
    assert (read.alarms, read.dashboards, read.secrets, read.polled_queues) == (8, 1, 1, 2)
    assert read.kept_months == pytest.approx((read.parameters["RetentionDays"] + 7) / 30)


def test_every_price_and_limit_has_its_source() -> None:
    for name, one in bill.prices().items():
        assert name == "region" or {"item", "usd", "per", "source"} <= one.keys(), name
    assert {
        f"{one['model']} {one['quality']}" for one in models()
    } <= Tables.recorded().measured.keys()
    assert all(one["source"] for one in models())


def test_every_living_model_has_a_latency() -> None:
    listed = Catalogue.load().listed(date(2026, 12, 1))
    living = {one.id for one in listed if one.resolves_to is None and one.prices}
    assert living == {one["model"] for one in models()}


def test_what_was_measured_took_as_long_as_the_models_take() -> None:
    measured = Tables.recorded().measured
    for one in models():
        worker = measured[f"{one['model']} {one['quality']}"].seconds["worker"]
        assert worker == pytest.approx(one["seconds"] + MODERATION_SECONDS)


def test_the_readme_shows_what_the_template_costs() -> None:
    assert shown(README) == Tables.recorded().readme(), "run: make cost"
    assert shown(put(README, "new")) == "new"


def test_more_memory_costs_more() -> None:
    tables = Tables.recorded()
    memory = {name: 2 * size for name, size in tables.on.memory.items()}
    richer = Tables(tables.measured, replace(tables.on, memory=memory))
    twice = richer.picture(USUAL)["worker"] / tables.picture(USUAL)["worker"]
    assert twice == pytest.approx(2, rel=0.01)
