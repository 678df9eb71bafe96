"""The HTTP side of a service: paths, streams, and the errors that clients get."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any, TypeVar

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from benchcoe_jobs.services.serving.attribution import Usage, marked_events
from benchcoe_jobs.services.serving.errors import ApiError
from benchcoe_jobs.services.serving.limits import read_json
from benchcoe_jobs.services.serving.loglikelihood import OptionGroups, asks_for_loglikelihoods
from benchcoe_jobs.services.serving.questions import CHAT, PLAIN, question_of
from benchcoe_jobs.services.serving.service import LEFT, Attempt, Plan, Service
from benchcoe_jobs.services.serving.upstreams import Upstream
from benchcoe_jobs.store.routing.served import store_score
from benchcoe_jobs.store.session import Store

T = TypeVar("T")

DECIDE, OUTCOMES = "/v1/router/decide", "/v1/router/outcomes"

_LONGEST_SOURCE = 200


class Endpoints:
    """The handlers of a service's paths. `reached` are the experts whose endpoint has answered once."""

    def __init__(self, store: Store, service: Service, *, logs: bool) -> None:
        self._store = store
        self._service = service
        self._groups = OptionGroups(store, service)
        self._logs = logs
        self.reached: set[str] = set()

    @property
    def routes(self) -> list[Route]:
        """The paths and their handlers."""
        return [
            Route("/v1/models", self._models, methods=["GET"]),
            Route(CHAT, self._answer, methods=["POST"]),
            Route(PLAIN, self._answer, methods=["POST"]),
            Route(DECIDE, self._decide, methods=["POST"]),
            Route(OUTCOMES, self._outcome, methods=["POST"]),
            Route("/tokenizer_info", self._tokenizer, methods=["GET"]),
            Route("/tokenize", self._tokenizer, methods=["POST"]),
            Route("/detokenize", self._tokenizer, methods=["POST"]),
            Route("/health", self._health, methods=["GET"]),
            Route("/ready", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]

    async def probe(self) -> None:
        """Ask the endpoints that have not answered yet."""
        upstreams = self._service.routers.upstreams
        silent = [name for name in upstreams if name not in self.reached]
        answers = await asyncio.gather(*(self._service.client.answers(upstreams[name]) for name in silent))
        self.reached |= {name for name, answered in zip(silent, answers, strict=True) if answered}

    async def _models(self, _request: Request) -> Response:
        created = int(self._service.routers.first.loaded.loaded_at)
        models = [
            {"id": name, "object": "model", "created": created, "owned_by": "benchcoe"} for name in self._service.names
        ]
        return JSONResponse({"object": "list", "data": models})

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        body = await read_json(request)
        router = self._service.router_of(body.get("model"))
        if router is not None and asks_for_loglikelihoods(body):
            plan = await self._groups.plan(router, path, body)
        else:
            plan = await self._service.plan(path, body)
        upstream_path = path.removeprefix("/v1/")
        if body.get("stream"):
            return await self._stream(request, plan, upstream_path, body)
        answering = self._service.ask(plan, upstream_path, body, self._service.client.read)
        answer, attempt = await _unless_left(request, answering)
        usage = Usage()
        usage.read(answer)
        self._service.end(attempt, 200, usage=usage)
        return _Json(attempt.attribution.mark(answer), headers=attempt.attribution.headers)

    async def _stream(self, request: Request, plan: Plan, path: str, body: dict[str, Any]) -> Response:
        async def untouched(_upstream: Upstream, response: httpx2.Response) -> httpx2.Response:
            return response

        response, attempt = await _unless_left(request, self._service.ask(plan, path, body, untouched))
        return _Relay(self._service, attempt, response)

    async def _decide(self, request: Request) -> Response:
        body = await read_json(request)
        router = self._service.router_of(body.get("model", "auto"))
        if router is None:
            raise ApiError(400, "the model of a decision must be a routed name: GET /v1/models lists them first")
        plan, decision = await self._service.decide(router, DECIDE, question_of(body))
        loaded, choice, by_expert = decision.verdict
        scores = sorted(by_expert.items(), key=lambda item: -item[1])
        found = {
            **asdict(choice),
            "expert": decision.drawn.expert,
            "chosen": choice.expert,
            "chosen_by": decision.drawn.by,
            "router": loaded.router,
            "decision_id": decision.id,
            "alternatives": [
                # The best expert's mean is set just above the others', see RoutingSnapshot.
                {"expert": name, "score": min(score, 1.0)}
                for name, score in scores
                if math.isfinite(score)
            ],
        }
        return JSONResponse(found, headers=plan.attribution.headers)

    async def _outcome(self, request: Request) -> Response:
        body = await read_json(request)
        id_, value, source = body.get("decision_id"), body.get("score"), body.get("source")
        if not isinstance(id_, str) or isinstance(value, bool) or not isinstance(value, int | float):
            raise ApiError(400, "an outcome has a decision_id, a score from 0 to 1, and a source if you like")
        if not 0 <= value <= 1:
            raise ApiError(400, f"the score is {value}, and must be from 0 to 1")
        if source is not None and not (isinstance(source, str) and source.isprintable()):
            raise ApiError(400, "the source must be a text of one line")
        if not self._logs:
            raise ApiError(409, "this service runs with --log none, and has no decisions to score", "not_logged")
        if not await asyncio.to_thread(self._store_score, id_, float(value), source):
            raise ApiError(404, "there is no decision with this decision_id", "decision_not_found")
        return JSONResponse({"decision_id": id_, "score": value, "source": source})

    def _store_score(self, decision_id: str, value: float, source: str | None) -> bool:
        with self._store.writing() as connection:
            return store_score(connection, decision_id, value, source and source[:_LONGEST_SOURCE])

    async def _tokenizer(self, request: Request) -> Response:
        body = await read_json(request) if request.method == "POST" else None
        return _Json(await self._groups.tokenizer(request.method, request.url.path.removeprefix("/"), body))

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _ready(self, _request: Request) -> Response:
        waiting = [name for name in self._service.routers.experts if name not in self.reached]
        routers = [
            {
                "router": live.loaded.router,
                "fingerprint": live.loaded.decider.snapshot.fingerprint,
                "age_s": round(time.time() - live.loaded.loaded_at, 1),
                "reload_failure": live.failure,
            }
            for live in self._service.routers.all
        ]
        state = {"status": "waiting" if waiting else "ready", "waiting_for": waiting, "routers": routers}
        return JSONResponse(state, 503 if waiting else 200)

    async def _metrics(self, _request: Request) -> Response:
        return Response(self._service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Json(JSONResponse):
    """JSON with escapes, which is the same value, and which half of a surrogate pair from an expert cannot break."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


class _Relay(StreamingResponse):
    """A stream of events from an expert to a client. However it ends, the expert's connection is closed."""

    def __init__(self, service: Service, attempt: Attempt, response: httpx2.Response) -> None:
        super().__init__(
            self._events(),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", **attempt.attribution.headers},
        )
        self._service, self._attempt, self._upstream = service, attempt, response
        self._usage = Usage()
        self._is_complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._upstream.aclose()
            failure = self._usage.failure
            if self._is_complete:
                self._service.end(self._attempt, 502 if failure else 200, failure, self._usage)
            else:
                self._service.end(self._attempt, LEFT, "the client left", self._usage)

    async def _events(self) -> AsyncIterator[bytes]:
        attribution = self._attempt.attribution
        try:
            async for lines in marked_events(self._upstream.aiter_bytes(), attribution, self._usage):
                yield lines
        except (httpx2.HTTPError, ValueError):
            self._usage.failure = f"expert {attribution.expert!r} ended its stream too early"
            error = ApiError(502, self._usage.failure, "expert_failed")
            yield f"data: {json.dumps(error.body)}\n\n".encode()
        self._is_complete = True


async def _unless_left(request: Request, work: Awaitable[T]) -> T:
    """The result of some work, which is cancelled if the client closes its connection. The body was read before."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(LEFT, "the client left")
        return await task
    finally:
        for one in (task, left):
            if not one.done():
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await one


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(endpoints: Endpoints, service: Service, lifespan: Callable[[Starlette], Any] | None = None) -> Starlette:
    """The application, without the guard around it."""

    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101  (it is registered for them alone)
        service.metrics.refused.labels(str(error.status)).inc()
        return JSONResponse(error.body, error.status, headers=error.headers)

    async def not_found(request: Request, _error: Exception) -> Response:
        error = ApiError(404, f"there is no {request.method} {request.url.path[:100]} here", "not_found")
        return JSONResponse(error.body, error.status)

    return Starlette(
        routes=endpoints.routes,
        exception_handlers={ApiError: refuse, 404: not_found, 405: not_found},
        lifespan=lifespan,
    )
