"""Send requests to experts. Keys are sent to the endpoint that they belong to, and to no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx2

from benchcoe_jobs.engines.endpoints import refusals
from benchcoe_jobs.engines.endpoints.endpoint import MOST_BYTES
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.services.serving.errors import ApiError, UpstreamError
from benchcoe_jobs.services.serving.upstreams import Upstream

_CONNECT_S = 5.0
_MOST_REFUSAL_BYTES = 64 << 10

# Refusals of the account or the endpoint, and not of the request: a client can do nothing about them.
_OF_THE_ENDPOINT = frozenset({401, 402, 403, 404, 405, 408, 429})


class UpstreamClient:
    """One pool of connections to all experts, at most `most_connections`."""

    def __init__(self, most_connections: int) -> None:
        limits = httpx2.Limits(max_connections=most_connections, max_keepalive_connections=most_connections)
        self._client = httpx2.AsyncClient(limits=limits, follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, upstream: Upstream, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """POST a body, and return the response with its headers read; the caller closes it.

        Raises UpstreamError if the expert does not answer, or answers that it cannot; ApiError for a refusal of the
        request, with the status and the message of the expert.
        """
        timeout = httpx2.Timeout(upstream.timeout_s, connect=min(_CONNECT_S, upstream.timeout_s))
        # Not `build_request`, which merges URLs and headers for each request.
        request = httpx2.Request(
            "POST",
            _url(upstream.url, path),
            content=json.dumps(body).encode(),
            headers={"content-type": "application/json", **_authorization(upstream)},
            extensions={"timeout": timeout.as_dict()},
        )
        try:
            async with asyncio.timeout(upstream.timeout_s):
                response = await self._client.send(request, stream=True)
        except (TimeoutError, httpx2.TimeoutException):
            raise _failure(upstream, 504, "does not answer in time", "timeout") from None
        except httpx2.HTTPError as error:
            why = first_line(Exception(str(error) or type(error).__name__))
            raise _failure(upstream, 502, f"cannot be reached: {why}", "connection") from None
        if response.status_code >= 300:
            raise await _refusal(upstream, response)
        return response

    async def read(self, upstream: Upstream, response: httpx2.Response) -> dict[str, Any]:
        """The JSON object of a response, which is closed. Raises UpstreamError if it has none within the time."""
        try:
            async with asyncio.timeout(upstream.timeout_s):
                content = await _content(response, MOST_BYTES)
        except (TimeoutError, httpx2.TimeoutException):
            raise _failure(upstream, 504, "does not answer in time", "timeout") from None
        except httpx2.HTTPError as error:
            why = first_line(Exception(str(error) or type(error).__name__))
            raise _failure(upstream, 502, f"ended its answer too early: {why}", "connection") from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise _failure(upstream, 502, "answered with something that is not a JSON object", "answer")
        if (fault := refusals.embedded(answer)) is not None:
            raise _failure(upstream, 502, f"answered with an error: {refusals.detail(fault).message}", "answer")
        return answer

    async def answers(self, upstream: Upstream) -> bool:
        """Whether an endpoint answers at all, within five seconds."""
        headers = _authorization(upstream)
        try:
            async with asyncio.timeout(_CONNECT_S):
                response = await self._client.get(f"{upstream.url}/models", headers=headers)
        except (TimeoutError, httpx2.HTTPError):
            return False
        return response.status_code < 500

    async def tokenizer(
        self, upstream: Upstream, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """What an endpoint answers about its tokenizer, None if it does not.

        Source: `GET /tokenizer_info`, `POST /tokenize` and `POST /detokenize` of vLLM, which are beside `/v1`.
        """
        url = f"{upstream.url.removesuffix('/v1')}/{path}"
        content = None if body is None else json.dumps({**body, "model": upstream.model}).encode()
        headers = {"content-type": "application/json", **_authorization(upstream)}
        try:
            async with asyncio.timeout(_CONNECT_S):
                response = await self._client.request(method, url, content=content, headers=headers)
            answer = response.json() if response.status_code == 200 else None
        except (TimeoutError, httpx2.HTTPError, ValueError, RecursionError):
            return None
        return answer if isinstance(answer, dict) else None


@cache
def _url(base: str, path: str) -> httpx2.URL:
    return httpx2.URL(f"{base}/{path}")


async def _content(response: httpx2.Response, limit: int) -> bytes:
    """The body up to the first piece beyond the limit, decompressed in pieces; the response is closed."""
    content = bytearray()
    try:
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > limit:
                break
    finally:
        await response.aclose()
    return bytes(content)


async def _refusal(upstream: Upstream, response: httpx2.Response) -> ApiError:
    status = response.status_code
    try:
        async with asyncio.timeout(_CONNECT_S):
            content = await _content(response, _MOST_REFUSAL_BYTES)
        parsed: Any = json.loads(content)
    except (TimeoutError, httpx2.HTTPError, ValueError, RecursionError):
        parsed = None
    said = refusals.detail(parsed) if isinstance(parsed, dict) else None
    message = said.message if said else f"status {status} without a reason"
    if 400 <= status < 500 and status not in _OF_THE_ENDPOINT:
        return ApiError(status, message, said.code or None if said else None)
    if status == 429:
        wait = {"retry-after": found} if (found := response.headers.get("retry-after")) else {}
        return _failure(upstream, 429, f"is busy: {message}", "busy", wait)
    shown = 504 if status in (408, 504, 524) else 502
    return _failure(upstream, shown, f"answers {status}: {message}", "refused" if status < 500 else "server")


def _failure(
    upstream: Upstream, status: int, what: str, reason: str, headers: Mapping[str, str] | None = None
) -> UpstreamError:
    return UpstreamError(status, f"expert {upstream.expert!r} {what}", reason, headers=headers)


def _authorization(upstream: Upstream) -> dict[str, str]:
    return {"authorization": f"Bearer {upstream.key}"} if upstream.key else {}
