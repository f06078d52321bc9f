"""Models: GET /v1/models, /v1/models/{id} and /v1/healthz.

Answers from the catalogue alone (``catalogue``, ``doors.models``); it has no AWS permission.
"""

from time import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel.catalogue import Catalogue
from easel.doors import https, models

catalogue = Catalogue.load()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the models, one model, or that all is well."""
    return https.answer(event, lambda call: models.serve(call, catalogue, time()))
