"""From what callers send to what is bought."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from easel import images
from easel.catalogue import Catalogue
from easel.errors import Forbidden, InvalidRequest, NotFound
from easel.inputs import MAX_IMAGES, Image, Inputs, begun, verify_uploads
from easel.prompt import Parts, Prompt
from easel.requests import (
    MAX_PROMPT,
    VARIATION_PROMPT,
    Asked,
    Delivery,
    Operation,
    Reader,
    Request,
    Tenancy,
)
from easel.settings import Settings
from easel.tenants import Tenant
from tests.unit.examples import image, picture
from tests.unit.examples import request as example

TODAY = date(2026, 11, 22)
READER = Reader(Catalogue.load(), Settings())
PNG, OTHER, MASK = picture(), picture(32, 32), picture(mode="RGBA")  # the last is transparent


def unknown(name: str) -> Any:
    raise NotFound(f"There is no {name}.")


def located(stored: Mapping[str, bytes], file_id: str, param: str) -> Image:
    """Find an upload, by its first bytes."""
    data = stored.get(file_id) or unknown(file_id)
    return begun(data[:48], len(data), file_id, f'"{sha256(data).hexdigest()}"', param)


def read(
    operation: Operation = "generate",
    fields: dict[str, Any] | None = None,
    inputs: Inputs | None = None,
    *,
    tenant: str | Tenant = "demo",
    today: date = TODAY,
    stored: Mapping[str, bytes] = {},
    earlier: Any = unknown,
    reader: Reader = READER,
    **more: Any,
) -> Asked:
    asked = {"prompt": "a cat", **(fields or {}), **more}
    tenant = Tenant(name=tenant) if isinstance(tenant, str) else tenant
    tenancy = Tenancy(tenant, partial(located, stored), lambda image: stored[image.key], earlier)
    return reader.read(operation, tenancy, asked, inputs or Inputs(), today=today)


def refusal(*args: Any, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(*args, **fields)
    return caught.value


def url(data: bytes, kind: str = "png") -> dict[str, str]:
    return {"image_url": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}


def test_what_is_omitted_has_the_deployments_defaults() -> None:
    asked = read()
    assert asked.request == Request(
        operation="generate",
        model="gpt-image-2.5-flare",
        prompt="a cat",
        parameters={"quality": "medium", "size": "auto"},
    )
    assert (asked.uploads, asked.delivery, asked.quote) == ({}, Delivery(), False)


def test_null_is_omitted() -> None:
    nulls = dict.fromkeys(["model", "n", "size", "quality", "response_format", "user", "stream"])
    assert read(fields=nulls) == read()


def test_the_deployment_says_what_the_defaults_are() -> None:
    settings = Settings(default_model="gpt-image-2", default_quality="low")
    asked = read(reader=Reader(Catalogue.load(), settings))
    assert asked.request.model == "gpt-image-2"
    assert asked.request.parameters["quality"] == "low"


def test_a_tenants_own_defaults_come_before_the_deployments() -> None:
    tenant = Tenant(name="demo", default_model="gpt-image-2", default_quality="low")
    unasked = read(tenant=tenant)
    assert (unasked.request.model, unasked.request.parameters["quality"]) == ("gpt-image-2", "low")
    assert unasked.delivery.model is None
    asked = read(tenant=tenant, model="gpt-image-2.5-flare", quality="high").request
    assert (asked.model, asked.parameters["quality"]) == ("gpt-image-2.5-flare", "high")
    assert read(tenant=tenant, fields={"quality": None, "model": None}) == unasked


def test_a_default_model_brings_its_own_rules() -> None:
    stored = {"file-1": MASK}
    body = {"images": [{"file_id": "file-1"}]}
    legacy = Tenant(name="demo", default_model="dall-e-2")
    assert read("edit", body, stored=stored, tenant=legacy).request.mask
    assert read("edit", body, stored=stored).request.mask is None


def forbidden(tenant: Tenant, **asked: Any) -> Forbidden:
    with pytest.raises(Forbidden) as caught:
        read(tenant=tenant, **asked)
    return caught.value


@pytest.mark.parametrize("quote", [False, True])
def test_a_tenant_uses_its_own_models_alone(quote: bool) -> None:
    tenant = Tenant(name="demo", models=("gpt-image-2", "gpt-image-2.5-flare"))
    for name in ("gpt-image-2", "gpt-image-2.5-flare", None):
        assert read(tenant=tenant, model=name, quote=quote).request.model in tenant.models
    error = forbidden(tenant, model="gpt-image-2.5-sunburst", quote=quote)
    assert (error.status, error.code, error.param) == (403, "model_not_allowed", "model")
    assert "It may use: gpt-image-2, gpt-image-2.5-flare." in error.message
    with pytest.raises(NotFound):
        read(tenant=tenant, model="dall-e-9")


def test_it_is_the_model_that_counts_not_its_name() -> None:
    by_alias = Tenant(name="demo", models=("gpt-image-1",))
    model = READER.catalogue.resolve("gpt-image-1", TODAY).id
    assert read(tenant=by_alias, model=model).request.model == model
    assert read(tenant=by_alias, model="dall-e-3").request.model == model
    by_model = Tenant(name="demo", models=(model,))
    assert read(tenant=by_model, model="gpt-image-1").request.model == model


def test_a_model_that_has_ended_allows_its_successor() -> None:
    tenant = Tenant(name="demo", models=("gpt-image-1.5",))
    before, after = date(2026, 11, 30), date(2026, 12, 1)
    assert read(tenant=tenant, model="gpt-image-1.5", today=before).request.model == "gpt-image-1.5"
    heir = read(tenant=tenant, model="gpt-image-1.5", today=after).request.model
    assert forbidden(tenant, model=heir, today=before)
    assert read(tenant=tenant, model=heir, today=after).request.model == heir


def test_models_that_nobody_knows_any_more_allow_nothing() -> None:
    tenant = Tenant(name="demo", models=("gpt-image-0",))
    assert forbidden(tenant, model="gpt-image-2").message.endswith("It may use: none.")
    assert forbidden(tenant).code == "model_not_allowed"


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3", "gpt-image-1"])
def test_a_retired_name_stands_for_its_successor(name: str) -> None:
    assert read(model=name).request.model.startswith("gpt-image-2.5-")


def test_a_name_stands_for_its_successor_from_its_shutdown_on() -> None:
    before, after = date(2026, 11, 30), date(2026, 12, 1)
    assert read(model="gpt-image-1.5", today=before).request.model == "gpt-image-1.5"
    assert read(model="gpt-image-1.5", today=after).request.model.startswith("gpt-image-2.6-")


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        read(model="dall-e-9")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(("legacy", "means"), [("standard", "medium"), ("hd", "high")])
def test_a_legacy_quality_is_translated(legacy: str, means: str) -> None:
    assert read(quality=legacy).request.parameters["quality"] == means


@pytest.mark.parametrize("size", ["256x256", "512x512", "1000x1000"])
def test_a_size_the_model_does_not_render_is_resampled_to(size: str) -> None:
    asked = read(size=size).request
    rendered = asked.parameters["size"]
    width, height = map(int, size.split("x"))
    assert asked.resample == (width, height)
    assert rendered != size
    assert READER.catalogue.model(asked.model).fit(rendered) == (rendered, None)


def test_a_size_the_model_renders_is_not() -> None:
    asked = read(size="1536x1024").request
    assert (asked.parameters["size"], asked.resample) == ("1536x1024", None)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("In JSON, input images are 'images'", ["image", "image[]", "image[image_url]"]),
        ("Name it 'prompt', without brackets", ["prompt[]"]),
        ("Name it 'n', without brackets", ["n[]", "n[a][b]"]),
        ("A parameter's name is of letters", ["[prompt]", "a b", "a\r\nb", "", "é", "a[", "a[b]c"]),
    ],
)
def test_a_name_that_may_stand_for_another_is_refused(said: str, names: list[str]) -> None:
    for name in names:
        error = refusal(fields={name: "1"})
        assert (error.code, error.param) == ("unknown_parameter", name)
        assert said in error.message


def test_what_a_form_says_of_an_unknown_parameter_passes() -> None:
    given = READER.of_texts({"metadata[k]": "v", "tags[]": "a", "svg[model]": "m"})
    assert given == {"metadata[k]": "v", "tags[]": "a", "svg": {"model": "m"}}
    del given["svg"]
    assert read(fields=given).request.parameters.items() >= given.items()
    assert read(fields={"image": None, "é": None}) == read()


def test_a_prompt_of_endless_parts_is_a_text() -> None:
    endless = '{"subject": "a cat", ' + ", ".join(f'"{n}": 0' for n in range(150_001)) + "}"
    assert READER.of_texts({"prompt": endless}) == {"prompt": endless}
    assert "characters" in refusal(fields=READER.of_texts({"prompt": endless})).message


@pytest.mark.parametrize("size", ["12\n34", "a'b", 'a"b', "x" * 99])
def test_a_size_that_is_none_is_not_quoted_where_it_is_logged(size: str) -> None:
    error = refusal(size=size)
    assert repr(size[:40]) in error.message
    assert "[…]" in error.unquoted()
    assert repr(size[:40])[1:-1] not in error.unquoted()


def test_unknown_parameters_pass_as_they_are() -> None:
    future = {"x": [1, "two", None]}
    assert read(future=future).request.parameters["future"] == future


def test_what_is_the_callers_own_never_goes_upstream() -> None:
    asked = read(
        user="ann@example.com",
        safety_identifier="s",
        response_format="url",
        stream=True,
        partial_images=2,
        quote=True,
        model="dall-e-3",
    )
    assert asked.delivery == Delivery(response_format="url", stream=True, model="dall-e-3")
    assert asked.quote
    assert asked.request.parameters == read(size="1024x1024").request.parameters


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3"])
def test_where_a_retired_model_was_square_its_name_is(name: str) -> None:
    assert read(model=name).request.parameters["size"] == "1024x1024"
    assert read(model=name, size="auto").request.parameters["size"] == "auto"
    assert read(model="gpt-image-1").request.parameters["size"] == "auto"


def test_partial_images_are_checked_though_not_bought() -> None:
    assert refusal(partial_images=4).param == "partial_images"


def test_a_location_carries_what_the_caller_asked_of_the_answer() -> None:
    assert Delivery().query() == {}
    delivery = Delivery(response_format="url", stream=True, model="dall-e-3")
    assert Delivery.model_validate(delivery.query()) == delivery


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_the_end_user_is_known_by_a_digest_of_the_tenants_own(name: str) -> None:
    ann = read(fields={name: "ann"}).request.user
    assert ann == sha256(b"demo\0ann").hexdigest()
    assert read(fields={name: "ann"}, tenant="other").request.user != ann
    assert read().request.user is None


def test_the_safety_identifier_outweighs_the_user() -> None:
    assert read(user="a", safety_identifier="b").request.user == read(user="b").request.user


BASE = {"size": "1024x1024", "quality": "medium"}
CHANGES: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "a dog"},
    "model": {"model": "gpt-image-2"},
    "size": {"size": "1536x1024"},
    "a size to resample to": {"size": "256x256"},
    "another, rendered at the same": {"size": "512x512"},
    "quality": {"quality": "high"},
    "n": {"n": 2},
    "style": {"style": "vivid"},
    "output_format": {"output_format": "webp"},
    "background": {"background": "transparent"},
    "something new": {"future": 1},
    "something new, otherwise": {"future": 2},
}
SAME: dict[str, dict[str, Any]] = {
    "user": {"user": "ann"},
    "safety_identifier": {"safety_identifier": "ann"},
    "response_format": {"response_format": "url"},
    "stream": {"stream": True},
    "partial_images": {"partial_images": 2},
    "quote": {"quote": True},
    "its parts, spelled out": {"prompt": {"subject": "a cat"}},
    "the default, spelled out": {"model": "gpt-image-2.5-flare"},
    "a retired name of the model": {"model": "dall-e-2"},
    "a legacy name of the quality": {"quality": "standard"},
    "null": {"n": None},
}


def test_the_fingerprint_changes_with_all_that_changes_the_picture() -> None:
    prints = [read(fields={**BASE, **change}).request.fingerprint() for change in CHANGES.values()]
    assert len({*prints, read(fields=BASE).request.fingerprint()}) == len(CHANGES) + 1


@pytest.mark.parametrize("change", SAME.values(), ids=list(SAME))
def test_the_fingerprint_does_not_change_with_the_rest(change: dict[str, Any]) -> None:
    same = read(fields={**BASE, **change}).request.fingerprint()
    assert same == read(fields=BASE).request.fingerprint()


def test_the_fingerprint_covers_every_input_and_its_part() -> None:
    one, two = image("1", sha256="1" * 64), image("2", sha256="2" * 64)
    several: list[dict[str, Any]] = [
        {},
        {"images": (one,)},
        {"images": (two,)},
        {"images": (one, two)},
        {"images": (two, one)},
        {"images": (one,), "mask": two},
        {"images": (one,), "markup": two},
    ]
    edits = [example(operation="edit", **inputs).fingerprint() for inputs in several]
    variation = example(operation="variation", images=(one,)).fingerprint()
    assert len({*edits, variation}) == len(several) + 1


def test_the_fingerprint_is_of_the_content_not_of_where_it_lies() -> None:
    here, there = (example(images=(image(key, sha256="1" * 64),)) for key in ("a", "b"))
    assert here.fingerprint() == there.fingerprint()


def test_inputs_are_named_by_their_content() -> None:
    asked = read("edit", inputs=Inputs(images=(PNG, OTHER), mask=MASK))
    first, second = asked.request.images
    assert first.key == f"inputs/demo/{sha256(PNG).hexdigest()}"
    assert (second.width, second.height, second.bytes) == (32, 32, len(OTHER))
    assert asked.request.mask
    assert asked.uploads == {first.key: PNG, second.key: OTHER, asked.request.mask.key: MASK}
    assert asked.request.inputs == (first, second, asked.request.mask)
    assert "mask" not in asked.request.parameters


def test_json_edits_carry_data_urls_and_ids() -> None:
    asked = read(
        "edit",
        images=[url(PNG), {"file_id": "job_1/0"}],
        mask=url(MASK),
        stored={"job_1/0": OTHER},
    )
    assert [each.sha256 for each in asked.request.inputs] == [
        sha256(PNG).hexdigest(),
        None,
        sha256(MASK).hexdigest(),
    ]
    named = asked.request.images[1]
    assert (named.key, named.width, named.bytes) == ("job_1/0", 32, len(OTHER))
    assert named.key not in asked.uploads  # it stays where it is


def test_the_content_of_an_upload_makes_another_request() -> None:
    """Its key alone does not: what lies there may have been replaced."""

    def fingerprint(content: bytes) -> str:
        asked = read("edit", images=[{"file_id": "file-1"}], stored={"file-1": content})
        return asked.request.fingerprint()

    assert fingerprint(PNG) == fingerprint(PNG) != fingerprint(OTHER)


def test_an_upload_is_refused_by_what_its_beginning_tells() -> None:
    large = Image(key="a", kind="png", width=64, height=64, bytes=images.MAX_BYTES, etag='"1"')
    for bad in (
        large,
        large.model_copy(update={"bytes": 9, "kind": "gif"}),
        large.model_copy(update={"bytes": 9, "width": 20_000}),
    ):
        refused = refusal("edit", inputs=Inputs(images=(bad,)))
        assert (refused.code, refused.param) == ("invalid_image_file", "image")


def test_a_mask_for_an_upload_is_measured_when_the_upload_is_read() -> None:
    """Its first bytes do not tell whether the picture is displayed sideways."""
    small = picture(8, 8, mode="RGBA")
    asked = read("edit", images=[{"file_id": "a"}], mask=url(small), stored={"a": PNG})
    data = {"a": PNG, asked.request.mask.key: small}
    with pytest.raises(InvalidRequest) as caught:
        verify_uploads(
            asked.request.images, asked.request.mask, None, lambda image: data[image.key]
        )
    assert caught.value.param == "mask"


def test_a_stored_mask_is_read_whole() -> None:
    """It is a sound picture, but whether it has alpha nobody knows."""
    mask = Image(key="m", kind="png", width=64, height=64, bytes=9, sha256="0" * 64)
    asked = read("edit", inputs=Inputs(images=(PNG,), mask=mask))
    assert asked.request.mask.sha256 is None
    with pytest.raises(InvalidRequest):
        verify_uploads(asked.request.images, asked.request.mask, None, lambda _: PNG)
    verify_uploads(asked.request.images, asked.request.mask, None, lambda _: MASK)


def test_what_was_read_whole_is_not_read_again() -> None:
    asked = read("edit", inputs=Inputs(images=(PNG, OTHER), mask=MASK))
    verify_uploads(asked.request.images, asked.request.mask, None, unknown)


def test_a_retired_models_mask_is_made_from_the_upload() -> None:
    asked = read("edit", model="dall-e-2", images=[{"file_id": "a"}], stored={"a": MASK})
    assert asked.request.mask
    assert asked.request.mask.key in asked.uploads


def test_an_images_kind_is_sniffed_not_believed() -> None:
    assert read("edit", images=[url(PNG, kind="jpeg")]).request.images[0].kind == "png"


def test_markup_goes_where_the_model_takes_it() -> None:
    asked = read("edit", inputs=Inputs(images=(PNG,), markup=MASK))
    assert asked.request.markup
    assert asked.request.markup.sha256 == sha256(MASK).hexdigest()
    both = refusal("edit", inputs=Inputs(images=(PNG,), markup=MASK, mask=MASK))
    assert both.param == "markup"


@pytest.mark.parametrize("param", ["mask", "markup"])
def test_what_is_laid_over_an_image_fits_it(param: str) -> None:
    """``image_edit_params``: a transparent PNG of the first image's size."""
    for data in (PNG, picture(16, 32, "RGBA")):
        error = refusal("edit", inputs=Inputs(images=(PNG,), **{param: data}))
        assert (error.code, error.param) == ("invalid_image_file", param)


