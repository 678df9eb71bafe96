"""An HTTP endpoint with retries until a deadline. The API key does not leave this module."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.errors import (
    AccessDeniedError,
    EndpointDownError,
    ModelNotFoundError,
    RefusedError,
    first_line,
)
from benchcoe_jobs.errors import MissingError, UsageError
from benchcoe_jobs.masking import remember

_BUSY = frozenset({408, 409, 425, 429})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class _RetryableError(Exception):
    """One exchange that failed; `after_s` is the pause that the endpoint asks for, in seconds."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Endpoint:
    """A client of one base URL that speaks JSON. Raises UsageError for an unusable URL, MissingError without the key.

    The key is read once, from the environment variable that the expert names. It is removed from every error text,
    because servers and libraries may repeat it there.
    """

    def __init__(self, settings: ExpertSettings) -> None:
        if not settings.base_url:
            raise UsageError("engine openai needs a base_url, such as http://localhost:8000/v1")
        url = httpx2.URL(settings.base_url)
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query:
            raise UsageError("base_url must be http(s)://host[:port]/path, without user, password or query")
        self._settings = settings
        self._name = url.host if url.port is None else f"{url.host}:{url.port}"
        self._key = _key(settings.api_key_env)
        self._slots = asyncio.Semaphore(settings.batch_size)
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            limits=httpx2.Limits(max_connections=settings.batch_size),
            timeout=settings.timeout_s,
        )

    async def request(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST `body`, or GET without one, and return the JSON object of the response.

        Requests to busy or failing servers, broken connections and responses that are not a JSON object are retried
        with exponential backoff and jitter, but not before Retry-After. Raises EndpointDownError if the deadline
        passes or would pass before Retry-After, AccessDeniedError (401, 403), ModelNotFoundError (404),
        RefusedError (any other refusal).
        """
        async with self._slots:
            deadline = time.monotonic() + self._settings.deadline_s
            pause = _FIRST_PAUSE_S
            while True:
                try:
                    return await self._exchange(path, body, deadline)
                except _RetryableError as error:
                    # Half of a pause is random, so that requests that failed together do not all return together.
                    wait = max(error.after_s, pause * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)
                    if time.monotonic() + wait >= deadline:
                        raise EndpointDownError(
                            f"{self._name} gave no usable answer within {self._settings.deadline_s:g} s: {error}"
                        ) from None
                await asyncio.sleep(wait)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _exchange(self, path: str, body: Mapping[str, Any] | None, deadline: float) -> dict[str, Any]:
        # The timeout of the library is per read: a server that sends byte by byte would never reach it.
        seconds = min(self._settings.timeout_s, deadline - time.monotonic())
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.request("POST" if body else "GET", path, json=body)
        except (TimeoutError, httpx2.TimeoutException):
            raise _RetryableError(f"no answer after {seconds:.3g} s") from None
        except httpx2.TransportError as error:
            raise _RetryableError(self._without_key(first_line(error))) from None
        if response.status_code >= 400:
            raise self._refusal(response)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise _RetryableError(f"status {response.status_code} with a body that is not a JSON object")
        return answer

    def _refusal(self, response: httpx2.Response) -> Exception:
        status = response.status_code
        refusal = f"{self._name} answers {status}: {self._without_key(_message(response))}"
        if status in _BUSY or status >= 500:
            return _RetryableError(refusal, _retry_after(response.headers.get("Retry-After", "")))
        if status in {401, 403}:
            variable = self._settings.api_key_env
            hint = f"check the key in {variable}" if variable else "the expert names no api_key_env"
            return AccessDeniedError(f"{refusal}; {hint}")
        if status == 404:
            return ModelNotFoundError(f"{refusal}; check base_url and model")
        return RefusedError(refusal)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise MissingError(f"the environment variable {variable}, which holds the expert's API key, is not set")
    if not (key.isascii() and key.isprintable()):
        raise MissingError(f"the environment variable {variable} holds no API key: only printable ASCII can be one")
    remember(key)
    return key


def _message(response: httpx2.Response) -> str:
    """The message of an error in OpenAI's format, or else the first line of the body."""
    try:
        answer = response.json()
        error = answer.get("error", answer) if isinstance(answer, dict) else answer
        text = error.get("message", error) if isinstance(error, dict) else error
    except ValueError:
        text = response.text
    return first_line(Exception(str(text)))


def _retry_after(value: str) -> float:
    """The seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3); 0 for anything else."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())
