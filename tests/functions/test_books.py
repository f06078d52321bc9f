"""The books across time: whatever ends jobs have, at a month's end, and when prices change."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from easel import bootstrap
from easel.bootstrap import Easel
from easel.catalogue import Catalogue
from easel.errors import UpstreamBusy, UpstreamFailure, UpstreamRefused, UpstreamUnknown
from easel.identity import Identity
from easel.jobs import Job
from easel.rendered import Rendered
from easel.requests import Request
from easel.settings import Settings
from easel.tenants import Tenant
from easel.usage import Span, report
from tests.functions.conftest import Deployed
from tests.functions.model.books import agree
from tests.unit.examples import picture, rendered, request
from tests.unit.test_catalogue import changed

NOVEMBER = datetime(2026, 11, 30, 23, 50, tzinfo=UTC).timestamp()
DECEMBER = NOVEMBER + 20 * 60
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"text_tokens": 9, "image_tokens": 0},
    "output_tokens": 400,
}
PAID = 9 * 5 + 400 * 30
"""What this usage costs by gpt-image-2 and 2.5, in micro-dollars."""
HELD = 11 * 5 + 439 * 30
"""What `examples.request` is held at, by the same."""
_PICTURE = base64.b64encode(picture()).decode()

FATES: dict[str, UpstreamFailure | dict[str, Any] | None] = {
    "paid": USAGE,
    "unpriced": None,
    "lost": UpstreamUnknown("The line was lost."),
    "refused": UpstreamRefused("No.", status=400, code="moderation_blocked"),
    "busy": UpstreamBusy("Not now.", status=429),
}


@dataclass
class Shop:
    """Easel on moto, with a clock to set, and an upstream that does as it is told."""

    deployed: Deployed
    now: float = NOVEMBER
    fates: list[str] = field(default_factory=list)
    """What becomes of the next calls to upstream."""
    catalogue: Catalogue = field(default_factory=Catalogue.load)
    attempts: int = 1

    @cached_property
    def built(self) -> Easel:
        """Easel as it was deployed at first."""
        settings = Settings.from_env({**self.deployed.environ, "MODERATION_POLICY": "off"})
        return bootstrap.build(settings, clock=lambda: self.now, sleep=lambda _: None)

    @property
    def easel(self) -> Easel:
        """Easel as it is deployed now."""
        built = self.built
        worker = replace(
            built.lifecycle.worker,
            upstream=lambda: self,  # type: ignore[arg-type,return-value]  # one method of it
            settings=replace(built.settings, max_paid_attempts=self.attempts),
            catalogue=self.catalogue,
            renew_seconds=1e6,
        )
        lifecycle = replace(built.lifecycle, worker=worker, catalogue=self.catalogue)
        return replace(built, lifecycle=lifecycle, catalogue=self.catalogue)

    def render(self, asked: Request, inputs: Any, *, timeout: float) -> Rendered:
        """Be upstream."""
        fate = FATES[self.fates.pop(0)]
        if isinstance(fate, UpstreamFailure):
            raise fate
        return rendered(_PICTURE, created=int(self.now), usage=fate)

    def open(self, tenant: str = "demo", **asked: Any) -> Job:
        """Open a job, for a new purchase."""
        key = Identity(idempotency_key=uuid4().hex)
        return self.easel.lifecycle.open(Tenant(name=tenant), request(**asked), {}, key).job

    def work(self, job: Job, *fates: str) -> Job:
        """Let a worker run the job, upstream's calls going so."""
        self.fates[:] = fates
        self.easel.lifecycle.worker.run(job.tenant, job.id, self.now + 900)
        return self.easel.lifecycle.find(job.tenant, job.id)

    def redrive(self, job: Job) -> None:
        """Open the job again, as the operator's command does."""
        before = self.easel.lifecycle.find(job.tenant, job.id)
        assert before.unbilled
        after = before.reopen(before.request.ceiling(self.catalogue), self.now)
        self.easel.lifecycle.ledger.reopen(before, after)

    def rows(self, tenant: str = "demo") -> dict[str, dict[str, Any]]:
        """Return the tenant's rows of the ledger."""
        return self.deployed.rows("LEDGER_TABLE", tenant)

    def period(self, sk: str, tenant: str = "demo") -> tuple[int, int]:
        """Return what a month or a day has committed and spent."""
        row = self.rows(tenant).get(sk, {})
        return int(row.get("committed", 0)), int(row.get("spent", 0))


@pytest.fixture
def shop(deployed: Deployed) -> Shop:
    return Shop(deployed)


# ---- Any mix of ends ----

