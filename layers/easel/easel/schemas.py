"""What callers send, as JSON Schema: what ``requests`` types and the catalogue allows.

A parameter is what any model takes; which takes what is said in words, from the same data. Tests
hold all of it to what a ``requests.Reader`` reads and refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from easel.catalogue import Catalogue
from easel.inputs import MAX_IMAGES
from easel.parameters import Parameter
from easel.prompt import STYLES, Change, Parts
from easel.requests import MAX_PROMPT, Operation
from easel.settings import Settings
from easel.uploads import Upload
from easel.wire import Wire

Schema = dict[str, Any]

REF = "#/components/schemas/{model}"

_FILE: Schema = {"type": "string", "format": "binary"}
_SIZE = "^(auto|[1-9][0-9]{0,5}x[1-9][0-9]{0,5})$"

_ABOUT = {
    "prompt": "What the picture should show: a text, its parts, or a change of an earlier job's.",
    "model": "A retired name or an alias stands for another model; the reply says which.",
    "n": "How many images.",
    "size": "`auto` or WIDTHxHEIGHT in pixels. What the model cannot render is resampled.",
    "quality": "`standard` means medium, `hd` high.",
    "response_format": "How images come back; omitted: as URL and as base64.",
    "style": "dall-e-3's; it becomes words of the prompt.",
    "user": "Your end user; upstream gets no more than a keyed hash, as `safety_identifier`.",
    "safety_identifier": "Your end user; upstream gets no more than a keyed hash.",
    "stream": "Whether to answer by `text/event-stream`: one event per finished image.",
    "partial_images": "Accepted, and for now not bought.",
    "quote": "Whether to answer what the request would cost at most, and do nothing.",
    "images": "What to edit: data URLs, or images that Easel made.",
    "image": "What to edit; the bytes decide what it is.",
    "image[]": "The same as `image`.",
    "mask": "A PNG of the first image's size, transparent where it may be painted.",
    "markup": "The wanted changes, drawn; it excludes a mask.",
    "output_compression": "Per cent, of JPEG and WebP.",
    "frame_count": "How many frames a GIF has.",
    "frame_duration_ms": "How long a GIF shows a frame, in milliseconds.",
}
_TYPES = {"integer": "integer", "boolean": "boolean", "object": "object"}
"""Parameters' types that JSON knows; the others are strings."""
_REQUIRED = {"generate": ["prompt"], "edit": ["prompt", "images"], "variation": ["images"]}
_NULL = {"type": "null"}

JOB_ID = "job_19b5c1e2f40a1b2c3d4e5f60718293a4b5c"
_PIXELS = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGklEQVR42mO8lqDGQApg"
    "YiARjGoY1TB0NAAAXAQBfMElxOkAAAAASUVORK5CYII="
)
"""An orange square of 16 pixels."""
EXAMPLES: Mapping[Operation, Mapping[str, Schema]] = {
    "generate": {
        "text": {"prompt": "a red fox in the snow"},
        "dall-e-3": {
            "model": "dall-e-3",
            "prompt": "a red fox in the snow",
            "size": "1792x1024",
            "quality": "hd",
            "style": "natural",
            "response_format": "b64_json",
        },
        "parts": {
            "prompt": {
                "subject": "a red fox",
                "composition": "seen from below",
                "lighting": "dawn",
                "details": ["snow", "birches"],
                "avoid": ["people"],
            },
            "n": 2,
            "output_format": "webp",
            "output_compression": 80,
        },
        "change": {"prompt": {"from": JOB_ID, "add": ["frost"], "remove": ["birches"]}},
        "stream": {"prompt": "a red fox in the snow", "size": "1024x1536", "stream": True},
        "quote": {"prompt": "a red fox in the snow", "n": 4, "quality": "high", "quote": True},
    },
    "edit": {
        "of an image that Easel made": {
            "prompt": "give it a red scarf",
            "images": [{"file_id": f"{JOB_ID}/0"}],
        },
        "of images of your own": {
            "prompt": "put the first into the second",
            "images": [{"image_url": _PIXELS}, {"image_url": _PIXELS}],
            "size": "1024x1024",
        },
    },
    "variation": {
        "of an image": {"images": [{"image_url": _PIXELS}], "n": 2, "size": "512x512"},
        "with a hint": {"images": [{"file_id": f"{JOB_ID}/0"}], "prompt": "at night"},
    },
}
"""Bodies of calls, as JSON: each can be sent as it is, once the job it names is the caller's."""


UPLOAD: Schema = {"bytes": 1_234_567, "content_type": "image/png"}
"""A body of a call for the leave to upload."""


