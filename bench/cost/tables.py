"""The tables, from what was recorded: what a thousand images cost, and how it grows."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from bench.cost import bill, growth
from bench.cost.bill import HERE, Deployment
from bench.cost.measuring import IMAGE_BYTES, Measured
from easel.catalogue import Catalogue
from local.template import load

RECORDED = HERE / "measured.json"
USUAL = "gpt-image-2.5-flare medium"
"""The template's default, whose growth is shown."""
GROUPS = ("doors", "worker", "API", "DynamoDB", "S3", "rest")
WAITING = ("doors", "worker", "API")
EDGE = 1024


def models() -> list[dict[str, Any]]:
    """Return the models, their qualities, and how long they take."""
    found: list[dict[str, Any]] = tomllib.loads((HERE / "latencies.toml").read_text())["models"]
    return found


@dataclass(frozen=True)
class Tables:
    """What all of it costs, and how it is told."""

    measured: Mapping[str, Measured]
    on: Deployment

    @classmethod
    def recorded(cls) -> Self:
        """Return the tables of the recorded measurement and of the template as it is."""
        record = json.loads(RECORDED.read_text())
        measured = {name: Measured.of_record(one) for name, one in record.items()}
        return cls(measured, Deployment.of_template(load()))

    @cached_property
    def prices(self) -> dict[str, Any]:
        """The prices by what they are of."""
        return bill.prices()

    def picture(self, name: str, door: str = "GenerateFunction") -> dict[str, float]:
        """Return the USD of one call, by group."""
        amounts = bill.picture(self.measured[name], self.measured["authorizer"], self.on, door)
        return {group: bill.usd(amounts[group], self.prices) for group in GROUPS}

    def month(self) -> dict[str, float]:
        """Return the USD of a month without calls."""
        amounts = bill.month(self.measured["sweep"], self.measured[USUAL].metrics, self.on)
        return {group: bill.usd(one, self.prices) for group, one in amounts.items()}

    def upstream(self, model: str, quality: str) -> float:
        """Return the USD that OpenAI charges for an image: its output tokens, by the catalogue."""
        return Catalogue.load().model(model).image_price(quality, EDGE, EDGE) / 1e6

    def thousand(self) -> Iterator[str]:
        """Yield what 1,000 images cost."""
        heads = ("model, quality", "seconds", "doors", "worker", "API, transfer", "DynamoDB", "S3")
        yield _row(*heads, "rest", "**AWS**", "OpenAI", "AWS is")
        yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        for one in models():
            name = f"{one['model']} {one['quality']}"
            spent = {group: cost * 1000 for group, cost in self.picture(name).items()}
            aws, paid = sum(spent.values()), self.upstream(one["model"], one["quality"]) * 1000
            cells = [f"{spent[group]:.{2 if group in WAITING else 3}f}" for group in GROUPS]
            guess = "about " if one.get("assumed") else ""
            row = [f"{one['model']}, {one['quality']}", f"{guess}{one['seconds']}", *cells]
            yield _row(*row, f"**{aws:.2f}**", f"{paid:.2f}", f"{aws / paid:.0%}")

    def others(self) -> Iterator[str]:
        """Yield what other calls cost, a thousand of each."""
        doors = {"hit": "GenerateFunction", "edit": "EditFunction"}
        names = {
            "edit": "an edit as long as `gpt-image-2.5-flare`'s medium",
            "hit": "a cache hit",
            "status": "how a job stands",
            "result": "a result that is there",
        }
        costs = {
            name: sum(self.picture(name, doors.get(name, "GenerateFunction")).values())
            for name in names
        }
        told = [f"{what} {costs[name] * 1000:.2g}" for name, what in names.items()]
        yield f"A thousand of each, in USD: {'; '.join(told)}."

    def fixed(self) -> Iterator[str]:
        """Yield what a month costs without calls."""
        costs = self.month()
        told = [f"{name} {cost:.2f}" for name, cost in costs.items()]
        yield f"A month without calls: {sum(costs.values()):.2f} USD ({', '.join(told)})."

    def grown(self) -> Iterator[str]:
        """Yield what a month costs by how many images it has."""
        each, fixed = sum(self.picture(USUAL).values()), sum(self.month().values())
        paid = self.upstream(*USUAL.split())
        met = list(growth.limits(self.measured[USUAL], self.on))
        yield "| images a month | AWS | an image | OpenAI | met by then |"
        yield "|---:|---:|---:|---:|---|"
        before = 0.0
        for images in growth.VOLUMES:
            new = [limit.name for limit in met if before < limit.met_at <= images]
            aws = fixed + images * each
            row = (f"{images:,}", f"{aws:,.2f}", f"{aws / images:.2g}", f"{images * paid:,.2f}")
            yield _row(*row, "; ".join(new))
            before = images

    def limits(self) -> Iterator[str]:
        """Yield what is met, soonest first, and what to raise."""
        yield "| limit | is | met at, images a month | raise |"
        yield "|---|---:|---:|---|"
        for one in growth.limits(self.measured[USUAL], self.on):
            yield _row(
                one.name, f"{one.value:,.0f} {one.of}", f"{_rounded(one.met_at):,}", one.raised_by
            )

    def readme(self) -> str:
        """Return what the README shows."""
        usual = self.picture(USUAL)
        about = (
            f"USD for 1,000 images of 1024x1024 ({IMAGE_BYTES / 1e6:.0f} MB), in "
            f"{self.prices['region']}, without free tiers. The caller waits, and gets URL and "
            "base64. Calls are counted, times are OpenAI's; doors and worker are "
            f"{self.on.parameters['Architecture']} at {self.on.memory['WorkerFunction']} MB. "
            "OpenAI's price is that of the output, 2.6's low and medium at what Easel holds."
        )
        times = (
            f"At `{USUAL.replace(' ', '`, ')}, with its fixed part, at peaks {growth.PEAK} times "
            f"the mean ({sum(usual.values()) * 1000:.2f} USD per 1,000):"
        )
        parts = [
            [about],
            self.thousand(),
            [*self.others(), *self.fixed()],
            [times],
            self.grown(),
            self.limits(),
        ]
        return "\n\n".join("\n".join(part) for part in parts)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rounded(number: float) -> int:
    """Return the number with two digits that count."""
    digits = len(f"{number:.0f}") - 2
    return int(round(number, -digits)) if digits > 0 else round(number)
