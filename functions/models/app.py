"""Models: GET /v1/models, /v1/models/{id}, /v1/openapi.json, /v1/healthz; OPTIONS of all routes.

Answers from the catalogue alone (``catalogue``, ``doors.models``), with what describes the whole of
the API (``openapi``), and browsers' preflights (``doors.cors``); it has no AWS permission.
"""

from time import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from easel.catalogue import Catalogue
from easel.doors import https, models
from easel.settings import Settings

catalogue, settings = Catalogue.load(), Settings.from_env()


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return the models, one model, the document, that all is well, or that a page may call."""
    origins = settings.allowed_origins
    return https.answer(event, lambda c: models.serve(c, catalogue, settings, time()), origins)