REFERENCES = {
    "a remote URL": {"image_url": "https://example.com/cat.png"},
    "a data URL in plain": {"image_url": "data:image/png,abc"},
    "no base64": {"image_url": "data:image/png;base64,a"},
    "nothing": {},
    "something else": {"path": "cat.png"},
    "no object": "cat.png",
}


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=list(REFERENCES))
def test_other_references_are_refused(reference: Any) -> None:
    assert refusal("edit", images=[reference]).param == "images"
    assert refusal("edit", images=[url(PNG)], mask=reference).param == "mask"


def test_an_unknown_id_is_not_found() -> None:
    with pytest.raises(NotFound):
        read("edit", images=[{"file_id": "job_1/0"}])


def test_an_edit_needs_an_image() -> None:
    for operation in ("edit", "variation"):
        missing = refusal(operation)
        assert (missing.code, missing.param) == ("missing_required_parameter", "image")


def test_images_are_counted_before_they_are_looked_at() -> None:
    for operation, most in (("edit", MAX_IMAGES), ("variation", 1)):
        refused = refusal(operation, inputs=Inputs(images=(b"",) * (most + 1)))
        assert (refused.code, refused.param) == ("invalid_value", "image")
    assert len(read("edit", inputs=Inputs(images=(PNG,) * MAX_IMAGES)).request.images) == 16


