"""Run a service until a signal ends it: load the router, open the log, listen."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.serving.app import Endpoints, create_app
from benchcoe_jobs.services.serving.decision_log import DecisionLog
from benchcoe_jobs.services.serving.limits import MOST_HEADER_BYTES, BoundedProtocol, Guard, is_loopback
from benchcoe_jobs.services.serving.live_router import LiveRouters
from benchcoe_jobs.services.serving.metrics import Metrics
from benchcoe_jobs.services.serving.options import ServiceOptions
from benchcoe_jobs.services.serving.service import Service
from benchcoe_jobs.services.serving.upstream_client import UpstreamClient
from benchcoe_jobs.store.session import Store

_SHUTDOWN_S = 30
_ANSWER_S = 60.0
"""Added to the longest time of an expert: for the rest of a request."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a service listens, its key, its log and its limits. `reload_s` is the time between looks at the store."""

    host: str = "127.0.0.1"
    port: int = 8900
    key: str | None = None
    logs: bool = True
    reload_s: float = 10.0
    most_requests: int = 256

    def __post_init__(self) -> None:
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other machines, and there is no key: put one into the environment "
                "variable BENCHCOE_API_KEY, or name another with --api-key-env"
            )


def guarded_app(store: Store, routers: LiveRouters, options: ServiceOptions, server: ServerOptions) -> Guard:
    """The application of a service, with its guard. It starts and ends its log, its client and its reloads."""
    metrics = Metrics()
    metrics.show_routers(routers)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch(endpoints, routers, metrics, server.reload_s))
        try:
            yield
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
            await service.close()
            if log is not None:
                await asyncio.to_thread(log.close)

    client = UpstreamClient(server.most_requests)
    log = DecisionLog(store, metrics.dropped.inc) if server.logs else None
    service = Service(routers, client, log, metrics, options)
    endpoints = Endpoints(store, service, logs=server.logs)
    app = create_app(endpoints, service, lifespan)

    def longest_s() -> float:
        return max(upstream.timeout_s for upstream in routers.upstreams.values()) + _ANSWER_S

    return Guard(app, key=server.key, most_requests=server.most_requests, longest_s=longest_s)


def run(store: Store, routers: LiveRouters, options: ServiceOptions, server: ServerOptions) -> None:
    """Serve until SIGINT or SIGTERM. Open requests are answered, for at most 30 seconds."""
    guard = guarded_app(store, routers, options, server)
    config = uvicorn.Config(
        guard,
        host=server.host,
        port=server.port,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    _Server(config).run()


class _Server(uvicorn.Server):
    """uvicorn's server, which ends without raising the signal again: the end of a service is no failure."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        handled = (signal.SIGINT, signal.SIGTERM)
        before: dict[int, Any] = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


async def _watch(endpoints: Endpoints, routers: LiveRouters, metrics: Metrics, every_s: float) -> None:
    """Look at the endpoints and at the store, again and again."""
    while True:
        await endpoints.probe()
        await asyncio.sleep(every_s)
        for live in routers.all:
            if await live.reload():
                metrics.show_routers(routers)
            elif live.failure is not None:
                metrics.reload_failures.inc()
