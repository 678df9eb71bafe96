"""A service over the store of `routing_world`, whose experts ann and bob are answered for by a function.

Neither has a socket: the requests of clients and those to experts go through transports of httpx2.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import openai
import pytest
import routing_world
from sqlalchemy import select, update

from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.services.serving.live_router import LiveRouter, LiveRouters, RouterSource
from benchcoe_jobs.services.serving.options import ServiceOptions
from benchcoe_jobs.services.serving.server import ServerOptions, guarded_app
from benchcoe_jobs.services.serving.upstream_client import UpstreamClient
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import Store, connect, open_store
from benchcoe_jobs.store.tables import Base, Expert

T = TypeVar("T")

APPLES = "how many apples in case 900"
BRICKS = "how many bricks in case 900"


def make(folder: Path) -> None:
    """Write the store and the router to a folder. Expert e is the model e-model at http://e.test/v1."""
    store = connect(f"sqlite:///{folder}/b.db")
    upgrade(store)
    (folder / "home").mkdir()
    routing_world.fill(store, folder / "home")
    with store.writing() as connection:
        for name in ("ann", "bob"):
            values = {"engine": "openai", "model": f"{name}-model", "settings": {"base_url": f"http://{name}.test/v1"}}
            connection.execute(update(Expert).where(Expert.name == name).values(values))
    store.close()


def chat(text: str, model: str = "benchcoe/auto", **more: Any) -> dict[str, Any]:
    """The body of a request with one message."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def said(text: str, **more: Any) -> httpx2.Response:
    """The answer of an expert."""
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop", "text": text}]
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    return httpx2.Response(200, json=answer | more)


def events(*texts: str, end: str = "data: [DONE]\n\n") -> httpx2.Response:
    """A stream of an expert; its last event has the number of tokens."""
    chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    parts = [chunk | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    parts.append(chunk | {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
    lines = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + end
    return httpx2.Response(200, content=lines.encode(), headers={"content-type": "text/event-stream"})


Reply = Callable[[str, str, dict[str, Any]], Awaitable[httpx2.Response]]


@dataclass
class Experts:
    """Answers for all experts. `reply` gets expert, path and body; `seen` has them, with the key that was sent."""

    reply: Reply | None = None
    is_away: bool = False
    seen: list[tuple[str, str, dict[str, Any], str | None]] = field(default_factory=list)

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        expert, path = request.url.host.partition(".")[0], request.url.path
        if self.is_away:
            raise httpx2.ConnectError("refused")
        if path == "/v1/models":
            return httpx2.Response(200, json={"data": []})
        body = json.loads(request.content)
        self.seen.append((expert, path, body, request.headers.get("authorization")))
        if self.reply is not None:
            return await self.reply(expert, path, body)
        return events(f"{expert} ", "says") if body.get("stream") else said(f"{expert} says")


class World:
    """A copy of a store that `make` wrote, and its experts."""

    def __init__(self, template: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(template, folder, dirs_exist_ok=True)
        self.experts = Experts()
        self.home = folder / "home"
        self.store: Store = open_store(f"sqlite:///{folder}/b.db")

        def connect_to_experts(client: UpstreamClient, _most_connections: int) -> None:
            client._client = httpx2.AsyncClient(transport=httpx2.MockTransport(self.experts))

        monkeypatch.setattr(UpstreamClient, "__init__", connect_to_experts)

    def source(self, **changes: Any) -> RouterSource:
        """The source of router `r`."""
        given: dict[str, Any] = {"router": "r", "endpoints": {}, "budget": Budget()}
        return RouterSource(self.store, self.home, **given | changes)

    @asynccontextmanager
    async def service(
        self, server: ServerOptions | None = None, sources: Sequence[RouterSource] = (), **options: Any
    ) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of a running service. What it logged is in the store at the end."""
        live = LiveRouters([LiveRouter(source, source.load()) for source in sources or [self.source()]])
        guard = guarded_app(self.store, live, ServiceOptions(**options), server or ServerOptions())
        app: Any = guard._app
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app=guard)
            async with httpx2.AsyncClient(transport=transport, base_url="http://service", trust_env=False) as client:
                yield client

    def run(self, use: Callable[[httpx2.AsyncClient], Coroutine[Any, Any, T]], **given: Any) -> T:
        """The result of using a service, which has ended."""

        async def all_of_it() -> T:
            async with self.service(**given) as client:
                return await use(client)

        return asyncio.run(all_of_it())

    def post(self, *bodies: dict[str, Any], path: str = "/v1/chat/completions", **given: Any) -> list[httpx2.Response]:
        """The responses to some bodies, sent one after the other."""

        async def send(client: httpx2.AsyncClient) -> list[httpx2.Response]:
            return [await client.post(path, json=body) for body in bodies]

        return self.run(send, **given)

    def rows(self, table: type[Base]) -> list[dict[str, Any]]:
        """The rows of a table in the order of their keys."""
        with self.store.reading() as connection:
            found = connection.execute(select(table.__table__).order_by(*table.__table__.primary_key)).mappings()
            return [dict(row) for row in found]


def openai_client(client: httpx2.AsyncClient, **options: Any) -> openai.AsyncOpenAI:
    """OpenAI's package as a client of a service."""
    return openai.AsyncOpenAI(base_url="http://service/v1", api_key="any", http_client=client, max_retries=0, **options)
