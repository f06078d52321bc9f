"""Rules the template keeps that neither SAM nor the local stack would notice broken."""

import json
import re
import tomllib
from dataclasses import asdict, fields
from typing import Any

import pytest

from easel.doors import cors
from easel.questions import EVENT_SECONDS
from easel.settings import Settings
from local.template import ROOT, gateway_responses, load

TEMPLATE = load()
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
RESOURCES: dict[str, Any] = {
    name: resource.get("Properties", {}) for name, resource in TEMPLATE["Resources"].items()
}
FUNCTIONS = {
    name: properties
    for name, properties in RESOURCES.items()
    if TEMPLATE["Resources"][name]["Type"] == "AWS::Serverless::Function"
}
DEFAULTS = TEMPLATE["Globals"]["Function"]
DOORS = {"GenerateFunction", "EditFunction", "VariationFunction"}
PUBLIC = ("/healthz", "/openapi.json", "/{proxy+}")
WAITING = {"/images/generations", "/images/edits", "/images/variations", "/jobs/{id}/result"}


def events(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, event["Properties"])
        for name, function in FUNCTIONS.items()
        for event in function.get("Events", {}).values()
        if event["Type"] == kind
    ]


def statements(function: str, effect: str = "Allow") -> list[dict[str, Any]]:
    """The function's statements, with those of a condition that holds."""
    every = [s for policy in FUNCTIONS[function].get("Policies", []) for s in policy["Statement"]]
    plain = [s["Fn::If"][1] if "Fn::If" in s else s for s in every]
    return [s for s in plain if s["Effect"] == effect]


def actions(function: str) -> set[str]:
    return {action for statement in statements(function) for action in statement["Action"]}


def resources(statement: dict[str, Any]) -> list[Any]:
    named = statement["Resource"]
    return named if isinstance(named, list) else [named]


def prefixes(function: str, action: str) -> set[str]:
    """The bucket's prefixes on which the function has the action."""
    return {
        resource["Fn::Sub"].removeprefix("${Bucket.Arn}/").removesuffix("/*")
        for statement in statements(function)
        if action in statement["Action"]
        for resource in resources(statement)
    }


# ---- Functions ----


def test_every_folder_of_functions_is_deployed_and_nothing_else():
    deployed = {function["CodeUri"] for function in FUNCTIONS.values()}
    assert deployed == {f"functions/{p.parent.name}/" for p in ROOT.glob("functions/*/app.py")}