def test_what_a_door_decodes_is_counted_before_it_is_decoded() -> None:
    large = PNG[:16] + (5000).to_bytes(4) * 2 + PNG[24:]
    assert "damaged" in refusal("edit", inputs=Inputs(images=(large,) * 2)).message
    for more in {"images": (large,) * 3}, {"mask": large}, {"markup": large}:
        inputs = Inputs(**{"images": (large,) * 2, **more})
        assert "together" in refusal("edit", inputs=inputs).message
    larger = PNG[:16] + (7000).to_bytes(4) * 2 + b"\x10" + PNG[25:]  # of 16 bits
    alone = refusal("edit", inputs=Inputs(images=(PNG,), markup=larger))
    assert alone.param == "markup"
    assert "upload" not in alone.message


def test_a_variation_needs_no_prompt() -> None:
    made = read("variation", prompt=None, inputs=Inputs(images=(PNG,)))
    assert made.request.prompt == VARIATION_PROMPT
    hinted = read("variation", prompt="in blue", inputs=Inputs(images=(PNG,)))
    assert "in blue" in hinted.request.prompt


def test_a_prompt_in_parts_becomes_one_text_and_is_kept() -> None:
    parts = {"subject": "a (red) [fox]", "lighting": "dawn.", "details": ["snow", "birches"]}
    asked = read(prompt=parts).request
    assert asked.prompt == "a (red) [fox]. Lighting: dawn. Details: snow; birches."
    assert asked.parts == Parts(**parts)


