"""The document, held to the template, to what calls are read as, and to what is really said."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import boto3
import httpx2
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from easel import errors, replies, schemas
from easel.aws.bucket import Bucket
from easel.catalogue import Catalogue
from easel.doors import bodies, models, uploads
from easel.errors import EaselError, InvalidRequest, NotFound
from easel.images import MAX_BYTES
from easel.inputs import Inputs, begun
from easel.jobs import Job
from easel.limits import Rate
from easel.openapi import VERSION, document
from easel.pages import Page, listed
from easel.prompt import Parts, Prompt
from easel.requests import Asked, Delivery, Operation, Reader, Request, Tenancy
from easel.responses import Links, answer, job_object, quote
from easel.settings import Settings
from easel.tenants import Tenant
from easel.uploads import read as read_upload
from easel.usage import Balance, Count, Span, report
from local.template import ROOT, gateway_responses, load
from tests.unit.doors.events import call
from tests.unit.examples import NOW, image, job, picture, request, succeeded
from tests.unit.examples import answer as answered

TODAY = date(2026, 11, 22)
CATALOGUE = Catalogue.load()
READER = Reader(CATALOGUE, Settings())
DOCUMENT = document(CATALOGUE, Settings(), TODAY, "/v1")
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
LINKS = Links(url=lambda key: f"https://b/{key}", read=str.encode, expires_at=NOW + 3600)
OPERATIONS: tuple[Operation, ...] = ("generate", "edit", "variation")
MASK = picture(mode="RGBA")


def wrong(schema: str, said: Any) -> list[str]:
    """Return what the schema has against a value."""
    root = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(root).iter_errors(said)]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


# ---- The whole ----


def test_the_document_is_openapi_3_1_and_json() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_route_of_the_template_is_described_and_no_other() -> None:
    routes = {
        (event["Properties"]["Path"], event["Properties"]["Method"]): event["Properties"]
        for resource in load()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and event["Properties"]["Method"] != "options"
    }
    described = {(path, method): operation for path, method, operation in operations()}
    assert described.keys() == routes.keys()
    public = {route for route, event in routes.items() if event.get("Auth")}
    assert public == {route for route, one in described.items() if one.get("security") == []}


def test_whoever_needs_a_key_may_be_refused_one() -> None:
    for _, _, operation in operations():
        assert ("401" in operation["responses"]) == (operation.get("security") != [])


def test_a_path_names_its_parameters() -> None:
    parameters = DOCUMENT["components"]["parameters"]
    for path, _, operation in operations():
        asked = [parameters[one["$ref"].rpartition("/")[2]] for one in operation["parameters"]]
        named = {one["name"] for one in asked if one["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))


def test_the_result_takes_the_delivery_and_the_hop_a_list_its_page_and_usage_its_days() -> None:
    parameters = DOCUMENT["components"]["parameters"].values()
    queried = {one["name"] for one in parameters if one["in"] == "query"}
    days = {field.alias or name for name, field in Span.model_fields.items()}
    assert queried == Delivery.model_fields.keys() | {"hop"} | Page.model_fields.keys() | days


def test_nothing_is_described_that_is_not_referred_to() -> None:
    text = json.dumps(DOCUMENT)
    for kind, described in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            assert {
                name for name in described if f'"#/components/{kind}/{name}"' not in text
            } == set()


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_the_defaults_are_the_deployments() -> None:
    settings = Settings(default_model="gpt-image-2", default_quality="low")
    deployed = document(CATALOGUE, settings, TODAY, "/v1")["components"]["schemas"]
    for name, schema in deployed.items():
        if name.endswith(("Request", "Form")):
            assert schema["properties"]["model"]["default"] == "gpt-image-2"
            assert schema["properties"]["quality"]["default"] == "low"


@pytest.mark.parametrize(
    ("path", "root"),
    [("/v1/openapi.json", "/v1"), ("/pictures/openapi.json", "/pictures"), ("/openapi.json", "/")],
)
def test_the_door_says_where_it_is_deployed(path: str, root: str) -> None:
    made = call("models", resource="/openapi.json", context={"path": path})
    reply = models.serve(made, CATALOGUE, Settings(), NOW).rendered("r")
    assert (reply["statusCode"], reply["headers"]["content-type"]) == (200, "application/json")
    said = json.loads(reply["body"])
    assert said == DOCUMENT | {"servers": [{"url": root}]}
    assert reply["headers"].keys() - {"content-type"} == set(
        _headers("/openapi.json", "get", "200")
    )


def test_no_other_route_loads_it() -> None:
    probe = "import easel.doors.models, sys; print('easel.openapi' in sys.modules)"
    environ = {"PYTHONPATH": str(ROOT / "layers/easel")}
    ran = subprocess.run(
        [sys.executable, "-c", probe], env=environ, capture_output=True, check=True
    )
    assert ran.stdout == b"False\n"


def _headers(path: str, method: str, status: str) -> list[str]:
    return list(DOCUMENT["paths"][path][method]["responses"][status]["headers"])


# ---- What callers send ----


def read(operation: Operation, body: dict[str, Any], inputs: Inputs | None = None) -> Asked:
    """Read a body as the door does; every image there is, is the same."""
    parts = Parts(subject="a fox", details=["birches"])
    upload = begun(MASK, len(MASK), "inputs/demo/file-1", '"1"', "images")
    tenancy = Tenancy(
        Tenant(name="demo"),
        lambda *_: upload,
        lambda _: MASK,
        lambda _: Prompt(text=parts.text(), parts=parts),
    )
    return READER.read(operation, tenancy, body, inputs or Inputs(), today=TODAY)


def reads(operation: Operation, body: dict[str, Any]) -> bool:
    try:
        read(operation, body)
    except (InvalidRequest, NotFound):
        return False
    return True


@pytest.mark.parametrize(
    ("operation", "name"),
    [(operation, name) for operation in OPERATIONS for name in schemas.EXAMPLES[operation]],
)
def test_an_example_can_be_sent_as_it_is(operation: Operation, name: str) -> None:
    example = dict(schemas.EXAMPLES[operation][name])
    assert not wrong(f"{operation.title()}Request", example)
    asked = read(operation, example)
    assert asked.request.ceiling(CATALOGUE) > 0
    assert (asked.quote, asked.delivery.stream) == ("quote" in example, "stream" in example)


def test_every_example_is_shown() -> None:
    sent = [
        operation["requestBody"]["content"]["application/json"]
        for _, _, operation in operations()
        if "requestBody" in operation
    ]
    shown = [[one["value"] for one in body["examples"].values()] for body in sent[:-1]]
    assert shown == [list(schemas.EXAMPLES[operation].values()) for operation in OPERATIONS]
    assert sent[-1]["example"] == schemas.UPLOAD


@pytest.mark.parametrize(
    "body",
    [
        schemas.UPLOAD,
        {"bytes": 1, "content_type": "image/webp", "purpose": "any"},
        *({**schemas.UPLOAD, "bytes": size} for size in (0, MAX_BYTES - 1, MAX_BYTES, "1", True)),
        *({**schemas.UPLOAD, "content_type": one} for one in ("image/gif", "", None)),
        *({"bytes": 1}, {"content_type": "image/png"}, {}, [], 1),
    ],
)
def test_an_upload_is_right_if_it_is_granted(body: Any) -> None:
    try:
        read_upload(json.dumps(body))
    except InvalidRequest:
        assert wrong("Upload", body)
    else:
        assert not wrong("Upload", body)


REFERENCE = {"file_id": f"{schemas.JOB_ID}/0"}
ODD: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 10, 11, 100, 101, 10**6, "", " ", "x", "1", "true"),
    *("auto", "high", "hd", "256x256", "1024x1024", "0x0", "1024", "1024x1024 "),
    *(
        {},
        {"x": "y"},
        {"subject": "a fox"},
        {"subject": ""},
        {"subject": 1},
        {"subject": "a", "x": 1},
    ),
    *({"from": schemas.JOB_ID, "add": ["snow"]}, {"from": 1}, REFERENCE, {"image_url": 1}),
    *([], ["x"], [REFERENCE], [REFERENCE] * 2, [REFERENCE] * 16, [REFERENCE] * 17),
]
LENIENT = [("model", "")]
"""What is read although it is not described: an empty name is none."""
ALIKE = ("gpt-image-2.6-flare", "gpt-image-2.5-flare", "gpt-image-2", "gpt-image-1.5")
"""Models that between them take whatever any takes."""


def bodies_with(operation: Operation, name: str, value: Any) -> Iterator[dict[str, Any]]:
    """Yield bodies with the field, each with another model and what the field may need."""
    body: dict[str, Any] = {"prompt": "a fox"}
    if operation != "generate":
        body["images"] = [REFERENCE]
    for model in ALIKE:
        for kind in ("png", "webp", "gif", "svg"):
            yield body | {"model": model, "output_format": kind} | {name: value}


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (operation, name)
        for operation in OPERATIONS
        for name in SCHEMAS[f"{operation.title()}Request"]["properties"]
    ],
)
def test_a_body_is_right_if_any_model_takes_it(operation: Operation, name: str) -> None:
    schema = f"{operation.title()}Request"
    said = SCHEMAS[schema]["properties"][name]
    choices = next((one["enum"] for one in said.get("anyOf", ()) if "enum" in one), [])
    verdicts = set()
    for value in [*ODD, *choices, *schemas.STYLES]:
        sent = list(bodies_with(operation, name, value))
        right = not wrong(schema, sent[0])
        read_by_some = any(reads(operation, body) for body in sent)
        assert right == (read_by_some and (name, value) not in LENIENT), value
        verdicts.add(right)
    assert verdicts == {True, False}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_field_that_is_required_cannot_be_left_out(operation: Operation) -> None:
    required = SCHEMAS[f"{operation.title()}Request"]["required"]
    body: dict[str, Any] = {"prompt": "a fox", "images": [REFERENCE]}
    assert reads(operation, {name: body[name] for name in required})
    for name in body:
        rest = {key: value for key, value in body.items() if key != name}
        assert reads(operation, rest) == (name not in required)


def test_a_field_that_one_operation_takes_is_not_said_of_another() -> None:
    only = {"images", "mask", "markup", "input_fidelity"}
    known = (schemas.Wire.model_fields.keys() | CATALOGUE.parameters.keys()) - {"images"}
    fields = {one: set(SCHEMAS[f"{one.title()}Request"]["properties"]) for one in OPERATIONS}
    assert fields["edit"] == known | {"images"}
    assert fields["generate"] == known - only
    assert fields["variation"] == fields["edit"] - {"mask", "markup"}


def test_what_only_some_models_take_is_said() -> None:
    said = SCHEMAS["GenerateRequest"]["properties"]
    takers = "gpt-image-2.6-sunburst, gpt-image-2.6-flare"
    assert said["complexity"]["description"] == f"Only with {takers}."
    assert re.search(r"`xhigh`, `max` only with .*2\.5-flare", said["quality"]["description"])
    assert "nly with" not in said["n"]["description"]


def test_what_is_not_named_goes_upstream() -> None:
    for operation in OPERATIONS:
        body = next(bodies_with(operation, "newest", "yes"))
        assert not wrong(f"{operation.title()}Request", body)
        assert read(operation, body).request.parameters["newest"] == "yes"


@pytest.mark.parametrize("operation", ["edit", "variation"])
def test_a_form_is_read_as_it_is_described(operation: Operation) -> None:
    form = SCHEMAS[f"{operation.title()}Form"]
    texts = {"prompt": '{"subject": "a fox"}', "n": "2", "quote": "true", "model": "gpt-image-2"}
    files = {
        name: ("a.png", MASK) for name in ("image", "image[]", "mask") if name in form["properties"]
    }
    if operation == "variation":
        del files["image[]"]
    sent = httpx2.Request("POST", "http://easel", data=texts, files=files)
    fields, inputs = bodies.parse(READER, sent.read(), sent.headers["content-type"])
    typed = {**fields, "image": [""] * len(inputs.images)}
    assert not wrong(f"{operation.title()}Form", typed)
    assert wrong(f"{operation.title()}Form", fields)
    asked = read(operation, fields, inputs)
    assert len(asked.request.inputs) == len(files)
    assert (asked.request.prompt, asked.request.parameters["n"], asked.quote) == ("a fox", 2, True)


@pytest.mark.parametrize("operation", ["edit", "variation"])
def test_a_form_has_files_where_json_has_references(operation: Operation) -> None:
    form, body = (SCHEMAS[f"{operation.title()}{kind}"] for kind in ("Form", "Request"))
    encoded = schemas.encoding(form)
    files = {name for name in encoded if "image/png" in encoded[name].get("contentType", "")}
    masks = {"mask", "markup"} & body["properties"].keys()
    assert files == {"image", "image[]"} | masks
    assert form["properties"].keys() - files == body["properties"].keys() - masks - {"images"}
    assert encoded.keys() <= form["properties"].keys()


# ---- What Easel says ----

USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
    "output_tokens": 439,
    "output_tokens_details": {"image_tokens": 400, "text_tokens": 39},
    "total_tokens": 451,
}
FULL = succeeded(
    image("a"),
    image("b"),
    request=request(operation="edit", resample=(512, 512)),
).model_copy(
    update={
        "answer": answered(
            image("a"),
            image("b"),
            revised_prompts=("a red cat", None),
            usage=USAGE,
            svg_usage=USAGE | {"model": "gpt-6", "reasoning_tokens": 7},
            background="opaque",
            output_format="png",
            quality="medium",
            size="1024x1024",
        )
    }
)
BARE = succeeded()
BARE = BARE.model_copy(update={"request": BARE.request.wordless()})
DETAILS = {"moderation_stage": "input", "categories": ["violence"]}
BLOCKED = errors.ModerationBlocked("No.", moderation_details=DETAILS)
FAILED = job().close("failed", NOW, error=errors.InvalidRequest("no", param="n"))
REFUSED = job().close("failed", NOW, error=BLOCKED)
DELIVERIES = [Delivery(response_format=one) for one in (None, "url", "b64_json")]
DELIVERIES.append(Delivery(cached=True))


def answers() -> Iterator[Any]:
    for one in (FULL, BARE):
        yield from (json.loads("".join(answer(one, LINKS, how))) for how in DELIVERIES)


def events() -> Iterator[Any]:
    for one in (FULL, BARE):
        for line in "".join(answer(one, LINKS, Delivery(stream=True))).splitlines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def served(route: str, name: str | None = None) -> Any:
    now = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
    made = call("models", resource=route, pathParameters=name and {"id": name})
    return json.loads(models.serve(made, CATALOGUE, Settings(), now).rendered("r")["body"])


def granted() -> Any:
    client = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    bucket = Bucket(lambda: client, "b")
    return json.loads(uploads.grant(call("inputs"), bucket, 3600, NOW).rendered("r")["body"])


class Books:
    """Books that count something."""

    def counts(self, *_: str) -> Iterator[Count]:
        yield Count("2026-11-22", "gpt-image-2", "edit", 1, 1, 1, 1)

    def balance(self, *_: str) -> Balance:
        return Balance(2, 1)


def reports() -> Iterator[Any]:
    days = Span.asked({}, TODAY)
    for tenant in (Tenant(name="a"), Tenant(name="b", month_budget=5, day_budget=4)):
        made = report(Books(), tenant, days, NOW)  # type: ignore[arg-type]  # all it asks
        yield json.loads(json.dumps(made))


def refusals() -> Iterator[Any]:
    kinds: list[type[EaselError]] = [EaselError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        yield kind("It went wrong.").body()
    yield BLOCKED.body()
    for response in gateway_responses(load()).values():
        body = response["ResponseTemplates"]["application/json"]
        yield json.loads(body)


SAID = {
    "ImagesResponse": list(answers()),
    "Image": [image for said in answers() for image in said["data"]],
    "CompletedEvent": list(events()),
    "Job": [job_object(one, LINKS) for one in (job(), FAILED, REFUSED, FULL)],
    "JobList": [json.loads(listed(some, 1)) for some in ([], [job_object(FULL, LINKS)] * 2)],
    "Quote": [
        quote(request(), 5, None),
        quote(request(), 5, FULL),
        quote(request(), 5, FULL, cached=True),
    ],
    "Usage": [USAGE],
    "Tokens": [USAGE["input_tokens_details"]],
    "Error": list(refusals()),
    "ErrorDetail": [said["error"] for said in refusals()],
    "ModerationDetails": [DETAILS],
    "ModelList": [served("/models")],
    "Model": [*served("/models")["data"], served("/models/{id}", "gpt-image-2")],
    "Health": [served("/healthz")],
    "Input": [granted()],
    "UsageReport": list(reports()),
    "UsageRow": [row for said in reports() for row in said["data"]],
    "UsageTotal": [said["total"] for said in reports()],
    "UsagePeriod": [said[period] for said in reports() for period in ("month", "day")],
    "Document": [served("/openapi.json")],
}


@pytest.mark.parametrize("schema", replies.schemas())
def test_what_is_said_is_what_is_described(schema: str) -> None:
    said = SAID[schema]
    assert said
    assert [wrong(schema, one) for one in said] == [[]] * len(said)


@pytest.mark.parametrize("schema", replies.schemas())
def test_all_that_is_described_is_said(schema: str) -> None:
    described = SCHEMAS[schema]
    fields = [set(one) for one in SAID[schema]]
    if described["additionalProperties"] is False:
        assert set.union(*fields) == described["properties"].keys()
        assert set.intersection(*fields) == set(described["required"])
    else:
        assert set.union(*fields) >= described["properties"].keys()


def test_a_reply_of_another_shape_is_noticed() -> None:
    shown = SAID["Job"][-1]
    assert wrong("Job", shown | {"new": 1})
    assert wrong("Job", {name: shown[name] for name in shown if name != "error"})
    assert wrong("Job", shown | {"data": [{}]})
    assert wrong("ImagesResponse", SAID["Quote"][0])
    assert wrong("Quote", SAID["ImagesResponse"][0])


def test_the_statuses_of_a_job_are_the_jobs() -> None:
    fields: Any = SCHEMAS["Job"]["properties"]
    assert tuple(fields["status"]["enum"]) == Job.model_fields["status"].annotation.__args__
    assert tuple(fields["operation"]["enum"]) == OPERATIONS
    assert Request.model_fields["operation"].annotation.__args__ == OPERATIONS


# ---- Errors ----

OF_NO_CALL = {(409, "conflict"), (400, "inbox_incomplete"), (403, "tenant_suspended")}
"""The operator's command's, and the inbox's."""
ELSEWHERE = {(502, "server_error"), (429, "insufficient_quota")}
"""API Gateway's status of a function that crashed (DEFAULT_5XX), and upstream's without money."""


