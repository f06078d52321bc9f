"""Bodies: JSON or multipart becomes fields and input images."""

from __future__ import annotations

import re
from typing import Any

from easel import forms
from easel.errors import InvalidRequest
from easel.inputs import Inputs
from easel.requests import Reader
from easel.wire import MOST_VALUES, read_object

_IMAGE = re.compile(r"image(?:\[[0-9]{0,4}\])?")
"""``image``, several as ``image[]``; PHP, whose names are unique, says ``image[0]``."""


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
    for name, values in form.fields.items():
        if name.endswith("[]") and len(values) > 1:
            raise InvalidRequest(
                f"A form has one {name!r} at most; send a list as JSON, with images by 'file_id'.",
                param=name,
            )
    fields = reader.of_texts({name: values[-1] for name, values in form.fields.items()})
    images = [name for name in form.files if _IMAGE.fullmatch(name)]
    for name in form.files.keys() - {*images, "mask", "markup"}:
        raise InvalidRequest(
            "No file is taken under this name: input images are 'image' (several: 'image[]'), "
            "and there is one 'mask' or 'markup'.",
            code="unknown_parameter",
            param=name,
        )
    return fields, Inputs(
        images=tuple(upload.data for name in images for upload in form.files[name]),
        mask=_only(form, "mask"),
        markup=_only(form, "markup"),
    )


def _only(form: forms.Form, name: str) -> bytes | None:
    uploads = form.files.get(name, [])
    if len(uploads) > 1:
        raise InvalidRequest(f"Send one {name!r}; {len(uploads)} were sent.", param=name)
    return uploads[0].data if uploads else None
