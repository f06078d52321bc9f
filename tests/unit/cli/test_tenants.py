"""`easel tenants` and `easel keys`."""

import json
import re
import sys
import time
from io import StringIO

import pytest

from easel.aws import clients
from easel.aws.tenants import Tenants
from easel.keys import digest
from easel.tenants import Tenant
from tests.unit.cli.conftest import CloudFormation, Run, Terminal, tenants_of, whose


def test_a_tenant_gets_a_key_that_speaks_for_it(easel: Run, outputs: dict[str, str]) -> None:
    code, out, err = easel("tenants", "create", "blue-fox")
    assert code == 0
    assert re.fullmatch(r"ek-[\w-]{43}\n", out)
    assert whose(outputs, out) == "blue-fox"
    assert f"OPENAI_BASE_URL={outputs['BaseUrl']}" in err


def test_a_tenant_may_have_a_response_format_of_its_own(
    easel: Run, outputs: dict[str, str]
) -> None:
    tenants = Tenants(clients.dynamodb(), outputs["TenantsTableName"])
    key = easel("tenants", "create", "wiki", "--response-format", "b64_json")[1]
    assert whose(outputs, key) == "wiki"
    made = tenants.existing("wiki")
    assert (made.response_format, made.month_budget) == ("b64_json", 25_000_000)
    assert easel("tenants", "create", "other", "--response-format", "jpeg")[0] != 0
    assert tenants.named("other") is None


def test_a_tenant_may_have_a_moderation_of_its_own(easel: Run, outputs: dict[str, str]) -> None:
    def moderation() -> str | None:
        made = Tenants(clients.dynamodb(), outputs["TenantsTableName"]).named("wiki")
        assert made
        return made.moderation

    easel("tenants", "create", "wiki", "--moderation", "prompt+output")
    assert moderation() == "prompt+output"
    for typed, expected in ("off", "off"), ("prompt", "prompt"), ("none", None):
        assert easel("tenants", "set", "wiki", "--moderation", typed)[0] == 0
        assert moderation() == expected
    assert easel("tenants", "set", "wiki", "--moderation", "output")[0] != 0
    assert moderation() is None


def test_another_key_leaves_the_first_valid(easel: Run, outputs: dict[str, str]) -> None:
    first = easel("tenants", "create", "demo")[1]
    code, second, _ = easel("keys", "issue", "demo", "--stack-name", "easel")
    assert code == 0
    assert first != second
    assert [whose(outputs, key) for key in (first, second)] == ["demo", "demo"]


def test_a_name_is_taken_once(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "demo")
    assert easel("tenants", "create", "demo") == (
        1,
        "",
        "easel: There is a tenant 'demo' already.",
    )


def test_no_key_without_a_tenant(easel: Run, outputs: dict[str, str]) -> None:
    code, out, err = easel("keys", "issue", "nobody")
    assert (code, out) == (1, "")
    assert err == "easel: There is no tenant 'nobody'; create it first."


@pytest.mark.parametrize("name", ["Demo", "a/b", "", "x" * 64])
def test_a_bad_name_asks_nothing_of_aws(
    easel: Run, cloudformation: CloudFormation, name: str
) -> None:
    code, out, err = easel("tenants", "create", name)
    assert (code, out) == (1, "")
    assert err.startswith("easel: A tenant's name is 1 to 63 lower-case letters")


def test_a_tenant_is_made_as_it_is_wanted(easel: Run, outputs: dict[str, str]) -> None:
    budgets = ("--month-budget", "2.5", "--day-budget", "0.000001")
    models = ("--models", "gpt-image-1, gpt-image-2", "--default-model", "dall-e-3")
    assert easel("tenants", "create", "all", *budgets, *models, "--default-quality", "low")[0] == 0
    assert tenants_of(outputs).named("all") == Tenant(
        name="all",
        month_budget=2_500_000,
        day_budget=1,
        models=("gpt-image-1", "gpt-image-2"),
        default_model="dall-e-3",
        default_quality="low",
    )


def test_a_new_tenant_has_a_budget_of_a_month_unless_told_otherwise(
    easel: Run, outputs: dict[str, str]
) -> None:
    assert easel("tenants", "create", "free", "--month-budget", "none")[0] == 0
    assert easel("tenants", "create", "poor", "--month-budget", "0")[0] == 0
    assert easel("tenants", "create", "plain")[0] == 0
    made = {one.name: one for one in tenants_of(outputs).all()}
    assert made["plain"] == Tenant(name="plain", month_budget=25_000_000)
    assert made["free"] == Tenant(name="free")
    assert made["poor"].month_budget == 0


