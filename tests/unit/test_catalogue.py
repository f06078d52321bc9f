"""The catalogue as data: names, checks, sizes and money."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel.catalogue import Catalogue, Model
from easel.errors import InvalidRequest, NotFound
from easel.parameters import Parameter
from easel.prices import PARTIAL_IMAGE_TOKENS, PROMPT_OVERHEAD_TOKENS

TODAY = date(2026, 11, 22)
DECEMBER = date(2026, 12, 1)
SOURCE = Path(sys.modules[Catalogue.__module__].__file__ or "").with_name("catalogue.toml")
CATALOGUE = Catalogue.load()
LIVE = [
    "gpt-image-1-mini",
    "gpt-image-1.5",
    "chatgpt-image-latest",
    "gpt-image-2",
    "gpt-image-2.5-sunburst",
    "gpt-image-2.5-flare",
    "gpt-image-2.6-sunburst",
    "gpt-image-2.6-flare",
]
MODELS = {name: CATALOGUE.resolve(name, TODAY) for name in LIVE}
FIXED = LIVE[:3]
FLEXIBLE = LIVE[3:]


def changed(tmp_path: Path, *replacements: tuple[str, str], more: str = "") -> Catalogue:
    text = SOURCE.read_text("utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    source = tmp_path / "catalogue.toml"
    source.write_text(text + more, "utf-8")
    return Catalogue.load(source)


# --- Names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "today", "resolved"),
    [
        *((name, TODAY, name) for name in LIVE),
        ("dall-e-2", TODAY, "gpt-image-2.5-flare"),
        ("dall-e-3", date(2024, 1, 1), "gpt-image-2.5-flare"),
        ("gpt-image-1", TODAY, "gpt-image-2.5-flare"),
        ("gpt-image-1-mini", date(2026, 11, 30), "gpt-image-1-mini"),
        ("gpt-image-1-mini", DECEMBER, "gpt-image-2.6-flare"),
        ("gpt-image-1.5", DECEMBER, "gpt-image-2.6-sunburst"),
        ("chatgpt-image-latest", DECEMBER, "gpt-image-2.6-sunburst"),
        ("gpt-image-2-2026-04-21", TODAY, "gpt-image-2"),
        ("gpt-image-2.5-flare-2026-09-08", TODAY, "gpt-image-2.5-flare"),
        ("gpt-image-2.5-sunburst-2026-09-08", DECEMBER, "gpt-image-2.5-sunburst"),
    ],
)
def test_a_name_resolves_by_date(name: str, today: date, resolved: str) -> None:
    assert CATALOGUE.resolve(name, today).id == resolved


@pytest.mark.parametrize("name", ["gpt-image-2.5", "gpt-image-9", "", "DALL-E-3"])
def test_an_unknown_name_is_answered_with_the_live_ones(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        CATALOGUE.resolve(name, DECEMBER)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "gpt-image-2.6-flare" in caught.value.message
    assert "gpt-image-1-mini" not in caught.value.message


def test_the_listing_shows_every_name_and_what_it_stands_for() -> None:
    listed = {each.id: each for each in CATALOGUE.listed(TODAY)}
    assert set(LIVE) < listed.keys()
    assert listed["dall-e-3"].resolves_to == "gpt-image-2.5-flare"
    assert listed["dall-e-3"].prices["image_out"] == "30"
    assert listed["gpt-image-2-2026-04-21"].resolves_to == "gpt-image-2"
    mini = listed["gpt-image-1-mini"]
    assert (mini.resolves_to, mini.shutdown_date) == (None, DECEMBER)
    assert mini.prices["cached_text"] == "0.20"
    flare = listed["gpt-image-2.6-flare"]
    assert datetime.fromtimestamp(flare.created, UTC) == datetime(2026, 11, 4, tzinfo=UTC)
    assert flare.shutdown_date is None
    later = {each.id: each for each in CATALOGUE.listed(DECEMBER)}
    assert later["gpt-image-1-mini"].resolves_to == "gpt-image-2.6-flare"


def test_a_successor_drops_what_only_the_retired_model_took() -> None:
    given = {"input_fidelity": "high", "quality": "low"}
    assert CATALOGUE.resolve("gpt-image-1", TODAY).check("edit", given) == {"quality": "low"}
    assert CATALOGUE.resolve("gpt-image-1.5", DECEMBER).check("edit", given) == {"quality": "low"}
    with pytest.raises(InvalidRequest):
        CATALOGUE.resolve("gpt-image-2.5-flare", TODAY).check("edit", given)


def test_a_file_is_parsed_once() -> None:
    assert Catalogue.load() is CATALOGUE


def test_loading_imports_neither_pydantic_nor_pillow() -> None:
    program = (
        "import sys; from easel.catalogue import Catalogue; Catalogue.load();"
        "print(sorted({'pydantic', 'PIL', 'boto3', 'openai'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=SOURCE.parent.parent,
    )
    assert done.stdout.strip() == "[]"


# --- Data changes -----------------------------------------------------------------------------


def test_a_price_is_a_data_change(tmp_path: Path) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1000}
    dearer = changed(tmp_path, ('prices.image_out = "30"', 'prices.image_out = "31.5"'))
    assert MODELS["gpt-image-2"].charge(usage) == 30_000
    assert dearer.resolve("gpt-image-2", TODAY).charge(usage) == 31_500
    assert dearer.listed(TODAY)[-1].prices["image_out"] == "31.5"


def test_a_model_and_a_parameter_are_data_changes(tmp_path: Path) -> None:
    catalogue = changed(
        tmp_path,
        more="""
        [parameters.tileable]
        type = "boolean"
        [models.gpt-image-3]
        like = "two-point-six"
        created = 2027-01-01
        takes = ["n", "size", "tileable"]
        sizes.max_edge = 4096
        prices.text_in = "7"
        """,
    )
    new = catalogue.resolve("gpt-image-3", TODAY)
    assert new.fit("4096x2000") == ("4096x2000", None)
    assert new.check("generate", catalogue.from_text({"tileable": "true"})) == {"tileable": True}
    with pytest.raises(InvalidRequest, match="true or false"):
        new.check("generate", catalogue.from_text({"tileable": "yes"}))
    assert new.charge({"input_tokens": 1, "output_tokens": 0, **text(1)}) == 7
    with pytest.raises(InvalidRequest, match="gpt-image-3 would take it"):
        catalogue.resolve("gpt-image-2", TODAY).check("generate", {"tileable": True})


# --- Checks, generated from the data ----------------------------------------------------------

WRONG_TYPES = {
    "integer": ["1", 1.5, True, [1]],
    "boolean": ["true", 1],
    "text": [1, {}],
    "choice": [1, ["auto"], True],
    "size": [1024, ["1024x1024"]],
    "object": ["text", []],
}
KNOWN = [
    pytest.param(model, parameter, id=f"{model.id}-{parameter.name}")
    for model in MODELS.values()
    for parameter in model.parameters.values()
]
TAKEN = [each for each in KNOWN if each.values[0].id in each.values[1].taken_by]
REFUSED = [each for each in KNOWN if each.values[0].id not in each.values[1].taken_by]


def sample(parameter: Parameter) -> object:
    samples = {
        "text": "someone",
        "choice": "high",
        "size": "1024x1024",
        "object": {"model": "m"},
        "image": b"png",
    }
    return (parameter.choices or [samples.get(parameter.type, parameter.default)])[0]


def formats(model: Model, parameter: Parameter) -> dict[str, str]:
    """Return the output format under which a parameter is welcome."""
    given = {
        "output_compression": "webp",
        "frame_count": "gif",
        "frame_duration_ms": "gif",
        "svg": "svg",
    }.get(parameter.name, "png")
    return {} if parameter.name == "output_format" else {"output_format": given}


def refusal(model: Model, operation: str, parameters: dict[str, object]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        model.check(operation, parameters)
    return caught.value


@pytest.mark.parametrize(("model", "parameter"), TAKEN)
def test_what_a_model_takes_passes(model: Model, parameter: Parameter) -> None:
    for operation in parameter.operations:
        for value in parameter.choices or [sample(parameter)]:
            parameters = {**formats(model, parameter), parameter.name: value}
            assert model.check(operation, parameters) == parameters


@pytest.mark.parametrize(("model", "parameter"), REFUSED)
def test_what_a_model_does_not_take_is_refused_by_name(model: Model, parameter: Parameter) -> None:
    for operation in parameter.operations:
        error = refusal(model, operation, {parameter.name: sample(parameter)})
        assert (error.code, error.param, error.status) == ("unknown_parameter", parameter.name, 400)
        assert model.id in error.message
        assert all(taker in error.message for taker in parameter.taken_by)


@pytest.mark.parametrize(("model", "parameter"), TAKEN)
def test_a_wrong_type_range_or_choice_is_refused_by_name(
    model: Model, parameter: Parameter
) -> None:
    wrong = list(WRONG_TYPES.get(parameter.type, []))
    wrong += [] if parameter.minimum is None else [parameter.minimum - 1]
    wrong += [] if parameter.maximum is None else [parameter.maximum + 1]
    wrong += ["", "ultra", "HIGH"] if parameter.choices else []
    for value in wrong:
        error = refusal(model, parameter.operations[0], {parameter.name: value})
        assert (error.code, error.param) == ("invalid_value", parameter.name)
        assert "xpected" in error.message


@pytest.mark.parametrize(("model", "parameter"), TAKEN)
def test_the_ends_of_a_range_pass(model: Model, parameter: Parameter) -> None:
    for end in (parameter.minimum, parameter.maximum):
        if end is not None:
            parameters = {**formats(model, parameter), parameter.name: end}
            assert model.check("generate", parameters) == parameters


@pytest.mark.parametrize(("model", "parameter"), TAKEN)
def test_another_operation_is_refused(model: Model, parameter: Parameter) -> None:
    for operation in {"generate", "edit", "variation"} - set(parameter.operations):
        error = refusal(model, operation, {parameter.name: sample(parameter)})
        assert (error.code, error.param) == ("unknown_parameter", parameter.name)
        assert operation in error.message


@pytest.mark.parametrize(
    ("parameters", "param", "hint"),
    [
        ({"background": "transparent", "output_format": "jpeg"}, "background", "png or webp"),
        ({"output_compression": 50}, "output_compression", "jpeg or webp"),
        ({"output_compression": 50, "output_format": "gif"}, "output_compression", "jpeg or webp"),
        ({"partial_images": 1, "output_format": "gif"}, "partial_images", "png"),
        ({"n": 2, "output_format": "svg"}, "n", "png"),
        ({"mask": b"", "output_format": "gif"}, "mask", "png"),
        ({"frame_count": 4}, "frame_count", "gif"),
        ({"frame_duration_ms": 50, "output_format": "png"}, "frame_duration_ms", "gif"),
        ({"svg": {"model": "m"}}, "svg", "svg"),
        ({"mask": b"", "markup": b""}, "markup", "mask"),
    ],
)
def test_combinations_that_contradict_are_refused(
    parameters: dict[str, object], param: str, hint: str
) -> None:
    error = refusal(MODELS["gpt-image-2.6-flare"], "edit", parameters)
    assert (error.code, error.param) == ("invalid_value", param)
    assert hint in error.message


@pytest.mark.parametrize(
    "parameters",
    [
        {"output_compression": 100},
        {"partial_images": 0, "output_format": "svg", "n": 1},
        {"background": "transparent"},
        {"background": "transparent", "output_format": "webp", "output_compression": 50},
        {"frame_count": 2, "frame_duration_ms": 10, "output_format": "gif", "n": 2},
        {"mask": b""},
        {"markup": b""},
    ],
)
def test_combinations_that_agree_pass(parameters: dict[str, object]) -> None:
    assert MODELS["gpt-image-2.6-flare"].check("edit", parameters) == parameters


@pytest.mark.parametrize("model", MODELS.values(), ids=LIVE)
def test_legacy_qualities_none_and_unknown_names(model: Model) -> None:
    given = {"quality": "standard", "n": None, "prompt_rewriter": {"on": 1}, "extra": [1]}
    expected = {"quality": "medium", "prompt_rewriter": {"on": 1}, "extra": [1]}
    assert model.check("generate", given) == expected
    assert model.check("variation", {"quality": "hd"}) == {"quality": "high"}
    assert refusal(model, "generate", {"size": "huge"}).param == "size"


def test_a_forms_texts_become_typed() -> None:
    texts = {
        "n": "2",
        "size": "1024x1024",
        "partial_images": "three",
        "frame_count": "4.0",
        "svg[model]": "gpt-5",
        "svg[reasoning][effort]": "low",
        "odd[x]": "1",
        "x": "7",
    }
    assert CATALOGUE.from_text(texts) == {
        "n": 2,
        "size": "1024x1024",
        "partial_images": "three",
        "frame_count": "4.0",
        "svg": {"model": "gpt-5", "reasoning": {"effort": "low"}},
        "odd[x]": "1",
        "x": "7",
    }
    assert CATALOGUE.from_text({"svg": "a", "svg[model]": "b"}) == {"svg": {"model": "b"}}
    assert refusal(MODELS["gpt-image-2"], "edit", CATALOGUE.from_text({"n": "two"})).param == "n"


# --- Sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLEXIBLE)
@pytest.mark.parametrize(
    ("asked", "rendered", "exact"),
    [
        ("auto", "auto", None),
        ("1024x1024", "1024x1024", None),
        ("1792x1024", "1792x1024", None),
        ("3840x2160", "3840x2160", None),
        ("2880x2880", "2880x2880", None),
        ("256x256", "816x816", (256, 256)),
        ("512x512", "816x816", (512, 512)),
        ("1000x1000", "1008x1008", (1000, 1000)),
        ("1920x1080", "1936x1088", (1920, 1080)),
        ("16x16", "816x816", (16, 16)),
    ],
)
def test_a_flexible_size(
    name: str, asked: str, rendered: str, exact: tuple[int, int] | None
) -> None:
    assert MODELS[name].fit(asked) == (rendered, exact)


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(
    ("asked", "rendered", "exact"),
    [
        ("auto", "auto", None),
        ("1024x1024", "1024x1024", None),
        ("1536x1024", "1536x1024", None),
        ("1792x1024", "1536x1024", (1792, 1024)),
        ("1024x1792", "1024x1536", (1024, 1792)),
        ("256x256", "1024x1024", (256, 256)),
        ("300x100", "1536x1024", (300, 100)),
    ],
)
def test_a_fixed_size(name: str, asked: str, rendered: str, exact: tuple[int, int] | None) -> None:
    assert MODELS[name].fit(asked) == (rendered, exact)


@pytest.mark.parametrize("model", MODELS.values(), ids=LIVE)
@pytest.mark.parametrize(
    "size",
    [
        "",
        "big",
        "1024",
        "1024x",
        "1024X1024",
        "0x0",
        "15x40",
        "-16x16",
        "1024x1024 ",
        "016x16",
        "1024x1024x",
        "4096x2160",
        "3840x3840",
        "3000x999",
        "100x301",
        "9999999x9999999",
        "\uff11\uff16x16",
    ],
)
def test_a_size_beyond_the_model_is_refused(model: Model, size: str) -> None:
    with pytest.raises(InvalidRequest, match="WIDTHxHEIGHT") as caught:
        model.fit(size)
    assert (caught.value.param, caught.value.code) == ("size", "invalid_value")


@given(
    model=st.sampled_from(list(MODELS.values())),
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
)
def test_every_size_is_refused_or_rendered_near_its_aspect(
    model: Model, width: int, height: int
) -> None:
    try:
        rendered, exact = model.fit(f"{width}x{height}")
    except InvalidRequest:
        assert (
            max(width, height) > 1792
            or min(width, height) < 16
            or width * height > 1_835_008
            or (max(width, height) > 3 * min(width, height))
        )
        return
    assert model.fit(rendered) == (rendered, None)
    assert exact in (None, (width, height))
    assert exact or rendered == f"{width}x{height}"
    if model.id in FLEXIBLE:
        across, down = map(int, rendered.split("x"))
        assert abs(across * height / (down * width) - 1) < 0.05
        assert 655_360 <= across * down <= 8_294_400


# --- Tokens and money -------------------------------------------------------------------------


def text(tokens: int) -> dict[str, object]:
    return {"input_tokens_details": {"text_tokens": tokens, "image_tokens": 0}}


@pytest.mark.parametrize(
    ("name", "quality", "tokens", "dollars"),
    [
        ("gpt-image-2", "low", 196, "0.0059"),
        ("gpt-image-2", "medium", 1756, "0.0527"),
        ("gpt-image-2", "high", 7024, "0.2107"),
        ("gpt-image-2.5-flare", "low", 196, "0.0059"),
        ("gpt-image-2.5-flare", "medium", 439, "0.0132"),
        ("gpt-image-2.5-sunburst", "high", 1756, "0.0527"),
        ("gpt-image-2.5-sunburst", "xhigh", 3122, "0.0937"),
        ("gpt-image-2.5-flare", "max", 7024, "0.2107"),
        ("gpt-image-2.6-flare", "low", 1756, "0.0527"),
        ("gpt-image-2.6-flare", "max", 7024, "0.2107"),
    ],
)
def test_published_tokens_and_prices(name: str, quality: str, tokens: int, dollars: str) -> None:
    model = MODELS[name]
    assert model.output_tokens(quality, 1024, 1024) == tokens
    charge = model.charge({"input_tokens": 0, "output_tokens": tokens})
    assert f"{charge / 1_000_000:.4f}" == dollars


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(
    ("quality", "square", "portrait", "landscape"),
    [("low", 272, 408, 400), ("medium", 1056, 1584, 1568), ("high", 4160, 6240, 6208)],
)
def test_published_tables(
    name: str, quality: str, square: int, portrait: int, landscape: int
) -> None:
    tokens = MODELS[name].output_tokens
    assert tokens(quality, 1024, 1024) == square
    assert tokens(quality, 1024, 1536) == portrait
    assert tokens(quality, 1536, 1024) == landscape


def test_the_formula_rounds_the_shorter_edge_half_to_even() -> None:
    tokens = MODELS["gpt-image-2"].output_tokens
    # 16 * 1040/1280 = 13 exactly; 16 * 1056/1536 = 11; 16 * 1008/1536 = 10.5, rounded to 10
    assert tokens("low", 1536, 1008) == -(-16 * 10 * (2_000_000 + 1536 * 1008) // 4_000_000)
    assert tokens("low", 1008, 1536) == tokens("low", 1536, 1008)


def test_a_charge_counts_every_kind_of_token_and_rounds_up_once() -> None:
    usage = {
        "input_tokens": 1101,
        "input_tokens_details": {"text_tokens": 101, "image_tokens": 1000},
        "output_tokens": 2000,
        "output_tokens_details": {"text_tokens": 500, "image_tokens": 1500},
    }
    assert MODELS["gpt-image-2"].charge(usage) == 101 * 5 + 1000 * 8 + 2000 * 30
    assert MODELS["gpt-image-1.5"].charge(usage) == 101 * 5 + 8000 + 1500 * 32 + 500 * 10
    assert MODELS["gpt-image-1-mini"].charge(usage) == 202 + 2500 + 16_000
    usage["input_tokens_details"]["cached_tokens"] = 101
    assert MODELS["gpt-image-2"].charge(usage) == 127 + 8000 + 60_000  # 126.25, rounded up
    usage["input_tokens_details"]["cached_tokens"] = 151
    assert MODELS["gpt-image-2"].charge(usage) == 127 + 7600 + 100 + 60_000
    usage["input_tokens_details"]["cached_tokens_details"] = {"text_tokens": 0, "image_tokens": 400}
    assert MODELS["gpt-image-2"].charge(usage) == 505 + 4800 + 800 + 60_000


def test_tokens_of_no_said_kind_are_billed_as_image() -> None:
    model = MODELS["gpt-image-1.5"]
    assert model.charge({"input_tokens": 10, "output_tokens": 10}) == 80 + 320
    assert model.charge({"input_tokens": 10, "output_tokens": 0, **text(4)}) == 20 + 48
    for usage in ({}, {"input_tokens": 1}, {"output_tokens": 1}):
        with pytest.raises(ValueError, match="no price"):
            model.charge(usage)


def test_writing_an_svg_is_charged_and_held() -> None:
    model = MODELS["gpt-image-2.6-flare"]
    usage = {"input_tokens": 0, "output_tokens": 0}
    written = {"input_tokens": 100, "output_tokens": 1000, "model": "m", "total_tokens": 1100}
    assert model.charge(usage, written) == 100 * 5 + 1000 * 30
    drawn = {"quality": "high", "size": "1024x1024"}
    plain = model.ceiling("generate", drawn, "a cat", 0)
    held = model.ceiling("generate", {**drawn, "output_format": "svg"}, "a cat", 0)
    assert held - plain >= model.charge(usage, written)
    with pytest.raises(ValueError, match="no price"):
        model.charge(usage, {"model": "m"})


def test_a_ceiling_names_its_price() -> None:
    model = MODELS["gpt-image-2.5-flare"]
    exact = {"quality": "medium", "size": "1024x1024"}
    text_cost = (5 + PROMPT_OVERHEAD_TOKENS) * 5
    one = text_cost + 439 * 30
    assert model.ceiling("generate", exact, "a cat", 0) == one
    assert model.ceiling("generate", {**exact, "n": 3}, "a cat", 0) == 3 * one
    assert model.ceiling("generate", exact, "ü cat", 0) == one + 5
    assert model.ceiling("edit", exact, "a cat", 2) == one + 2 * 1536 * 8
    assert model.ceiling("edit", {**exact, "n": 2}, "a cat", 2) == 2 * (one + 2 * 1536 * 8)
    assert model.ceiling("generate", {**exact, "partial_images": 3}, "a cat", 0) == one + 9000
    gif = {**exact, "output_format": "gif"}
    assert model.ceiling("generate", gif, "a cat", 0) == text_cost + 9 * 439 * 30
    assert model.ceiling("generate", {**gif, "frame_count": 2}, "a cat", 0) == one + 439 * 30
    assert model.ceiling("generate", exact, "\ud800", 0) > 0


@pytest.mark.parametrize("model", MODELS.values(), ids=LIVE)
def test_what_is_not_known_is_held_at_the_dearest(model: Model) -> None:
    exact = {"quality": "low", "size": "1024x1024"}
    dearest = model.ceiling("generate", {}, "a cat", 0)
    assert dearest > model.ceiling("generate", exact, "a cat", 0)
    assert model.ceiling("generate", {"quality": "auto", "size": "auto"}, "a cat", 0) == dearest
    assert model.ceiling("generate", {**exact, "novelty": 1}, "a cat", 0) == dearest
    assert model.ceiling("generate", {**exact, "complexity": "low"}, "a cat", 0) == dearest
    assert model.ceiling("generate", {"size": "1024x1024"}, "a cat", 0) < dearest
    assert model.ceiling("generate", {"quality": "low"}, "a cat", 0) < dearest


@st.composite
def calls(draw: st.DrawFn) -> tuple[Model, dict[str, object], str, int, dict[str, object]]:
    """Draw a checked call, and a usage as upstream would bill it at most."""
    model = draw(st.sampled_from(list(MODELS.values())))
    qualities = [each for each in model.parameters["quality"].choices if each != "auto"]
    quality = draw(st.sampled_from(qualities))
    try:
        width, height = draw(st.integers(256, 3840)), draw(st.integers(256, 3840))
        size = model.fit(f"{width}x{height}")[0]
    except InvalidRequest:
        size = "1024x1024"
    n, partials = draw(st.integers(1, 10)), draw(st.integers(0, 3))
    prompt, images = draw(st.text(max_size=40)), draw(st.integers(0, 16))
    given: dict[str, object] = {"n": n, "partial_images": partials}
    given |= {"quality": quality} if draw(st.booleans()) else {}
    given |= {"size": size} if draw(st.booleans()) else {}
    texts = n * draw(st.integers(0, len(prompt.encode()) + PROMPT_OVERHEAD_TOKENS))
    pictures = n * images * draw(st.integers(0, model.input_image_tokens))
    made = model.output_tokens(quality, *map(int, size.split("x")))
    usage = {
        "input_tokens": texts + pictures,
        "input_tokens_details": {
            "text_tokens": texts,
            "image_tokens": pictures,
            "cached_tokens": draw(st.integers(0, texts + pictures)),
        },
        "output_tokens": n * (made + partials * PARTIAL_IMAGE_TOKENS),
    }
    return model, given, prompt, images, usage


@given(calls())
def test_no_charge_is_above_its_ceiling(
    call: tuple[Model, dict[str, object], str, int, dict[str, object]],
) -> None:
    model, parameters, prompt, images, usage = call
    checked = model.check("edit", parameters)
    charge = model.charge(usage)
    assert isinstance(charge, int)
    assert 0 < charge <= model.ceiling("edit", checked, prompt, images)
