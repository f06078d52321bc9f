from __future__ import annotations

import json

import pytest

from easel.formats import sniff
from tests.functions.conftest import Context, Deployed


def test_a_direct_invocation_makes_a_picture(deployed: Deployed, context: Context) -> None:
    deployed.tenant()
    reply = deployed.handler("generate")(deployed.event("generate", "direct"), context)

    made = deployed.rows("JOBS_TABLE")[f"job#{reply['id']}"]
    picture = json.loads(made["answer"])["images"][0]
    header = sniff(deployed.object(picture["key"]))
    assert (header.width, header.height) == (1024, 1024)
    assert reply["data"][0]["url"].startswith("https://easel.s3.")
    assert len(deployed.standin.calls()) == 1
    month = deployed.rows("LEDGER_TABLE")[f"month#{made['month']}"]
    assert month["committed"] == month["spent"] == made["charge"] > 0


def test_an_error_of_a_direct_invocation_is_typed_by_its_code(
    deployed: Deployed, context: Context
) -> None:
    deployed.tenant()
    event = deployed.event("generate", "direct", size="vast")
    with pytest.raises(Exception, match="WIDTHxHEIGHT") as raised:
        deployed.handler("generate")(event, context)
    assert type(raised.value).__name__ == "invalid_value"