@pytest.mark.parametrize("rate", ["0", "-1", "1.5", "07", "1000000", "", "ten", "\u0665"])
@pytest.mark.parametrize("option", ["--requests-per-minute", "--images-per-minute"])
def test_what_is_no_rate_is_one_line(
    easel: Run, outputs: dict[str, str], option: str, rate: str
) -> None:
    code, out, err = easel("tenants", "create", "shop", f"{option}={rate}")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {rate!r} is no rate: write how many a minute")
    assert tenants_of(outputs).named("shop") is None


AMOUNTS = ("-1", "-0.01", "1e3", "nan", "inf", "1,5", "1_000", "$5", "5 USD", "", " 5", "+5", ".5")


@pytest.mark.parametrize("amount", [*AMOUNTS, "5.", "0.0000001", "1234567890", "\u0665"])
@pytest.mark.parametrize("option", ["--month-budget", "--day-budget"])
def test_what_is_no_amount_is_one_line(
    easel: Run, outputs: dict[str, str], option: str, amount: str
) -> None:
    code, out, err = easel("tenants", "create", "shop", f"{option}={amount}")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {amount!r} is no amount: write USD as 25 or 2.50")
    assert tenants_of(outputs).named("shop") is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--models", "gpt-image-2,dall-e-9"), "The model 'dall-e-9' does not exist. Available:"),
        (("--models", " , "), "Name models as a,b"),
        (("--cache-ttl", "1h"), "'1h' is no time: write seconds, as 3600, or none."),
        (("--default-model", "dall-e-9"), "The model 'dall-e-9' does not exist. Available:"),
        (
            ("--models", "gpt-image-2", "--default-model", "gpt-image-2.5-flare"),
            "The default model gpt-image-2.5-flare is none of: gpt-image-2.",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    easel: Run, outputs: dict[str, str], options: tuple[str, ...], says: str
) -> None:
    easel("tenants", "create", "there")
    for command in ("create", "shop"), ("set", "there"):
        code, out, err = easel("tenants", *command, *options)
        assert (code, out) == (1, "")
        assert err.startswith(f"easel: {says}")
    assert [one.models for one in tenants_of(outputs).all()] == [()]


def test_what_is_not_named_stays_as_it_is(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "shop", "--models", "gpt-image-2", "--response-format", "url")
    code, out, err = easel("tenants", "set", "shop", "--day-budget", "1.25")
    assert code == 0
    assert "day budget       1.25 USD\n" in out
    assert err == "Its keys know within 60 s.\n"
    made = tenants_of(outputs).named("shop")
    wanted = {"day_budget": 1_250_000, "month_budget": 25_000_000, "response_format": "url"}
    assert made == Tenant.model_validate({"name": "shop", "models": ["gpt-image-2"], **wanted})
    assert "cache ttl        90 s\n" in easel("tenants", "set", "shop", "--cache-ttl", "90")[1]
    assert easel("tenants", "set", "shop", "--requests-per-minute=60")[0] == 0
    assert getattr(tenants_of(outputs).named("shop"), "requests_per_minute", None) == 60
    rates = ("requests-per-minute", "images-per-minute", "cache-ttl")
    options = ("month-budget", "day-budget", "models", "default-model", "response-format", *rates)
    cleared = [word for each in options for word in (f"--{each}", "none")]
    assert easel("tenants", "set", "shop", *cleared, "--default-quality=none")[0] == 0
    assert tenants_of(outputs).named("shop") == Tenant(name="shop")


def test_a_default_is_held_to_the_models_it_has_already(
    easel: Run, outputs: dict[str, str]
) -> None:
    easel("tenants", "create", "shop", "--models", "gpt-image-2")
    code, _, err = easel("tenants", "set", "shop", "--default-model", "gpt-image-2.5-flare")
    assert code == 1
    assert "is none of: gpt-image-2." in err
    assert easel("tenants", "set", "shop", "--default-model", "gpt-image-2")[0] == 0


def test_nothing_to_set_is_told(easel: Run, cloudformation: CloudFormation) -> None:
    code, out, err = easel("tenants", "set", "shop")
    assert (code, out) == (1, "")
    assert err == "easel: Say what to change; `easel tenants set --help` lists it."


SHOWN = """\
tenant           shop
class            standard
suspended        no
month budget     2.5 USD
day budget       no limit
requests/min     no limit
images/min       7
models           all
default model    gpt-image-2
default quality  the deployment's
moderation       the deployment's
cache ttl        the deployment's
response format  both
"""


PLAIN = ("--default-model", "gpt-image-2")


def test_a_tenant_is_shown(easel: Run, outputs: dict[str, str]) -> None:
    easel("tenants", "create", "shop", "--month-budget", "2.50", *PLAIN, "--images-per-minute=7")
    assert easel("tenants", "show", "shop")[:2] == (0, SHOWN)
    assert json.loads(easel("tenants", "show", "shop", "--json")[1]) == {
        "name": "shop",
        "tenant_class": "standard",
        "suspended": False,
        "month_budget_usd": 2.5,
        "day_budget_usd": None,
        "requests_per_minute": None,
        "images_per_minute": 7,
        "models": [],
        "default_model": "gpt-image-2",
        "default_quality": None,
        "moderation": None,
        "cache_ttl": None,
        "response_format": None,
    }


