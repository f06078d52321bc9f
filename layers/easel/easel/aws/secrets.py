"""Upstream's key, from Secrets Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from easel.errors import UpstreamBusy, UpstreamMisconfigured

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


class UpstreamSecret(BaseModel):
    """What the secret holds; it masks itself when printed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    api_key: SecretStr
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        if not text.isascii() or not text.isprintable() or not text:
            raise ValueError("not a key")
        return SecretStr(text)


class Secrets:
    """Reads the upstream secret whenever it is asked to: who has the key keeps it."""

    def __init__(self, client: SecretsManagerClient, name: str) -> None:
        """Take the client, and the secret's name or ARN."""
        self._client, self._name = client, name

    def upstream(self) -> UpstreamSecret:
        """Return the secret: a plain key, or JSON with api_key, base_url, organization, project.

        Raises UpstreamMisconfigured where it may not be read, or holds neither; UpstreamBusy where
        Secrets Manager does not answer just now.
        """
        try:
            text = (
                self._client.get_secret_value(SecretId=self._name).get("SecretString", "").strip()
            )
        except (BotoCoreError, ClientError) as error:
            if _passing(error):
                raise UpstreamBusy("The upstream key cannot be read just now.") from None
            raise UpstreamMisconfigured(
                "The secret with the upstream key cannot be read. Operator: put a value in it, "
                "and let the function's role read it."
            ) from None
        try:
            fields = json.loads(text) if text.startswith("{") else {"api_key": text}
            return UpstreamSecret.model_validate(fields)
        except ValueError:
            raise UpstreamMisconfigured(
                "The upstream secret holds no key. Operator: put a plain OpenAI key in it, "
                "or JSON with api_key."
            ) from None


def _passing(error: BotoCoreError | ClientError) -> bool:
    """Whether it may work in a moment, with nothing mended."""
    if isinstance(error, BotoCoreError):
        return not isinstance(error, NoCredentialsError)
    said = error.response
    status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or said["Error"]["Code"] == "ThrottlingException"
