"""The authorizer: a bearer key becomes a tenant, or is denied; so is a suspended tenant's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easel.aws.keys import Keys


def authorize(event: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """Return API Gateway's policy. It is cached for all routes, so it names them all."""
    scheme, _, key = event["authorizationToken"].partition(" ")
    tenant = keys.tenant(key.strip()) if scheme.lower() == "bearer" else None
    if tenant and tenant.get("suspended"):
        tenant = None
    api, stage = event["methodArn"].split("/")[:2]
    return {
        "principalId": tenant["name"] if tenant else "nobody",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow" if tenant else "Deny",
                    "Resource": f"{api}/{stage}/*",
                }
            ],
        },
        "context": {"tenant": json.dumps(tenant)} if tenant else {},
    }
