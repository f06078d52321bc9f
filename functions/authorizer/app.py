"""Authorizer: bearer key → tenant.

Looks the key's digest up in the tenants table (``aws.keys``) and returns API Gateway's policy,
with the tenant for the doors to read (``doors.authorizer``).
"""

from typing import Any

from easel.aws import clients
from easel.aws.keys import Keys
from easel.doors.authorizer import authorize
from easel.settings import Settings

keys = Keys(clients.dynamodb(), Settings.from_env().tenants_table)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return a policy for all routes: allow for a tenant's key, else deny."""
    return authorize(event, keys)