class Untitled(GenerateJsonSchema):
    """Without the titles that only repeat the fields' names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 # pydantic's
        """Never."""
        return False


def bodies(catalogue: Catalogue, settings: Settings, names: Sequence[str]) -> Schema:
    """Return the schemas of every call's body, and of what they refer to, by name.

    ``names`` are those that a model can be asked by.
    """
    made = _of(Wire) | _of(Parts) | _of(Change) | _of(Upload)
    made["Reference"]["minProperties"] = 1
    wire = made.pop("Wire")["properties"]
    typed = {name: given(field) for name, field in wire.items()}
    typed["style"] |= {"enum": list(STYLES)}
    typed["model"] |= {"enum": list(names), "default": settings.default_model}
    for operation in get_args(Operation):
        fields = _fields(typed, catalogue, operation)
        fields["prompt"] |= _prompt("prompt" in _REQUIRED[operation])
        fields["quality"]["default"] = settings.default_quality
        made[f"{operation.title()}Request"] = _json(fields, _REQUIRED[operation])
        if operation != "generate":
            made[f"{operation.title()}Form"] = _form(fields, _REQUIRED[operation])
    return made


def encoding(form: Schema) -> Schema:
    """Return how the fields of a form are written, where that is not plain text."""
    files = [
        name
        for name, field in form["properties"].items()
        if "binary" in (field.get("format"), field.get("items", {}).get("format"))
    ]
    return {
        "prompt": {"contentType": "text/plain, application/json"},
        "svg": {"style": "deepObject", "explode": True},
        **{name: {"contentType": "image/png, image/jpeg, image/webp"} for name in files},
    }


def given(field: Schema) -> Schema:
    """Return pydantic's schema of an optional field without its null and its default."""
    kept = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    [one] = [one for one in field.get("anyOf", [{}]) if one != _NULL]
    return {**kept, **one}


def _of(model: type[BaseModel]) -> Schema:
    made = model.model_json_schema(ref_template=REF, schema_generator=Untitled)
    return {**made.pop("$defs", {}), model.__name__: made}


def _prompt(required: bool) -> Schema:
    text = {"type": "string", "maxLength": MAX_PROMPT, **({"pattern": "\\S"} if required else {})}
    parts = [{"$ref": REF.format(model=model.__name__)} for model in (Parts, Change)]
    return {"anyOf": [text, *parts]}


def _fields(typed: Schema, catalogue: Catalogue, operation: Operation) -> Schema:
    known = catalogue.parameters
    taken = {name: one for name, one in known.items() if operation in one.operations}
    fields = {name: field for name, field in typed.items() if name in taken or name not in known}
    if operation == "generate":
        del fields["images"]
    else:
        most = 1 if operation == "variation" else MAX_IMAGES
        fields["images"] = {**fields["images"], "minItems": 1, "maxItems": most}
    for name, parameter in taken.items():
        if parameter.type != "image":
            fields[name] = _parameter(parameter, catalogue)
    return {name: {**field, **_about(name, catalogue)} for name, field in fields.items()}


def _parameter(parameter: Parameter, catalogue: Catalogue) -> Schema:
    """Return what any model takes."""
    limits = {
        "enum": [*_takers(parameter, catalogue), *parameter.legacy],
        "pattern": _SIZE if parameter.type == "size" else None,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "default": parameter.default,
    }
    given = {name: limit for name, limit in limits.items() if limit not in (None, [])}
    return {"type": _TYPES.get(parameter.type, "string"), **given}


def _takers(parameter: Parameter, catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the models by the choices they take."""
    takers: dict[str, list[str]] = {}
    for model in parameter.taken_by:
        for choice in catalogue.model(model).parameters[parameter.name].choices:
            takers.setdefault(choice, []).append(model)
    return takers


def _about(name: str, catalogue: Catalogue) -> Schema:
    """Return the description of a parameter, with what not every model takes."""
    said = [_ABOUT[name]] if name in _ABOUT else []
    parameter = catalogue.parameters.get(name)
    if parameter is not None:
        every = {model for one in catalogue.parameters.values() for model in one.taken_by}
        if set(parameter.taken_by) != every:
            said.append(f"Only with {', '.join(parameter.taken_by)}.")
        takers = _takers(parameter, catalogue)
        for models in dict.fromkeys(map(tuple, takers.values())):
            if set(models) != set(parameter.taken_by):
                choices = ", ".join(f"`{one}`" for one in takers if tuple(takers[one]) == models)
                said.append(f"{choices} only with {', '.join(models)}.")
    return {"description": " ".join(said)} if said else {}


def _body(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "description": "What is not named here goes upstream as it is.",
        "properties": properties,
        "required": required,
        "additionalProperties": True,
    }


def _json(fields: Schema, required: list[str]) -> Schema:
    properties = {
        name: field if name in required else _nullable(field) for name, field in fields.items()
    }
    return _body(properties, required)


def _nullable(field: Schema) -> Schema:
    """Return the schema of a field that may be null, which is the same as omitted."""
    outer: Schema = {key: field[key] for key in ("default", "description") if key in field}
    inner = {name: value for name, value in field.items() if name not in outer}
    return {"anyOf": [*inner.get("anyOf", [inner]), _NULL], **outer}


def _form(fields: Schema, required: list[str]) -> Schema:
    """Return the form of a call: texts, and files where JSON has references."""
    images = {**fields["images"], "items": _FILE}
    files: Schema = {name: _FILE for name in ("mask", "markup") if name in fields}
    files |= {"image": images, "image[]": images}
    described = {name: {**file, "description": _ABOUT[name]} for name, file in files.items()}
    properties = {name: one for name, one in fields.items() if name != "images"} | described
    body = _body(properties, [name for name in required if name != "images"])
    return {**body, "anyOf": [{"required": ["image"]}, {"required": ["image[]"]}]}