ENDS: dict[str, Callable[[Shop, Job], object]] = {
    "succeeded": lambda shop, job: shop.work(job, "paid"),
    "without usage": lambda shop, job: shop.work(job, "unpriced"),
    "failed": lambda shop, job: shop.work(job, "refused"),
    "busy at first": lambda shop, job: shop.work(job, "busy", "paid"),
    "unknown": lambda shop, job: shop.work(job, *["lost"] * shop.attempts),
    "cancelled": lambda shop, job: shop.easel.lifecycle.cancel(job.tenant, job.id),
    "open": lambda shop, job: None,
    "a second time": lambda shop, job: shop.work(
        job, *(["lost", "paid"] if shop.attempts > 1 else ["paid"])
    ),
}


class Life(NamedTuple):
    tenant: str
    asked: dict[str, str]
    end: str
    redriven: str | None
    """How it ends after it was opened again; only what failed unbilled is."""
    minutes: int
    """How long after the one before it is opened, worked on, and opened again."""


lives = st.builds(
    Life,
    st.sampled_from("ab"),
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(("gpt-image-2", "gpt-image-2.5-flare")),
            "operation": st.sampled_from(("generate", "edit", "variation")),
        }
    ),
    st.sampled_from(sorted(ENDS)),
    st.none() | st.sampled_from(sorted(ENDS)),
    st.sampled_from((0, 0, 6, 700)),
)


