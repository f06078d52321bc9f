"""The environment, read once."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, asdict, fields

import pytest

from easel.settings import Settings


def test_an_absent_variable_has_its_default() -> None:
    settings = Settings.from_env({})
    assert settings == Settings()
    assert settings.default_model == "gpt-image-2.5-flare"
    assert (settings.wait_seconds, settings.integration_timeout_millis) == (25, 29_000)
    assert (settings.retry_window_seconds, settings.max_paid_attempts) == (900, 1)


def test_each_field_is_the_variable_of_its_name_in_capitals() -> None:
    words = {
        "default_quality": "high",
        "moderation_policy": "prompt+output",
        "moderation_failure": "closed",
        "keep_prompts": "False",
    }
    names = [field.name for field in fields(Settings)]
    environ = {name.upper(): words.get(name, "7") for name in names}
    read = asdict(Settings.from_env(environ))
    assert {str(value) for value in read.values()} == {"7", "7.0", "('7',)", *words.values()}
    assert Settings.from_env({"wait_seconds": "7"}).wait_seconds == 25


def test_other_variables_are_none_of_ours() -> None:
    assert Settings.from_env({"PATH": "/bin", "BUCKET": "b"}) == Settings(bucket="b")


@pytest.mark.parametrize(
    ("listed", "origins"),
    [
        ("", ()),
        ("https://a.example", ("https://a.example",)),
        ("https://a.example, http://b:1,", ("https://a.example", "http://b:1")),
    ],
)
def test_origins_are_listed_by_comma(listed: str, origins: tuple[str, ...]) -> None:
    assert Settings.from_env({"ALLOWED_ORIGINS": listed}).allowed_origins == origins


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAIT_SECONDS", "soon"),
        ("MAX_PAID_ATTEMPTS", "1.5"),
        ("DEFAULT_QUALITY", "hd"),
        ("KEEP_PROMPTS", ""),
    ],
)
def test_a_wrong_value_is_refused_when_the_function_starts(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.from_env({name: value})


def test_the_functions_own_environment_is_read_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "JOBS_TABLE", "jobs")
    assert Settings.from_env().jobs_table == "jobs"


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().bucket = "another"  # type: ignore[misc]  # it is what is tested