def test_the_environment_is_the_settings_and_what_tools_read():
    assert set(DEFAULTS["Environment"]["Variables"]) == {
        *(field.name.upper() for field in fields(Settings)),
        "AWS_ENDPOINT_URL",
        "POWERTOOLS_SERVICE_NAME",
        "POWERTOOLS_METRICS_NAMESPACE",
        "POWERTOOLS_LOG_LEVEL",
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_as_all_are(function):
    own = FUNCTIONS[function]
    for shared in ("Environment", "Runtime", "Handler", "Architectures", "Layers", "Role"):
        assert shared not in own
    assert own["Description"]


def test_defaults_of_parameters_are_those_of_the_settings():
    variables = DEFAULTS["Environment"]["Variables"]
    for name, default in asdict(Settings()).items():
        parameter = PARAMETERS.get(variables[name.upper()].get("Ref", ""), {})
        if "Default" in parameter:
            read = Settings.from_env({name.upper(): str(parameter["Default"])})
            assert getattr(read, name) == default


def test_whoever_runs_a_job_has_the_whole_of_lambdas_time():
    for function in DOORS | {"WorkerFunction"}:
        assert FUNCTIONS[function]["Timeout"] == 900


def test_whoever_waits_outlives_the_longest_wait():
    longest = PARAMETERS["IntegrationTimeoutMillis"]["MaxValue"] / 1000
    assert PARAMETERS["WaitSeconds"]["MaxValue"] < longest
    for function, event in events("Api"):
        if event["Path"] in WAITING:
            assert FUNCTIONS[function]["Timeout"] >= longest


def test_what_waits_in_the_inbox_waits_on_for_longer_than_a_message_is_hidden():
    assert RESOURCES["InboxQueue"]["VisibilityTimeout"] < EVENT_SECONDS


def test_lambda_repeats_no_asynchronous_invocation():
    assert DEFAULTS["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


def test_every_parameter_says_what_it_is():
    assert all(parameter["Description"] for parameter in PARAMETERS.values())


@pytest.mark.parametrize("stage", ["default", "prod"])
def test_samconfig_sets_parameters_that_exist(stage):
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    overrides = config[stage]["global"]["parameters"]["parameter_overrides"]
    assert {override.split("=")[0] for override in overrides} <= PARAMETERS.keys()
    assert ("LedgerDeletionProtection=true" in overrides) == (stage == "prod")


# ---- Routes ----


def test_the_routes_are_the_contracts():
    assert sorted(
        (event["Path"], event["Method"], function) for function, event in events("Api")
    ) == [
        ("/healthz", "get", "ModelsFunction"),
        ("/images/edits", "post", "EditFunction"),
        ("/images/generations", "post", "GenerateFunction"),
        ("/images/variations", "post", "VariationFunction"),
        ("/inputs", "post", "InputsFunction"),
        ("/jobs", "get", "JobsFunction"),
        ("/jobs/{id}", "delete", "JobsFunction"),
        ("/jobs/{id}", "get", "JobsFunction"),
        ("/jobs/{id}/result", "get", "JobsFunction"),
        ("/jobs/{id}/result", "head", "JobsFunction"),
        ("/jobs/{id}/result", "post", "JobsFunction"),
        ("/models", "get", "ModelsFunction"),
        ("/models/{id}", "get", "ModelsFunction"),
        ("/openapi.json", "get", "ModelsFunction"),
        ("/usage", "get", "JobsFunction"),
        ("/{proxy+}", "options", "ModelsFunction"),
    ]


def test_only_what_serves_no_tenant_needs_no_key():
    auth = RESOURCES["Api"]["Auth"]
    assert auth["DefaultAuthorizer"] in auth["Authorizers"]
    ttl = auth["Authorizers"]["TenantKey"]["Identity"]["ReauthorizeEvery"]
    assert ttl == {"Ref": "KeyTtlSeconds"}
    own = {event["Path"]: event["Auth"] for _, event in events("Api") if "Auth" in event}
    assert own == {path: {"Authorizer": "NONE"} for path in PUBLIC}


def test_the_integration_timeout_rises_where_callers_wait():
    for _, event in events("Api"):
        assert ("TimeoutInMillis" in event) == (event["Path"] in WAITING)


def test_the_stage_is_the_paths_v1_and_multipart_arrives_whole():
    api = RESOURCES["Api"]
    assert api["StageName"] == "v1"
    assert api["AlwaysDeploy"], "what only a parameter changes would not reach it"
    assert api["EndpointConfiguration"] == {"Type": "REGIONAL"}
    assert api["BinaryMediaTypes"] == ["multipart/form-data"]


@pytest.mark.parametrize(
    ("kind", "status", "code", "retry"),
    [
        ("MISSING_AUTHENTICATION_TOKEN", 404, "not_found", "false"),
        ("RESOURCE_NOT_FOUND", 404, "not_found", "false"),
        ("INVALID_SIGNATURE", 404, "not_found", "false"),
        ("UNAUTHORIZED", 401, "invalid_api_key", "false"),
        ("ACCESS_DENIED", 401, "invalid_api_key", "false"),
        ("REQUEST_TOO_LARGE", 413, "request_too_large", "false"),
        ("INTEGRATION_TIMEOUT", 504, "server_error", "true"),
        ("THROTTLED", 429, "rate_limit_exceeded", "true"),
        ("AUTHORIZER_FAILURE", 500, "server_error", None),
        ("AUTHORIZER_CONFIGURATION_ERROR", 500, "server_error", None),
        ("DEFAULT_4XX", None, "invalid_value", "false"),
        ("DEFAULT_5XX", None, "server_error", None),
    ],
)
def test_the_gateways_own_errors_are_openais(kind, status, code, retry):
    response = gateway_responses(TEMPLATE)[kind]
    assert response.get("StatusCode") == status
    headers = response["ResponseParameters"]["Headers"]
    assert headers["cache-control"] == "'no-store'"
    assert headers["x-request-id"] == "context.requestId"
    assert headers.get("x-should-retry") == (f"'{retry}'" if retry else None)
    assert ("retry-after" in headers) == (retry == "true")
    body = response["ResponseTemplates"]["application/json"]
    assert "$" not in body, "API Gateway's own message may quote the key"
    error = json.loads(body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code


def test_calls_are_throttled_and_none_is_logged_whole():
    [every] = RESOURCES["Api"]["MethodSettings"]
    assert (every["ResourcePath"], every["HttpMethod"]) == ("/*", "*")
    assert every["ThrottlingRateLimit"] == {"Ref": "CallsPerSecond"}
    assert every["ThrottlingBurstLimit"] == {"Ref": "CallsAtOnce"}
    assert (every["LoggingLevel"], every["DataTraceEnabled"]) == ("OFF", False)


def test_access_logs_tell_neither_key_nor_path_nor_query():
    [condition, logs, otherwise] = RESOURCES["Api"]["AccessLogSetting"]["Fn::If"]
    assert (condition, otherwise) == ("HasAccessLogs", {"Ref": "AWS::NoValue"})
    assert logs["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}
    assert set(re.findall(r"\$context\.([A-Za-z.]+)", logs["Format"])) == {
        *("requestId", "requestTimeEpoch", "identity.sourceIp", "httpMethod", "resourcePath"),
        *("status", "error.responseType", "authorizer.principalId"),
        *("responseLatency", "responseLength"),
    }
    json.loads(re.sub(r"\$context\.[A-Za-z.]+", "1", logs["Format"]))
    assert PARAMETERS["AccessLogs"]["Default"] == "false"


def test_executions_are_reserved_only_where_the_operator_says_so():
    [condition, reserved, otherwise] = DEFAULTS["ReservedConcurrentExecutions"]["Fn::If"]
    assert (reserved, otherwise) == ({"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"})
    assert TEMPLATE["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ReservedConcurrency"}, 0]}]
    }
    assert PARAMETERS["ReservedConcurrency"]["Default"] == 0


