"""Limits of a service: who may ask, how much and for how long. Slow or greedy clients cannot hold it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from benchcoe_jobs.services.serving.errors import ApiError

MOST_BODY_BYTES = 64 << 20
"""Of a request. Pictures are a part of it."""

MOST_HEADER_BYTES = 64 << 10

_HEADER_S = 10.0
_BODY_S = 60.0
_OPEN_PATHS = ("/health", "/ready", "/metrics")


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises ApiError if it is too large, too slow, or no object."""
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                content += part
                if len(content) > MOST_BODY_BYTES:
                    raise ApiError(413, f"the body has more than {MOST_BODY_BYTES >> 20} MiB", "too_large")
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive within {_BODY_S:g} s", "too_slow") from None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON, or is nested too deeply") from None
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be a JSON object")
    return body


class Guard:
    """Middleware: the key, the number of requests at a time, and the longest time of a request (seconds).

    Without a key every request is let in. The paths of health, readiness and metrics need none, and are not counted.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, most_requests: int, longest_s: Callable[[], float]) -> None:
        self._app = app
        self._key = None if key is None else _digest(key)
        self._most_requests = most_requests
        self._longest_s = longest_s
        self._n_open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            response = JSONResponse(refusal.body, refusal.status, headers=refusal.headers)
            await response(scope, receive, send)
            return
        self._n_open += 1
        try:
            # The connection is closed at the end of the time: a client that does not read its answer is one reason.
            async with asyncio.timeout(self._longest_s()):
                await self._app(scope, receive, send)
        finally:
            self._n_open -= 1

    def _refusal(self, scope: Scope) -> ApiError | None:
        if self._key is not None:
            given = dict(scope["headers"]).get(b"authorization", b"")
            scheme, _, key = given.partition(b" ")
            # Digests have the same length, so that the comparison takes the same time for each key.
            if scheme.lower() != b"bearer" or not hmac.compare_digest(_digest(key.strip()), self._key):
                message = "the key is missing or wrong: send it as `Authorization: Bearer KEY`"
                return ApiError(401, message, "invalid_api_key", headers={"www-authenticate": "Bearer"})
        if self._n_open >= self._most_requests:
            message = f"{self._most_requests} requests are open already, which is the limit of this service"
            return ApiError(503, message, "overloaded", headers={"retry-after": "1"})
        return None


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, and the end of a connection that does not send the headers of a request in time.

    uvicorn itself limits the time between requests only until the first byte of the next one.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_between_requests():
            self._limit_headers()
        else:
            self._forget_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _limit_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(_HEADER_S, self._end_slow_headers)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_slow_headers(self) -> None:
        self._deadline = None
        if self._is_between_requests():
            self.transport.close()


def _digest(key: str | bytes) -> bytes:
    return hashlib.sha256(key.encode() if isinstance(key, str) else key).digest()
