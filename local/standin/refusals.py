"""How OpenAI says no: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_ERROR = "image_generation_user_error"
"""The type of what is wrong with a picture rather than with the request."""


class Refusal(Exception):
    """An answer with an error status; nothing was billed."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        type: str = "invalid_request_error",
        status: int = 400,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error = {"message": message, "type": type, "param": param, "code": code}

    def body(self) -> dict[str, Any]:
        """Return the error in OpenAI's shape."""
        return {"error": self.error}


def invalid_value(param: str, message: str) -> Refusal:
    """A value outside what the model takes."""
    return Refusal(message, code="invalid_value", param=param)


def invalid_type(param: str, expected: str, value: object) -> Refusal:
    """A value of the wrong JSON type."""
    message = f"Invalid type for '{param}': expected {expected}, but got {value!r:.60} instead."
    return Refusal(message, code="invalid_type", param=param)


def missing(param: str) -> Refusal:
    """A required parameter is absent."""
    message = f"Missing required parameter: '{param}'."
    return Refusal(message, code="missing_required_parameter", param=param)


def duplicate(param: str) -> Refusal:
    """One form field, sent twice."""
    message = (
        f"Duplicate parameter: '{param}'. You provided multiple values for this parameter, whereas"
        " only one is allowed. If you are trying to provide a list of values, use the array syntax"
        f" instead e.g. '{param}[]=<value>'."
    )
    return Refusal(message, code="duplicate_parameter", param=param)