def test_an_earlier_jobs_details_are_changed() -> None:
    before = Prompt(text="a cat", parts=Parts(subject="a cat", details=["hat", "cane"]))
    change = {"from": "job_1", "add": ["boots"], "remove": ["cane"]}
    asked = read(prompt=change, earlier={"job_1": before}.__getitem__).request
    assert asked.prompt == "a cat. Details: hat; boots."
    plain = {"job_1": Prompt(text="a dog")}.__getitem__
    assert read(prompt={"from": "job_1", "add": ["hat"]}, earlier=plain).request.prompt == (
        "a dog. Details: hat."
    )


def test_a_style_becomes_words() -> None:
    asked = read(model="dall-e-3", style="vivid").request
    assert asked.prompt.startswith("a cat. Style: vivid")
    assert "style" not in asked.parameters
    assert refusal(style="loud").param == "style"


@pytest.mark.parametrize("prompt", [None, "", " \n"])
def test_other_operations_do(prompt: str | None) -> None:
    missing = refusal(prompt=prompt)
    assert (missing.code, missing.param) == ("missing_required_parameter", "prompt")


def test_a_prompt_has_a_limit() -> None:
    assert read(prompt="x" * MAX_PROMPT).request.prompt == "x" * MAX_PROMPT
    assert refusal(prompt="x" * (MAX_PROMPT + 1)).param == "prompt"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", 7),
        ("prompt", {}),
        ("prompt", {"subject": ""}),
        ("prompt", {"subject": "x", "colour": "red"}),
        ("prompt", {"from": "job_1", "remove": "x"}),
        ("model", 7),
        ("n", "2"),
        ("n", True),
        ("n", 11),
        ("size", "vast"),
        ("quality", "best"),
        ("response_format", "png"),
        ("images", {}),
        ("user", 7),
        ("stream", "yes"),
        ("quote", 1),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: Any) -> None:
    assert refusal(fields={name: value}).param == name


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


