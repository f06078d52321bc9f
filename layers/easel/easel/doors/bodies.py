"""Bodies: JSON or multipart becomes fields and input images."""

from __future__ import annotations

from typing import Any

from easel import forms
from easel.errors import InvalidRequest
from easel.inputs import Inputs
from easel.requests import Reader
from easel.wire import MOST_VALUES, read_object


def parse(reader: Reader, body: bytes, content_type: str) -> tuple[dict[str, Any], Inputs]:
    """Return the fields and the files of a call. Raises InvalidRequest."""
    if content_type.lower().startswith("multipart/form-data"):
        return _of_form(reader, forms.parse(body, content_type))
    fields = read_object(body)
    if fields is None:
        raise InvalidRequest(
            f"The body is not a JSON object of at most {MOST_VALUES} values. "
            "Send JSON, or multipart/form-data with files."
        )
    return fields, Inputs()


def _of_form(reader: Reader, form: forms.Form) -> tuple[dict[str, Any], Inputs]:
    fields = reader.of_texts({name: values[-1] for name, values in form.fields.items()})
    files = [upload.data for name in ("image", "image[]") for upload in form.files.get(name, ())]
    return fields, Inputs(
        images=tuple(files), mask=_only(form, "mask"), markup=_only(form, "markup")
    )


def _only(form: forms.Form, name: str) -> bytes | None:
    uploads = form.files.get(name, [])
    if len(uploads) > 1:
        raise InvalidRequest(f"Send one {name!r}; {len(uploads)} were sent.", param=name)
    return uploads[0].data if uploads else None
