"""From what was measured, and the prices, to an AWS bill. Pure; USD are floats, they pay nobody."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.cost.counting import Counts
from bench.cost.measuring import Measured

HERE = Path(__file__).parent
GB = 1e9
"""AWS bills storage and transfer by GB, memory by 1024 MB."""
MONTH_SECONDS = 30 * 86_400

AWS_CALL_SECONDS = 0.02
"""What a call to AWS takes, beside its CPU: a few ms for DynamoDB, more for S3. A guess."""
PLATFORM_LOG_BYTES = 450
"""Lambda's own lines of an invocation: START, END, REPORT. A guess."""
ITEM_MONTHS = 12
"""How long items count as stored: jobs go sooner, money stays."""
POLLERS, POLL_SECONDS = 5, 20
"""With so many long polls of so long Lambda watches an idle queue
(docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html; the seconds are not verified)."""
KMS_PAIRS, KMS_SECONDS = 12, 300
"""Of functions and encrypted tables at work, each asking KMS that often, at most
(docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html)."""
_FREE_DISK_MB = 512
_LOOK = "GetItem job"


def prices() -> dict[str, Any]:
    """Return the prices by what they are of."""
    data: dict[str, Any] = tomllib.loads((HERE / "prices.toml").read_text())
    return data


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the template says of what is paid for."""

    memory: Mapping[str, int]
    """In MB, by function: ``GenerateFunction``."""
    disk: Mapping[str, int]
    """In MB, by function."""
    parameters: Mapping[str, Any]
    """Their defaults."""
    noncurrent_days: int
    alarms: int
    dashboards: int
    secrets: int
    polled_queues: int

    @classmethod
    def of_template(cls, template: Mapping[str, Any]) -> Self:
        """Read the template, as ``local.template.load`` returns it."""
        resources = template["Resources"]
        kinds = [one["Type"] for one in resources.values()]
        usual = template["Globals"]["Function"]["MemorySize"]
        functions = {
            name: one["Properties"]
            for name, one in resources.items()
            if one["Type"] == "AWS::Serverless::Function"
        }
        rules = resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
        expiring = (one.get("NoncurrentVersionExpiration") for one in rules)
        events = (event for one in functions.values() for event in one.get("Events", {}).values())
        return cls(
            memory={name: one.get("MemorySize", usual) for name, one in functions.items()},
            disk={
                name: one.get("EphemeralStorage", {}).get("Size", _FREE_DISK_MB)
                for name, one in functions.items()
            },
            parameters={k: v["Default"] for k, v in template["Parameters"].items()},
            noncurrent_days=max(one["NoncurrentDays"] for one in expiring if one),
            alarms=kinds.count("AWS::CloudWatch::Alarm"),
            dashboards=kinds.count("AWS::CloudWatch::Dashboard"),
            secrets=kinds.count("AWS::SecretsManager::Secret"),
            polled_queues=sum(event["Type"] == "SQS" for event in events),
        )

    @property
    def kept_months(self) -> float:
        """How long an image lies in the bucket, its deleted version included."""
        return float((self.parameters["RetentionDays"] + self.noncurrent_days) / 30)

    @property
    def gb_seconds(self) -> str:
        """The price that its functions' time has."""
        return f"{self.parameters['Architecture']}_gb_seconds"


Amounts = dict[str, float]
"""How much of what is bought, by the prices' names; Lambda's time also by who (``door``)."""


def busy_seconds(measured: Measured, who: str) -> float:
    """Return for how long one's invocations are billed."""
    counts = measured.counts.get(who, Counts())
    others = sum(n for call, n in counts.calls.items() if call != _LOOK)
    waited = measured.seconds.get(who, 0)
    return waited + counts.cpu_seconds + others * AWS_CALL_SECONDS


def lambda_amounts(measured: Measured, who: str, function: str, on: Deployment) -> Amounts:
    """Return what one's invocations take of Lambda."""
    seconds = busy_seconds(measured, who)
    disk = (on.disk[function] - _FREE_DISK_MB) / 1024
    return {
        on.gb_seconds: seconds * on.memory[function] / 1024,
        "disk_gb_seconds": seconds * disk,
        "invocations": measured.invocations.get(who, 0),
    }


def picture(
    measured: Measured, authorizer: Measured, on: Deployment, door: str = "GenerateFunction"
) -> dict[str, Amounts]:
    """Return what a call for a picture takes, by group: the columns of the table."""
    waited = sum(measured.seconds.get(who, 0) for who in ("door", "jobs"))
    checks = 1 + waited // max(1, on.parameters["KeyTtlSeconds"])
    invocations = sum(measured.invocations.values()) + checks
    checked = lambda_amounts(authorizer, "authorizer", "AuthorizerFunction", on)
    all_counts = measured.counts.values()
    log_bytes = measured.log_bytes + invocations * PLATFORM_LOG_BYTES
    return {
        "doors": add(
            lambda_amounts(measured, "door", door, on),
            lambda_amounts(measured, "jobs", "JobsFunction", on),
            {name: amount * checks for name, amount in checked.items()},
        ),
        "worker": lambda_amounts(measured, "worker", "WorkerFunction", on),
        "API": {"api_calls": waits(measured), "gb_out": measured.answer_bytes / GB},
        "DynamoDB": {
            "write_units": sum(one.write_units + one.index_units for one in all_counts),
            "read_units": sum(one.read_units for one in all_counts)
            + checks * sum(one.read_units for one in authorizer.counts.values()),
            "item_gb_months": measured.item_bytes / GB * ITEM_MONTHS,
        },
        "S3": {
            "s3_puts": sum(one.puts for one in all_counts),
            "s3_gets": sum(one.gets for one in all_counts),
            "s3_gb_months": sum(one.stored_bytes for one in all_counts) / GB * on.kept_months,
        },
        "rest": {
            "fair_requests": sum(one.messages for one in all_counts),
            "secret_reads": sum(one.secrets for one in all_counts),
            "log_gb": log_bytes / GB,
        },
    }


def waits(measured: Measured) -> int:
    """Return how many API calls it was: the first, and one for each hop."""
    return sum(measured.invocations.get(who, 0) for who in ("door", "jobs"))


def month(sweep: Measured, metrics: int, on: Deployment) -> dict[str, Amounts]:
    """Return what a month takes without any call, by group."""
    beats = MONTH_SECONDS // 60
    swept = lambda_amounts(sweep, "sweep", "SweepFunction", on)
    beat = {
        **swept,
        "read_units": sum(one.read_units for one in sweep.counts.values()),
        "log_gb": (sweep.log_bytes + PLATFORM_LOG_BYTES) / GB,
    }
    polls = on.polled_queues * POLLERS * MONTH_SECONDS / POLL_SECONDS
    return {
        "dashboard": {"dashboards": on.dashboards},
        "metrics of one class and model": {"metrics": metrics},
        "sweep": {name: amount * beats for name, amount in beat.items()},
        "polls of idle queues": {"sqs_requests": polls},
        "secret": {"secrets": on.secrets},
        "KMS": {"kms_requests": KMS_PAIRS * MONTH_SECONDS / KMS_SECONDS},
        "alarms": {"alarms": on.alarms},
    }


def add(*amounts: Amounts) -> Amounts:
    """Return all of them together."""
    names = {name for one in amounts for name in one}
    return {name: sum(one.get(name, 0) for one in amounts) for name in sorted(names)}


def usd(amounts: Amounts, by: Mapping[str, Any]) -> float:
    """Return what so much costs."""
    return float(sum(n * by[name]["usd"] / by[name]["per"] for name, n in amounts.items()))