def test_tenants_are_listed(easel: Run, outputs: dict[str, str]) -> None:
    assert easel("tenants", "list")[1].startswith("There is no tenant")
    assert json.loads(easel("tenants", "list", "--json")[1]) == {"tenants": []}
    easel("tenants", "create", "shop", "--day-budget", "0.5")
    easel("tenants", "create", "a", "--month-budget", "none")
    easel("tenants", "suspend", "a", "--yes")
    assert easel("tenants", "list")[1].splitlines() == [
        "a     a month: no limit, a day: no limit, suspended",
        "shop  a month: 25 USD, a day: 0.5 USD",
    ]
    listed = json.loads(easel("tenants", "list", "--json")[1])["tenants"]
    shown = [json.loads(easel("tenants", "show", one, "--json")[1]) for one in ("a", "shop")]
    assert listed == shown


@pytest.mark.parametrize(
    "command",
    [
        ("tenants", "show"),
        ("tenants", "set", "--day-budget=1"),
        ("tenants", "suspend", "--yes"),
        ("tenants", "resume"),
        ("keys", "list"),
        ("keys", "issue"),
        ("keys", "revoke", "--yes"),
    ],
)
def test_nobody_is_not_found(easel: Run, outputs: dict[str, str], command: tuple[str, ...]) -> None:
    key_id = ["0123456789ab"] if "revoke" in command else []
    code, out, err = easel(*command[:2], "nobody", *key_id, *command[2:])
    assert (code, out, err) == (1, "", "easel: There is no tenant 'nobody'; create it first.")


def test_a_suspended_tenant_has_its_keys_still(easel: Run, outputs: dict[str, str]) -> None:
    key = easel("tenants", "create", "shop")[1]
    code, out, _ = easel("tenants", "suspend", "shop", "--yes")
    assert code == 0
    assert "The keys of shop (1) will be refused within 60 s" in out
    assert whose(outputs, key) == "shop"
    made = tenants_of(outputs).existing("shop")
    assert made.suspended
    assert easel("tenants", "resume", "shop")[0] == 0
    assert tenants_of(outputs).named("shop") == made.model_copy(update={"suspended": False})


def test_a_key_is_revoked_by_its_id(easel: Run, outputs: dict[str, str]) -> None:
    first, second = (easel(*words)[1] for words in (("tenants", "create", "shop"), ISSUE))
    shown = json.loads(easel("keys", "list", "shop", "--json")[1])["keys"]
    ids = {key: digest(key.strip())[:12] for key in (first, second)}
    assert {one["id"] for one in shown} == set(ids.values())
    assert all(0 <= time.time() - one["created_at"] < 600 for one in shown)
    code, out, _ = easel("keys", "revoke", "shop", ids[first], "--yes")
    assert code == 0
    assert "It is revoked, and stops within 60 s." in out
    assert [whose(outputs, key) for key in (first, second)] == [None, "shop"]
    assert re.fullmatch(rf"{ids[second]}  issued 20\S+Z\n", easel("keys", "list", "shop")[1])
    assert easel("keys", "revoke", "shop", ids[second][:8], "--yes")[0] == 0
    assert easel("keys", "list", "shop")[1] == (
        "shop has no key; `easel keys issue shop` prints one.\n"
    )


ISSUE = ("keys", "issue", "shop")


@pytest.mark.parametrize(
    ("key_id", "says"),
    [("abc", "A key's id is 8 or more"), ("00000000", "The tenant 'shop' has no key 00000000.")],
)
def test_no_other_key_is_revoked(
    easel: Run, outputs: dict[str, str], key_id: str, says: str
) -> None:
    key = easel("tenants", "create", "shop")[1]
    code, out, err = easel("keys", "revoke", "shop", key_id, "--yes")
    assert (code, out) == (1, "")
    assert err.startswith(f"easel: {says}")
    assert whose(outputs, key) == "shop"


@pytest.mark.parametrize(("typed", "done"), [("y\n", True), ("n\n", False), ("", None)])
def test_what_cannot_be_undone_is_asked_first(
    easel: Run,
    outputs: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    done: bool | None,
) -> None:
    key = easel("tenants", "create", "shop")[1]
    key_id = digest(key.strip())[:8]
    for command in ("tenants", "suspend", "shop"), ("keys", "revoke", "shop", key_id):
        monkeypatch.setattr(sys, "stdin", StringIO() if done is None else Terminal(typed))
        code, _, err = easel(*command)
        assert (code, "say --yes" in err) == (int(done is None), done is None)
    tenant = tenants_of(outputs).named("shop")
    assert tenant
    assert tenant.suspended is bool(done)
    assert (whose(outputs, key) is None) is bool(done)