# ---- Pages of other origins ----


def test_no_page_is_let_in_as_long_as_no_origin_is_listed():
    assert PARAMETERS["AllowedOrigins"]["Default"] == ""
    for response in gateway_responses(TEMPLATE).values():
        headers = response["ResponseParameters"]["Headers"]
        assert not {name for name in headers if name.startswith("access-control-")}
    [condition, _, otherwise] = RESOURCES["Bucket"]["CorsConfiguration"]["Fn::If"]
    assert (condition, otherwise) == ("HasAllowedOrigins", {"Ref": "AWS::NoValue"})


def test_a_page_may_read_the_gateways_errors_and_the_pictures_and_post_uploads():
    for response in gateway_responses(TEMPLATE, cors=True).values():
        headers = response["ResponseParameters"]["Headers"]
        assert headers["access-control-allow-origin"] == "'*'"
        exposed = headers["access-control-expose-headers"].strip("'").split(", ")
        assert (
            {"x-request-id", "x-should-retry", "retry-after"} == set(exposed) <= set(cors.EXPOSED)
        )
    [_, allowed, _] = RESOURCES["Bucket"]["CorsConfiguration"]["Fn::If"]
    [reading, posting] = allowed["CorsRules"]
    assert (reading["AllowedOrigins"], reading["AllowedMethods"]) == (["*"], ["GET", "HEAD"])
    assert posting["AllowedOrigins"] == {"Ref": "AllowedOrigins"}
    assert posting["AllowedMethods"] == ["POST"]


@pytest.mark.parametrize(
    ("origin", "right"),
    [
        ("", True),
        ("https://app.example.com", True),
        ("http://localhost:5173", True),
        ("https://app.example.com/", False),
        ("https://*.example.com", False),
        ("app.example.com", False),
        ("*", False),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(origin, right):
    assert bool(re.search(PARAMETERS["AllowedOrigins"]["AllowedPattern"], origin)) == right


# ---- Permissions ----


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_named_things_to_named_resources(function):
    for statement in statements(function):
        assert statement.keys() == {"Effect", "Action", "Resource"}
        assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action) for action in statement["Action"])
        for resource in resources(statement):
            [(intrinsic, name)] = resource.items()
            assert intrinsic in ("Fn::GetAtt", "Fn::Sub")
            if intrinsic == "Fn::Sub":
                assert re.fullmatch(
                    r"\$\{(Bucket\.Arn\}/\w+/\*|JobsTable\.Arn\}/index/open)"
                    r"|arn:\$\{AWS::Partition\}:events:.+:event-bus/\$\{EventBusName\}",
                    name,
                )


LOG_GROUP = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Logs}"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_sam_grants_on_everything_is_taken_back(function):
    [logs, *rest] = statements(function, "Deny")
    assert logs["Action"] == ["logs:*"]
    assert logs["NotResource"] == [{"Fn::Sub": LOG_GROUP}, {"Fn::GetAtt": ["Logs", "Arn"]}]
    feeding = [source["Queue"] for name, source in events("SQS") if name == function]
    assert [each["NotResource"] for each in rest] == feeding
    assert all(set(each["Action"]) == RECEIVING for each in rest)


RECEIVING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