def test_the_errors_are_those_of_the_code_and_of_the_template() -> None:
    gateway = {
        (response["StatusCode"], code)
        for response in gateway_responses(load()).values()
        for code in re.findall(r'"code":"(\w+)"', response["ResponseTemplates"]["application/json"])
        if "StatusCode" in response
    }
    described = {(status, code) for status, [_, *codes] in replies.ERRORS.items() for code in codes}
    assert described - ELSEWHERE == (set(raised()) | gateway) - OF_NO_CALL


def raised() -> Iterator[tuple[int, str]]:
    """Yield status and code of every error that the package makes with a code of its own."""
    for path in (ROOT / "layers/easel/easel").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            kind = getattr(errors, getattr(getattr(node, "func", None), "id", ""), None)
            if (
                isinstance(node, ast.Call)
                and isinstance(kind, type)
                and issubclass(kind, EaselError)
            ):
                given = {each.arg: each.value for each in node.keywords}
                status = getattr(given.get("status", ast.Constant(kind.status)), "value", None)
                code = getattr(given.get("code", ast.Constant(kind.code)), "value", None)
                if isinstance(status, int) and isinstance(code, str):
                    yield status, code


def test_an_errors_response_tells_its_codes_and_its_headers() -> None:
    steering = EaselError("wait", retry=True, retry_after=1).headers()
    rates = {"retry-after-ms", *Rate("requests", 1).headers(0, 0), *Rate("images", 1).headers(0, 0)}
    for status, [meaning, *codes] in replies.ERRORS.items():
        response = DOCUMENT["components"]["responses"][f"Error{status}"]
        limited = rates if status == 429 else set()
        told = {"x-request-id", "cache-control", *steering} | limited
        assert response["headers"].keys() == told
        assert response["description"].startswith(meaning)
        assert re.findall(r"`(\w+)`", response["description"].partition("Codes: ")[2]) == codes
