"""The template's tables, bucket, queue and secret, by moto."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from moto import mock_aws

from easel import telemetry
from easel.aws import clients
from tests import deployment


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """Return the functions' environment. Tests of a module share it: each has its own names."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        # The one before may have had a test's hooks, for tables that are gone.
        clients.session.cache_clear()
        yield deployment.create()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged meanwhile."""
    handler = telemetry.logger.registered_handler
    stream = io.StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)