def test_who_may_do_what():
    def who(action: str) -> set[str]:
        return {function for function in FUNCTIONS if action in actions(function)}

    assert statements("ModelsFunction") == []
    assert actions("InputsFunction") == {"s3:PutObject"}
    assert actions("AuthorizerFunction") == {"dynamodb:GetItem"}
    assert who("secretsmanager:GetSecretValue") == {*DOORS, "WorkerFunction"}
    assert who("sqs:SendMessage") == {*DOORS, "JobsFunction", "SweepFunction"}
    assert who("sqs:ChangeMessageVisibility") == {"WorkerFunction"}
    assert who("dynamodb:Query") == {"EditFunction", "JobsFunction", "SweepFunction"}
    assert who("dynamodb:DeleteItem") == {"EditFunction", "SweepFunction"}
    assert who("dynamodb:ConditionCheckItem") == {"JobsFunction"}
    assert who("events:PutEvents") == {*DOORS, "WorkerFunction", "SweepFunction"}
    assert who("s3:GetObjectVersion") == {"EditFunction"}
    every = set.union(*(actions(function) for function in FUNCTIONS))
    risky = {action for action in every if re.search("Delete|Scan|Acl|Policy", action)}
    assert risky == {"dynamodb:DeleteItem", "s3:DeleteObject"}
    for function in who("dynamodb:DeleteItem"):  # what waited in the inbox; never money
        whose = [one for one in statements(function) if "dynamodb:DeleteItem" in one["Action"]]
        assert [one["Resource"] for one in whose] == [{"Fn::GetAtt": ["JobsTable", "Arn"]}]
    deleting = {*DOORS, "WorkerFunction"}  # of quarantine, what has been let out of it
    assert {function: prefixes(function, "s3:DeleteObject") for function in FUNCTIONS} == {
        function: {"quarantine"} if function in deleting else set() for function in FUNCTIONS
    }
    # DynamoDB has no such action: its parts are allowed one by one.
    assert "dynamodb:TransactWriteItems" not in every


def test_who_may_write_where_in_the_bucket():
    assert {f: prefixes(f, "s3:PutObject") for f in FUNCTIONS if prefixes(f, "s3:PutObject")} == {
        "GenerateFunction": {"images", "answers", "quarantine"},
        "EditFunction": {"inputs", "images", "answers", "outbox", "quarantine"},
        "VariationFunction": {"inputs", "images", "answers", "quarantine"},
        "WorkerFunction": {"images", "outbox", "quarantine"},
        "JobsFunction": {"answers"},
        "InputsFunction": {"inputs"},
        "SweepFunction": {"outbox"},
    }


def test_only_who_runs_jobs_reads_quarantine():
    reading = {f for f in FUNCTIONS if "quarantine" in prefixes(f, "s3:GetObject")}
    assert reading == {*DOORS, "WorkerFunction"}


def test_all_that_is_kept_for_a_tenant_expires():
    rules = RESOURCES["Bucket"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule}
    whole = ("inputs/", "images/", "quarantine/", "answers/", "inbox/", "outbox/")
    assert expiring == set(whole)


def test_events_are_put_on_the_one_bus_and_only_where_there_is_one():
    assert TEMPLATE["Conditions"]["HasEventBus"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "EventBusName"}, ""]}]
    }
    telling = [
        statement["Fn::If"]
        for function in FUNCTIONS.values()
        for policy in function.get("Policies", [])
        for statement in policy["Statement"]
        if "Fn::If" in statement
    ]
    assert len(telling) == 5
    for condition, allowed, otherwise in telling:
        assert (condition, otherwise) == ("HasEventBus", {"Ref": "AWS::NoValue"})
        assert allowed["Action"] == ["events:PutEvents"]
        assert allowed["Resource"]["Fn::Sub"].endswith(":event-bus/${EventBusName}")


# ---- Queues ----


def test_a_message_stays_hidden_while_it_is_worked():
    sources = events("SQS")
    assert {function for function, _ in sources} == {"WorkerFunction", "EditFunction"}
    for function, source in sources:
        queue = RESOURCES[source["Queue"]["Fn::GetAtt"][0]]
        assert queue["VisibilityTimeout"] >= FUNCTIONS[function]["Timeout"] + 60
        assert source["BatchSize"] == 1
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkerConcurrency"}}
        redrive = queue["RedrivePolicy"]
        assert redrive["maxReceiveCount"] >= 10
        dead = RESOURCES[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        assert dead["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_only_this_accounts_buckets_may_fill_the_inbox_queue():
    [statement] = RESOURCES["InboxQueuePolicy"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }
    assert TEMPLATE["Resources"]["Bucket"]["DependsOn"] == "InboxQueuePolicy"
