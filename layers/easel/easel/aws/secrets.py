"""Upstream's key, from Secrets Manager through Powertools, read again after a rotation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

_MAX_AGE_SECONDS = 300


class UpstreamSecret(BaseModel):
    """What the secret holds; it masks itself when printed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    api_key: SecretStr
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None


class Secrets:
    """Reads the upstream secret; kept for five minutes per container."""

    def __init__(self, client: SecretsManagerClient, name: str) -> None:
        """Take the client, and the secret's name or ARN."""
        self._provider = SecretsProvider(boto3_client=client)
        self._name = name

    def upstream(self, *, afresh: bool = False) -> UpstreamSecret:
        """Return the secret: a plain key, or JSON with api_key, base_url, organization, project."""
        value: Any = self._provider.get(self._name, max_age=_MAX_AGE_SECONDS, force_fetch=afresh)
        text = str(value).strip()
        if text.startswith("{"):
            return UpstreamSecret.model_validate(json.loads(text))
        return UpstreamSecret(api_key=SecretStr(text))
