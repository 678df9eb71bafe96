"""An endpoint without a socket: a function of path and body answers the requests of the engine `openai`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx2
import pytest

from benchcoe_jobs.domain import Completion, Decoding, Request
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.endpoints.openai import OpenAIEngine

Body: TypeAlias = dict[str, Any]
Reply: TypeAlias = Body | httpx2.Response | float
"""An answer with status 200, a response, or the seconds of a silence."""

PLAIN, CHAT = "/v1/completions", "/v1/chat/completions"

_CLIENT = httpx2.AsyncClient

PROBE = "Hello"
"""The text that the engine sends at load, and to find out whether the endpoint is there."""


@dataclass
class Script:
    """`reply` answers each request; `seen` has the path and body of each. The probe is answered unless it is passed."""

    reply: Callable[[str, Body], Reply]
    passes_probe: bool = False
    seen: list[tuple[str, Body]] = field(default_factory=list)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        body = json.loads(request.content) if request.content else {}
        self.seen.append((path, body))
        is_probe = text_of(body) == PROBE and not self.passes_probe
        reply = said("") if is_probe else self.reply(path, body)
        if isinstance(reply, float):
            await asyncio.sleep(reply)
            reply = said("late")
        await asyncio.sleep(0)  # others are sent before this one is answered
        return httpx2.Response(200, json=reply) if isinstance(reply, dict) else reply


@contextmanager
def scripted(monkeypatch: pytest.MonkeyPatch, script: Script, **settings: Any) -> Iterator[OpenAIEngine]:
    """The engine, loaded, whose requests the script answers. `seen` begins after the load."""
    monkeypatch.setattr(
        "benchcoe_jobs.engines.endpoints.endpoint.httpx2.AsyncClient",
        lambda **options: _CLIENT(transport=httpx2.MockTransport(script), **options),
    )
    engine = OpenAIEngine()
    try:
        engine.load(ExpertSettings("openai", "m", **{"base_url": "http://test/v1"} | settings))
        script.seen.clear()
        yield engine
    finally:
        engine.close()


def text_of(body: Body) -> str | None:
    """The text of a request, None if it is not one."""
    if "messages" in body:
        content = body["messages"][-1]["content"]
        return content if isinstance(content, str) else str(content)
    return body.get("prompt")


def said(text: Any, *, reason: str = "stop", **more: Any) -> Body:
    """An answer with a text, for both forms."""
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}]} | more


def message(reason: str = "stop", **fields: Any) -> Body:
    """An answer of the chat form with these fields of its message."""
    return {"choices": [{"index": 0, "message": {"role": "assistant"} | fields, "finish_reason": reason}]}


def refused(status: int, text: str, headers: dict[str, str] | None = None, **error: Any) -> httpx2.Response:
    """A refusal in OpenAI's format."""
    return httpx2.Response(status, json={"error": {"message": text} | error}, headers=headers)


def ask(engine: OpenAIEngine, *texts: str, **decoding: Any) -> list[Completion]:
    """The completions of some questions, asked together."""
    return engine.run([Request(text) for text in texts], Decoding(**{"max_new_tokens": 8} | decoding))