NO_TEXT = "\ud800"
HOSTILE: dict[str, tuple[Operation, dict[str, Any]]] = {
    "a prompt that is no text": ("generate", {"prompt": NO_TEXT}),
    "parts that are no text": ("generate", {"prompt": {"subject": NO_TEXT}}),
    "a value that is no text": ("generate", {"future": NO_TEXT}),
    "a value too deep": ("generate", {"future": nested(300)}),
    "a number without end": ("generate", {"future": float("inf")}),
    "no number": ("generate", {"future": {"deeper": [float("nan")]}}),
    "a value too large": ("generate", {"future": "x" * 300_000}),
}
UNCAUGHT: dict[str, tuple[Operation, dict[str, Any]]] = {
    "a data URL beyond ASCII": ("edit", {"images": [{"image_url": "data:;base64,\u00e9"}]}),
    "a name that is no text": ("generate", {NO_TEXT: 1}),
}


@pytest.mark.parametrize(("operation", "fields"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_cannot_be_kept_or_sent_is_refused(
    operation: Operation, fields: dict[str, Any]
) -> None:
    assert refusal(operation, fields).status == 400


@pytest.mark.parametrize(("operation", "fields"), UNCAUGHT.values(), ids=list(UNCAUGHT))
def test_what_cannot_be_read_is_refused(operation: Operation, fields: dict[str, Any]) -> None:
    assert refusal(operation, fields).status == 400


@pytest.mark.parametrize(
    "inputs", [{"images": [url(PNG)]}, {"mask": url(MASK)}, {"markup": url(PNG)}]
)
def test_a_picture_from_words_takes_no_images(inputs: dict[str, Any]) -> None:
    assert refusal(fields=inputs).param in inputs


def test_a_forms_texts_become_what_they_say() -> None:
    texts = {"prompt": "2", "n": "2", "stream": "false", "size": "auto", "svg[model]": "m"}
    assert READER.of_texts(texts) == {
        "prompt": "2",
        "n": 2,
        "stream": False,
        "size": "auto",
        "svg": {"model": "m"},
    }


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('{"subject": "a cat"}', {"subject": "a cat"}),
        ('{"from": "job_1"}', {"from": "job_1"}),
        ('{"colour": "red"}', '{"colour": "red"}'),
        ("{a cat}", "{a cat}"),
        ('["a cat"]', '["a cat"]'),
    ],
)
def test_a_forms_prompt_may_be_an_object_of_parts(text: str, prompt: Any) -> None:
    assert READER.of_texts({"prompt": text}) == {"prompt": prompt}


def test_parameters_are_told_from_a_callers_own_fields() -> None:
    fields = {"prompt": "x", "n": 1, "model": "m", "future": 1, "mtime": "0"}
    assert READER.known(fields).keys() == {"prompt", "n", "model"}


def test_the_ceiling_counts_every_input() -> None:
    one = read("edit", inputs=Inputs(images=(PNG,))).request
    two = read("edit", inputs=Inputs(images=(PNG,), mask=MASK)).request
    assert 0 < one.ceiling(READER.catalogue) < two.ceiling(READER.catalogue)


def test_the_ceiling_of_something_new_is_the_dearest() -> None:
    plain = read(size="1024x1024").request.ceiling(READER.catalogue)
    assert read(size="1024x1024", future=1).request.ceiling(READER.catalogue) > plain


def test_a_stored_input_is_known_by_its_key() -> None:
    asked = read("edit", inputs=Inputs(images=(picture(kind="webp"),), mask=MASK)).request
    assert asked.mask
    assert asked.kind_of(asked.images[0].key) == "webp"
    assert asked.kind_of(asked.mask.key) == "png"
