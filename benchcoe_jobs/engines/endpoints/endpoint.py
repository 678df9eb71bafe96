"""An HTTP endpoint with retries until a deadline. The API key does not leave this module."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Mapping
from typing import Any

import httpx2

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.endpoints import refusals
from benchcoe_jobs.engines.endpoints.refusals import RetryableError
from benchcoe_jobs.engines.errors import AnswerTimeoutError, EndpointDownError, EngineError
from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.masking import first_line, remember

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_CONNECT_S = 15.0

_MOST_CHARGED = 3
"""Exchanges of one request that the endpoint may have charged for, although it gave nothing usable."""

_SHORT_S = 10.0
"""A connection that breaks earlier is not taken for a generation that was charged for."""

MOST_BYTES = 32 << 20
"""Of an answer, decompressed. The largest are echoed prompts: 100 bytes for each of 100,000 tokens, and more."""

_MOST_REFUSAL_BYTES = 64 << 10


class Endpoint:
    """A client of one base URL that speaks JSON. Raises UsageError for an unusable URL, MissingError without the key.

    The key is read once, from the environment variable that the expert names. It is masked in every error text, because
    servers and libraries may repeat it there.
    """

    def __init__(self, settings: ExpertSettings) -> None:
        if not settings.base_url:
            raise UsageError("engine openai needs a base_url, such as http://localhost:8000/v1")
        try:
            url = httpx2.URL(settings.base_url)
        except httpx2.InvalidURL as error:
            raise UsageError(f"base_url cannot be read: {first_line(error)}") from None
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query:
            raise UsageError("base_url must be http(s)://host[:port]/path, without user, password or query")
        self._settings = settings
        self._name = url.host if url.port is None else f"{url.host}:{url.port}"
        key = api_key(settings.api_key_env)
        self._slots = asyncio.Semaphore(settings.batch_size)
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx2.Limits(max_connections=settings.batch_size),
            timeout=httpx2.Timeout(settings.timeout_s, connect=min(_CONNECT_S, settings.timeout_s)),
        )

    async def request(
        self, path: str, body: Mapping[str, Any] | None = None, *, deadline_s: float | None = None
    ) -> dict[str, Any]:
        """POST `body`, or GET without one, and return the JSON object of the response.

        Requests to busy or failing servers and broken connections are retried with exponential backoff and jitter, but
        not before Retry-After. What the endpoint may have charged for is not retried, or at most twice if nothing came
        of it: see AnswerTimeoutError. `deadline_s` replaces that of the expert.

        Raises EndpointDownError if the deadline passes or would pass before Retry-After, AnswerTimeoutError,
        AccessDeniedError (401, 402, 403), ModelNotFoundError (404, redirects), RefusedError (any other refusal), and
        EngineError if the endpoint gave no usable answer three times.
        """
        async with self._slots:
            limit_s = self._settings.deadline_s if deadline_s is None else min(deadline_s, self._settings.deadline_s)
            deadline = time.monotonic() + limit_s
            pause = _FIRST_PAUSE_S
            n_charged = 0
            while True:
                try:
                    return await self._exchange(path, body)
                except RetryableError as error:
                    n_charged += error.may_be_charged
                    if n_charged >= _MOST_CHARGED:
                        raise EngineError(f"{self._name} gave no usable answer, {n_charged} times: {error}") from None
                    # Half of a pause is random, so that requests that failed together do not all return together.
                    wait = max(error.after_s, pause * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)
                    if time.monotonic() + wait >= deadline:
                        raise EndpointDownError(
                            f"{self._name} gave no usable answer within {limit_s:g} s: {error}"
                        ) from None
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _exchange(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        seconds = self._settings.timeout_s
        started = time.monotonic()
        try:
            # The timeout of the library is per read: a server that sends byte by byte would never reach it.
            async with (
                asyncio.timeout(seconds),
                self._client.stream("POST" if body else "GET", path, json=body) as response,
            ):
                content = await _read(response)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise RetryableError("no connection in time") from None
        except (TimeoutError, httpx2.TimeoutException):
            raise AnswerTimeoutError(
                f"{self._name} gave no answer within {seconds:g} s; not asked again, because it may have been charged "
                "for (`benchcoe-jobs add-expert --timeout` allows more time)"
            ) from None
        except Exception as error:  # the library raises many types for what a server may send
            charged = not isinstance(error, httpx2.ConnectError) and time.monotonic() - started > _SHORT_S
            why = first_line(Exception(str(error) or type(error).__name__))
            raise RetryableError(why, may_be_charged=charged) from None
        return self._parsed(response, content)

    def _parsed(self, response: httpx2.Response, content: bytes) -> dict[str, Any]:
        status = response.status_code
        answer = _json(content)
        if status >= 300:
            raise self._refusal(status, answer or content.decode("utf-8", "replace"), response.headers)
        if not isinstance(answer, dict):
            fault = f"more than {MOST_BYTES >> 20} MiB" if len(content) > MOST_BYTES else "not a JSON object"
            raise RetryableError(f"status {status} with a body that is {fault}", may_be_charged=True)
        if (error := refusals.embedded(answer)) is not None:
            raise self._refusal(None, error, response.headers)
        return answer

    def _refusal(self, status: int | None, body: Any, headers: httpx2.Headers) -> Exception:
        said = refusals.detail(body)
        return refusals.meaning(
            refusals.embedded_status(said) if status is None else status,
            said,
            endpoint=self._name,
            key_variable=self._settings.api_key_env,
            headers=headers,
        )


async def _read(response: httpx2.Response) -> bytes:
    """The body, decompressed in pieces, up to the first piece beyond the limit."""
    content = bytearray()
    limit = MOST_BYTES if response.status_code < 300 else _MOST_REFUSAL_BYTES
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > limit:
            break
    return bytes(content)


def _json(content: bytes) -> Any:
    """The value of a JSON text; None if it is none, or nested too deeply."""
    if len(content) > MOST_BYTES:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def api_key(variable: str | None) -> str:
    """The key in an environment variable, which is masked in messages from now on; empty without a variable.

    Raises MissingError if the variable holds none.
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise MissingError(f"the environment variable {variable}, which holds the expert's API key, is not set")
    if not (key.isascii() and key.isprintable()):
        raise MissingError(f"the environment variable {variable} holds no API key: only printable ASCII can be one")
    remember(key)
    return key
