"""Models: GET /v1/models, /v1/models/{id}, /v1/openapi.json and /v1/healthz.

Answers from the catalogue alone (``catalogue``, ``doors.models``), and with what describes the
whole of the API (``openapi``); it has no AWS permission.
"""

from time import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel.catalogue import Catalogue
from easel.doors import https, models

catalogue = Catalogue.load()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the models, one model, the document, or that all is well."""
    return https.answer(event, lambda call: models.serve(call, catalogue, time()))
