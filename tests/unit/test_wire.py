"""The wire as the installed SDK types it: what OpenAI adds or drops fails here first."""

from __future__ import annotations

from datetime import date
from typing import Any, get_type_hints

import pytest
from openai.types.image_create_variation_params import ImageCreateVariationParams
from openai.types.image_edit_params import ImageEditParamsStreaming
from openai.types.image_generate_params import ImageGenerateParamsStreaming

from easel.catalogue import Catalogue
from easel.wire import Wire

SDK = {
    "generate": ImageGenerateParamsStreaming,
    "edit": ImageEditParamsStreaming,
    "variation": ImageCreateVariationParams,
}
TODAY = date(2026, 11, 22)
FILES = {"image", "mask", "markup"}


@pytest.mark.parametrize("operation", SDK)
def test_every_parameter_of_the_sdk_is_known(operation: str) -> None:
    named = set(get_type_hints(SDK[operation]))
    known = Wire.model_fields.keys() | Catalogue.load().parameters.keys() | FILES
    assert named <= known


def test_every_parameter_that_is_known_is_the_sdks_or_easels_own() -> None:
    named: set[str] = set().union(*(get_type_hints(params) for params in SDK.values()))
    ours = {"quote", "images"}
    assert (Wire.model_fields.keys() | Catalogue.load().parameters.keys()) - named == ours


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_the_choices_are_the_sdks(operation: str) -> None:
    hints = get_type_hints(SDK[operation])
    catalogue = Catalogue.load()
    models = [catalogue.model(one.id) for one in catalogue.listed(TODAY) if not one.resolves_to]
    for name, parameter in catalogue.parameters.items():
        if parameter.type != "choice" or name not in hints:
            continue
        ours = {choice for model in models for choice in model.parameters[name].choices}
        assert ours | set(parameter.legacy) >= _literals(hints[name]), name
        assert ours <= _literals(hints[name]), name


def _literals(hint: Any) -> set[str]:
    args = getattr(hint, "__args__", ())
    return {one for arg in args for one in ([arg] if isinstance(arg, str) else _literals(arg))}
