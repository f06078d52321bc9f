"""How often AWS is asked: no call more than what Easel promises takes, and none unawares.

Every number here is a call that is paid for, and waited for, by each picture. With a change of
them on purpose, ``make cost`` records them anew.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from bench.cost.measuring import Rehearsal, measure
from bench.cost.tables import RECORDED, USUAL, models
from tests.functions.conftest import Deployed

KEPT = json.loads(RECORDED.read_text())
CLAIM = "TransactWriteItems job + same + month + day"
CLOSE = "TransactWriteItems job + month + day + count + charge"
WAITED = {"GetItem job"}
"""Looks at a job: how many, its latency says (``test_latencies``)."""

OPENS = {
    "GetItem same": 1,  # is it a repeat?
    CLAIM: 1,
    "SendMessage": 1,
}
ANSWERS = {
    "UpdateItem job": 1,  # somebody was told
    "GetObject images": 1,  # for base64
}
WORKS = {
    "UpdateItem job": 1,  # the lease
    "GetItem pace": 1,
    "TransactWriteItems job": 1,  # attempt 1: calling
    "PutObject images": 2,  # the image, and answer.json
    CLOSE: 1,
}
POLLED = {"ReceiveMessage": 1, "DeleteMessage": 1}


@pytest.fixture
def rehearsal(deployed: Deployed) -> Rehearsal:
    return Rehearsal(deployed)


def calls(measured: Any) -> dict[str, dict[str, int]]:
    """Return who called what, but for looks at a job."""
    return {
        who: {call: n for call, n in counts.calls.items() if call not in WAITED}
        for who, counts in measured.counts.items()
    }


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """Return what was recorded, but for the CPU it took."""
    counts = {who: one | {"cpu_seconds": 0} for who, one in record["counts"].items()}
    return record | {"counts": counts}


def test_a_picture(rehearsal: Rehearsal) -> None:
    made = rehearsal.made("generate", 6)
    assert calls(made) == {"door": OPENS | ANSWERS, "worker": WORKS, "others": POLLED}
    assert made.invocations == {"door": 1, "worker": 1}
    assert made.counts["door"].calls["GetItem job"] <= 20


def test_a_url_alone_reads_no_image(rehearsal: Rehearsal) -> None:
    made = rehearsal.made("generate", 6, response_format="url")
    assert calls(made)["door"] == OPENS | {"UpdateItem job": 1}


def test_a_slow_picture_renews_its_lease_and_hops(rehearsal: Rehearsal) -> None:
    made = rehearsal.made("generate", 70)
    renewed = Counter(WORKS) + Counter({"UpdateItem job": 3})
    assert calls(made) == {"door": OPENS, "jobs": ANSWERS, "worker": renewed, "others": POLLED}
    assert made.invocations == {"door": 1, "jobs": 2, "worker": 1}
    looks = sum(made.counts[who].calls["GetItem job"] for who in ("door", "jobs"))
    assert looks <= 70, "less than a look a second"


def test_an_edit(rehearsal: Rehearsal) -> None:
    first = rehearsal.made("generate", 1)
    assert first.answer_bytes
    images = [{"file_id": f"{rehearsal.last['id']}/0"}]
    made = rehearsal.made("edit", 6, images=images)
    works = WORKS | {"GetObject images": 1}
    assert calls(made) == {"door": OPENS | ANSWERS, "worker": works, "others": POLLED}


def test_what_makes_no_picture(rehearsal: Rehearsal) -> None:
    rehearsal.made("generate", 1, response_format="url")
    assert calls(rehearsal.status()) == {"jobs": {}}
    assert rehearsal.status().counts["jobs"].calls == {"GetItem job": 1}
    assert rehearsal.result().counts["jobs"].calls == {"GetItem job": 1}
    hit = rehearsal.hit(response_format="url")
    assert hit.counts["door"].calls == {
        "GetItem same": 1,
        "GetItem job": 1,
        "HeadObject images": 1,
        "UpdateItem count": 1,
    }
    assert rehearsal.authorized().counts["authorizer"].calls == {
        "GetItem key": 1,
        "GetItem tenant": 1,
    }
    assert rehearsal.swept().counts["sweep"].calls == {"Query open": 1}


def test_what_is_recorded_is_what_is_counted(deployed: Deployed) -> None:
    asked = [one for one in models() if one["seconds"] < 30]
    assert USUAL in {f"{one['model']} {one['quality']}" for one in asked}
    found = measure(deployed, asked)
    kept = {name: timeless(KEPT[name]) for name in found}
    assert {name: timeless(one) for name, one in found.items()} == kept, "run: make cost"
