"""Each function may do what it must, and no more: probes that run with the functions' own roles."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stack.running import Running

PROBE = """
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

def handler(calls, context):
    return {name: outcome(*call) for name, call in calls.items()}

def outcome(service, call, given):
    client = boto3.client(service, config=Config(retries={"total_max_attempts": 1}))
    try:
        getattr(client, call)(**given)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"
"""
DENIED = {"AccessDenied", "AccessDeniedException", "403"}
NEVER = {"ConditionExpression": "sk = :never", "ExpressionAttributeValues": {":never": {"S": "!"}}}
"""A condition that never holds: it is looked at after the permission."""

QUARANTINE = ("read quarantine", "write quarantine", "delete quarantine")
MAY = {
    "Authorizer": {"get tenants"},
    "Models": set(),
    "Inputs": {"write inputs"},
    "Jobs": {
        *(
            "get jobs",
            "query jobs",
            "put jobs",
            "update jobs",
            "check jobs",
            "get ledger",
            "query ledger",
            "put ledger",
            "update ledger",
        ),
        *("read images", "read answers", "write answers", "list", "send"),
    },
    "Worker": {
        *("receive work", "hide", "tell"),
        *("get jobs", "put jobs", "update jobs", "get ledger", "put ledger", "update ledger"),
        *("read inputs", "read images", "write images", "write outbox", "list", "read secret"),
        *QUARANTINE,
    },
    "Sweep": {
        *("query open", "get jobs", "put jobs", "update jobs", "delete jobs", "tell"),
        *("put ledger", "update ledger"),
        *("read images", "read inbox", "write outbox", "list", "send"),
    },
}
MAY["Generate"] = {
    *("get tenants", "get jobs", "put jobs", "update jobs", "tell"),
    *("get ledger", "put ledger", "update ledger", "read secret", "list", "send"),
    *QUARANTINE,
    *(f"{verb} {where}" for verb in ("read", "write") for where in ("images", "answers")),
}
MAY["Variation"] = MAY["Generate"] | {"read inputs", "write inputs"}
MAY["Edit"] = MAY["Variation"] | {
    *("receive inbox", "query jobs", "delete jobs", "read inbox", "write outbox")
}
for allowed in MAY.values():
    allowed.add("log")

Probe = Callable[[str], dict[str, str]]


def calls(running: Running) -> dict[str, Any]:
    """Return one call for everything a function could do; none leaves a trace that matters."""
    found: dict[str, Any] = {}
    for name in ("jobs", "ledger", "tenants"):
        table = {"TableName": running.names[f"{name.capitalize()}Table"]}
        key = {"id": {"S": "!"}} if name == "tenants" else {"tenant": {"S": "!"}, "sk": {"S": "?"}}
        found[f"get {name}"] = "dynamodb", "get_item", {**table, "Key": key}
        found[f"put {name}"] = "dynamodb", "put_item", {**table, "Item": key, **NEVER}
        change = {"UpdateExpression": "REMOVE nothing", **NEVER}
        found[f"update {name}"] = "dynamodb", "update_item", {**table, "Key": key, **change}
        found[f"delete {name}"] = "dynamodb", "delete_item", {**table, "Key": key}
    opened = {"TableName": running.names["JobsTable"], "IndexName": "open"}
    condition = {
        "KeyConditionExpression": "#open = :open",
        "ExpressionAttributeNames": {"#open": "open"},
        "ExpressionAttributeValues": {":open": {"S": "!"}},
    }
    found["query open"] = "dynamodb", "query", {**opened, **condition}
    nobodys = {"KeyConditionExpression": "tenant = :tenant"}
    nobodys["ExpressionAttributeValues"] = {":tenant": {"S": "!"}}
    for name in ("jobs", "ledger"):
        table = {"TableName": running.names[f"{name.capitalize()}Table"]}
        found[f"query {name}"] = "dynamodb", "query", {**table, **nobodys}
        check = {
            "ConditionCheck": {**table, "Key": {"tenant": {"S": "!"}, "sk": {"S": "?"}}, **NEVER}
        }
        found[f"check {name}"] = "dynamodb", "transact_write_items", {"TransactItems": [check]}
    for name, bus in ("tell", "default"), ("tell others", "others"):
        event = {"EventBusName": bus, "Source": "probe", "DetailType": "probe", "Detail": "{}"}
        found[name] = "events", "put_events", {"Entries": [event]}
    bucket = {"Bucket": running.bucket}
    for name in ("inputs", "images", "quarantine", "answers", "inbox", "outbox"):
        key = {**bucket, "Key": f"{name}/probe/nothing"}
        found[f"read {name}"] = "s3", "get_object", key
        found[f"write {name}"] = "s3", "put_object", {**key, "Body": "nothing"}
        found[f"delete {name}"] = "s3", "delete_object", key
    found["list"] = "s3", "list_objects_v2", bucket
    message = json.dumps({"tenant": "nobody", "job": "job_none"})
    work = {"QueueUrl": running.names["WorkQueue"]}
    found["send"] = "sqs", "send_message", {**work, "MessageBody": message}
    hidden = {**work, "ReceiptHandle": "none", "VisibilityTimeout": 0}
    found["hide"] = "sqs", "change_message_visibility", hidden
    for name, queue in ("work", "WorkQueue"), ("inbox", "InboxQueue"):
        receive = {"QueueUrl": running.names[queue], "VisibilityTimeout": 0}
        found[f"receive {name}"] = "sqs", "receive_message", receive
    others = {"QueueUrl": running.aws("sqs").create_queue(QueueName="others")["QueueUrl"]}
    found["receive others"] = "sqs", "receive_message", others
    found["count others"] = (
        "sqs",
        "get_queue_attributes",
        {**others, "AttributeNames": ["QueueArn"]},
    )
    for name, group in ("log", running.names["LogGroupName"]), ("log elsewhere", "others"):
        stream = {"logGroupName": group, "logStreamName": uuid.uuid4().hex}
        found[name] = "logs", "create_log_stream", stream
    secret = {"SecretId": running.names["UpstreamSecretArn"]}
    found["read secret"] = "secretsmanager", "get_secret_value", secret
    found["write secret"] = "secretsmanager", "put_secret_value", {**secret, "SecretString": "no"}
    found["escalate"] = "iam", "list_roles", {}
    return found


@pytest.fixture(scope="module")
def probe(running: Running) -> Iterator[Probe]:
    """Deploy a function beside Easel's with the same role; it tells what came of each call."""
    code, made = io.BytesIO(), []
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("probe.py", PROBE)
    functions = running.aws("lambda")

    def run(function: str) -> dict[str, str]:
        its = functions.get_function_configuration(
            FunctionName=running.names[f"{function}Function"]
        )
        made.append(f"probe-{function}")
        functions.create_function(
            FunctionName=made[-1],
            Role=its["Role"],
            Runtime=its["Runtime"],
            Handler="probe.handler",
            Code={"ZipFile": code.getvalue()},
            Timeout=60,
            Environment={
                "Variables": {"AWS_ENDPOINT_URL": running.stack["aws"]["AWS_ENDPOINT_URL"]}
            },
        )
        answer = functions.invoke(
            FunctionName=made[-1], Payload=json.dumps(calls(running)).encode()
        )
        outcomes: dict[str, str] = json.loads(answer["Payload"].read())
        return outcomes

    yield run
    for name in made:
        functions.delete_function(FunctionName=name)


@pytest.mark.parametrize("function", MAY)
def test_a_role_allows_what_its_function_needs_and_nothing_else(probe, function):
    outcomes = probe(function)
    assert {name for name, outcome in outcomes.items() if outcome not in DENIED} == MAY[function]
