"""Errors that a client gets, in the shape of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A refusal with an HTTP status and one line for the client; `headers` are added to the response."""

    def __init__(
        self, status: int, message: str, code: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The error object. Source: OpenAI's API reference, "Error codes"."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}


class UpstreamError(ApiError):
    """An expert gave no usable answer. `reason` is one word for the metric.

    `status` and the message are what the client gets if no substitute answers.
    """

    def __init__(self, status: int, message: str, reason: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, "expert_failed", headers=headers)
        self.reason = reason
