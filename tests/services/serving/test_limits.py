"""Limits of a service: keys, sizes, numbers, times; over real sockets where the socket matters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
import uvicorn
from served_world import APPLES, World, chat, said

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.serving import limits
from benchcoe_jobs.services.serving.limits import BoundedProtocol
from benchcoe_jobs.services.serving.server import ServerOptions


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("Basic secret", 401), ("Bearer secret", 200), ("bearer  secret", 200)],
)
def test_the_key(world: World, header: str | None, status: int) -> None:
    async def use(client: httpx2.AsyncClient) -> list[int]:
        headers = {} if header is None else {"authorization": header}
        paths = ("/v1/models", "/health", "/metrics")
        return [(await client.get(path, headers=headers)).status_code for path in paths]

    assert world.run(use, server=ServerOptions(key="secret")) == [status, 200, 200]


@pytest.mark.parametrize(
    ("host", "key", "refused"), [("192.0.2.1", None, True), ("192.0.2.1", "k", False), ("::1", None, False)]
)
def test_it_listens_beyond_this_machine_with_a_key_only(host: str, key: str | None, refused: bool) -> None:
    with pytest.raises(UsageError, match="there is no key") if refused else contextlib.nullcontext():
        ServerOptions(host=host, key=key)


def test_a_body_that_is_too_large(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_BODY_BYTES", 1 << 20)
    small, large = world.post(chat("a" * 1_000_000), chat("a" * 1_100_000))
    assert (small.status_code, large.status_code) == (200, 413)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a":' * 100_000, b"\xff"])
def test_a_body_that_is_no_object(world: World, content: bytes) -> None:
    response = world.run(lambda client: client.post("/v1/chat/completions", content=content))
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_number_of_requests_at_a_time(world: World) -> None:
    go_on = asyncio.Event()

    async def reply(*_: object) -> httpx2.Response:
        await go_on.wait()
        return said("x")

    async def use(client: httpx2.AsyncClient) -> list[int]:
        first = asyncio.create_task(client.post("/v1/chat/completions", json=chat(APPLES)))
        while not world.experts.seen:
            await asyncio.sleep(0.01)
        second = await client.post("/v1/chat/completions", json=chat(APPLES))
        alive = await client.get("/health")
        go_on.set()
        return [second.status_code, alive.status_code, (await first).status_code]

    world.experts.reply = reply
    assert world.run(use, server=ServerOptions(most_requests=1)) == [503, 200, 200]


@contextlib.asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """The port of a server with the protocol of a service."""
    config = uvicorn.Config(app, port=0, http=BoundedProtocol, log_config=None, lifespan="off", ws="none")
    config.h11_max_incomplete_event_size = limits.MOST_HEADER_BYTES
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def exchange(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What a server answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause_s)
    answer = await reader.read()
    writer.close()
    return answer


def ask_server(use: Callable[[int], Awaitable[bytes]]) -> bytes:
    async def app(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def run() -> bytes:
        async with listening(app) as port:
            return await asyncio.wait_for(use(port), 5)

    return asyncio.run(run())


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("before", [b"", GET + b"\r\n"], ids=["first request", "second request"])
def test_headers_that_arrive_too_slowly(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_HEADER_S", 0.1)
    answer = ask_server(lambda port: exchange(port, before or b"G", GET[1:] if not before else GET, pause_s=0.02))
    assert answer.count(b"200 OK") == bool(before)


def test_headers_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ask_server(lambda port: exchange(port, GET + b"x: " + b"y" * (limits.MOST_HEADER_BYTES + 1000)))
    assert answer.startswith(b"HTTP/1.1 400")


def test_requests_over_a_kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_HEADER_S", 0.1)
    answer = ask_server(
        lambda port: exchange(port, GET + b"\r\n", GET + b"\r\n", GET + b"connection: close\r\n\r\n", pause_s=0.08)
    )
    assert answer.count(b"200 OK") == 3
