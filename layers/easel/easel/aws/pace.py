"""Upstream's pace in the jobs table, one item a model, for all functions together.

| tenant, sk | attributes |
|---|---|
| ``*`` (no tenant's name), ``pace#{model}`` | pace: ``pace.Pace`` as JSON; version; expires_at |

Who has changed the pace writes it if it is still the version that was read, else begins again. With
no rate and no cool-down a call costs one eventually consistent read, and no write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from easel import telemetry
from easel.aws.items import read, values
from easel.aws.transactions import busy, pauses
from easel.jobs import Job
from easel.pace import Pace, Turn, backoff

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_KEPT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Paces:
    """Gives jobs their turns. ``rate`` is in images a minute, 0: none."""

    client: DynamoDBClient
    table: str
    rate: int
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def turn(self, job: Job, patience: float = math.inf) -> Turn:
        """Return when the job may call upstream; if that is now, the call is counted.

        ``patience`` is how many seconds it waits at most: else it has not asked.
        """

        def asked(pace: Pace) -> tuple[Pace, Turn]:
            images, now = job.request.count, self.clock()
            after, turn = pace.turn(job.tenant, images, job.place, now, self.rate)
            return (after if turn.wait <= patience else pace), turn

        return self._changed(job.request.model, asked)

    def refused(self, model: str, asked: float | None) -> float:
        """Let all calls of the model wait; return how many seconds.

        ``asked`` is how long upstream said, if it did.
        """

        def cooled(pace: Pace) -> tuple[Pace, float]:
            now = self.clock()
            wait = backoff(pace.refusals_at(now), asked)
            return pace.refused(now, wait), wait

        wait = self._changed(model, cooled)
        telemetry.logger.info("upstream refused", extra={"model": model, "seconds": round(wait, 3)})
        return wait

    def _changed[T](self, model: str, decide: Callable[[Pace], tuple[Pace, T]]) -> T:
        """Change the pace as decided, and return what else was. Raises EaselError (503)."""
        for tries, pause in enumerate(pauses()):
            version, pace = self._read(model, consistently=tries > 0)
            changed, said = decide(pace)
            if changed == pace or self._written(model, version, changed):
                return said
            self.sleep(pause)
        raise busy()

    def _read(self, model: str, *, consistently: bool) -> tuple[int, Pace]:
        item = read(self.client, self.table, _key(model), consistently=consistently)
        if item is None:
            return 0, Pace()
        return int(item["version"]), Pace.model_validate_json(item["pace"])

    def _written(self, model: str, version: int, pace: Pace) -> bool:
        item = {
            **_key(model),
            "pace": pace.model_dump_json(),
            "version": version + 1,
            "expires_at": int(self.clock()) + _KEPT_SECONDS,
        }
        try:
            self.client.put_item(
                TableName=self.table,
                Item=values(item),
                ConditionExpression="attribute_not_exists(tenant) OR version = :version",
                ExpressionAttributeValues=values({":version": version}),
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key(model: str) -> dict[str, str]:
    return {"tenant": "*", "sk": f"pace#{model}"}