SETTINGS = settings(
    max_examples=6,
    phases=(Phase.generate,),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("attempts", [1, 2])
def test_counters_charges_and_periods_agree_to_the_micro_dollar(shop: Shop, attempts: int) -> None:
    shop.attempts = attempts

    @SETTINGS
    @given(st.lists(lives, min_size=1, max_size=6))
    def check(drawn: list[Life]) -> None:
        run, shop.now, ended = uuid4().hex[:8], NOVEMBER, []
        for life in drawn:
            shop.now += life.minutes * 60
            job = shop.open(f"{life.tenant}-{run}", **life.asked)
            shop.now += life.minutes * 60
            ENDS[life.end](shop, job)
            job = shop.easel.lifecycle.find(job.tenant, job.id)
            if job.unbilled and life.redriven:
                shop.now += life.minutes * 60
                shop.redrive(job)
                ENDS[life.redriven](shop, job)
                job = shop.easel.lifecycle.find(job.tenant, job.id)
            ended.append(job)
        for tenant in (f"a-{run}", f"b-{run}"):
            audit(shop, tenant, [job for job in ended if job.tenant == tenant])

    check()


def audit(shop: Shop, tenant: str, jobs: list[Job]) -> None:
    """Check the tenant's rows against each other, and against its jobs."""
    rows = shop.rows(tenant)
    agree(rows.values())
    counts = [row for sk, row in rows.items() if sk.startswith("count#")]
    assert sum(int(row["jobs"]) for row in counts) == sum(not job.open for job in jobs)
    for sk in (sk for sk in rows if sk.startswith(("month#", "day#"))):
        within = [job for job in jobs if sk in dict(job.periods)]
        spent = sum(job.charge for job in within)
        held = sum(job.hold for job in within if job.open)
        assert shop.period(sk, tenant) == (spent + held, spent)


# ---- A month's end ----


def test_a_job_is_charged_to_the_month_and_the_day_it_was_held_in(shop: Shop) -> None:
    job = shop.open()
    for period in ("month#2026-11", "day#2026-11-30"):
        assert shop.period(period) == (HELD, 0)
    shop.now = DECEMBER
    assert shop.work(job, "paid").charge == PAID
    for period in ("month#2026-11", "day#2026-11-30"):
        assert shop.period(period) == (PAID, PAID)
    audit(shop, "demo", [shop.easel.lifecycle.find("demo", job.id)])
    charge = shop.rows()[f"charge#{job.id}#1"]
    assert (charge["month"], charge["day"], charge["at"]) == ("2026-11", "2026-11-30", DECEMBER)
    assert not [sk for sk in shop.rows() if "2026-12" in sk]


def test_usage_tells_of_it_in_the_month_it_was_held_in(shop: Shop) -> None:
    job = shop.open()
    shop.now = DECEMBER
    shop.work(job, "paid")
    easel, rich = shop.easel, Tenant(name="demo", month_budget=1_000_000)
    assert easel.lifecycle.today().isoformat() == "2026-12-01"
    today = Span.asked({}, easel.lifecycle.today())
    said = report(easel.books, rich, today, shop.now)
    assert (said["total"]["jobs"], said["month"]["left_usd"]) == (0, 1)
    before = Span.asked({"to": "2026-11-30"}, easel.lifecycle.today())
    [row] = report(easel.books, rich, before, shop.now)["data"]
    assert (row["key"], row["cost_usd"]) == ("2026-11-30", PAID / 1_000_000)


def test_a_second_paid_attempt_is_held_and_charged_in_the_first_ones_month(shop: Shop) -> None:
    shop.attempts = 2
    job = shop.open()
    shop.now = DECEMBER
    done = shop.work(job, "lost", "paid")
    assert (done.hold, done.charge) == (2 * HELD, HELD + PAID)
    assert shop.period("month#2026-11") == (HELD + PAID, HELD + PAID)
    assert shop.period("month#2026-12") == (0, 0)
    charges = [shop.rows()[f"charge#{job.id}#{number}"] for number in (1, 2)]
    assert [(int(row["amount"]), row["estimated"], row["month"]) for row in charges] == [
        (HELD, True, "2026-11"),
        (PAID, False, "2026-11"),
    ]
    audit(shop, "demo", [done])


def test_a_job_that_is_redriven_is_held_and_charged_in_the_new_month(shop: Shop) -> None:
    job = shop.open()
    shop.work(job, "refused")
    assert shop.period("month#2026-11") == (0, 0)
    shop.now = DECEMBER
    shop.redrive(job)
    assert (shop.period("month#2026-11"), shop.period("month#2026-12")) == ((0, 0), (HELD, 0))
    done = shop.work(job, "paid")
    assert shop.period("month#2026-12") == shop.period("day#2026-12-01") == (PAID, PAID)
    counts = {sk: row for sk, row in shop.rows().items() if sk.startswith("count#")}
    jobs = {sk.split("#")[1]: int(row["jobs"]) for sk, row in counts.items()}
    assert jobs == {"2026-11-30": 0, "2026-12-01": 1}
    audit(shop, "demo", [done])


# ---- Another price table in the middle of a month ----


def upgraded(shop: Shop, folder: Path, *replacements: tuple[str, str]) -> None:
    """Deploy another catalogue."""
    folder.mkdir(exist_ok=True)
    shop.catalogue = changed(folder, *replacements)


@pytest.mark.parametrize(("dollars", "above"), [("45", True), ("30", False), ("12.5", False)])
def test_a_job_is_charged_by_the_prices_of_its_end_and_its_hold_is_released(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], dollars: str, above: bool
) -> None:
    job, other = shop.open(), shop.open()
    assert shop.period("month#2026-11") == (2 * HELD, 0)
    upgraded(shop, tmp_path, ('prices.image_out = "30"', f'prices.image_out = "{dollars}"'))
    paid = 9 * 5 + int(400 * float(dollars))
    done = shop.work(job, "paid")
    assert (done.hold, done.charge) == (HELD, paid)
    assert shop.period("month#2026-11") == (HELD + paid, paid)
    alarms = [line for line in capsys.readouterr().out.splitlines() if "ChargesAboveHold" in line]
    assert [json.loads(line)["ChargesAboveHold"] for line in alarms] == ([[1]] if above else [])
    lost = shop.work(other, "lost")
    assert shop.period("month#2026-11") == (HELD + paid, HELD + paid)
    new = shop.open()
    assert new.hold == 11 * 5 + ceil(439 * float(dollars))
    audit(shop, "demo", [done, lost, new])


NO_LONGER = (
    ('[models.gpt-image-2]\nlike = "two"\ncreated = 2026-04-21\n', ""),
    ('gpt-image-2-2026-04-21 = "gpt-image-2"\n', ""),
)


def test_a_model_that_left_the_catalogue_is_charged_at_its_hold(shop: Shop, tmp_path: Path) -> None:
    job = shop.open(model="gpt-image-2")
    assert job.hold == 11 * 5 + 1756 * 30
    upgraded(shop, tmp_path, *NO_LONGER)
    done = shop.work(job, "paid")
    assert (done.status, done.charge) == ("succeeded", job.hold)
    assert shop.period("month#2026-11") == (job.hold, job.hold)
    audit(shop, "demo", [done])


def test_a_second_attempt_is_held_as_the_first_even_if_its_model_has_left(
    shop: Shop, tmp_path: Path
) -> None:
    shop.attempts = 2
    job = shop.open(model="gpt-image-2")
    upgraded(shop, tmp_path, *NO_LONGER)
    done = shop.work(job, "lost", "paid")
    assert (done.status, done.hold, done.charge) == ("succeeded", 2 * job.hold, 2 * job.hold)
    assert shop.period("month#2026-11") == (done.charge, done.charge)
    audit(shop, "demo", [done])
