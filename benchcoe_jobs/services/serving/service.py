"""What happens to a request: who answers it, the decision in the log, the answer of the expert or of its substitute."""

from __future__ import annotations

import asyncio
import difflib
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import httpx2

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.masking import masked
from benchcoe_jobs.services.serving.attribution import Attribution, Usage
from benchcoe_jobs.services.serving.decision_log import DecisionLog, LogError
from benchcoe_jobs.services.serving.errors import ApiError, UpstreamError
from benchcoe_jobs.services.serving.live_router import LiveRouter, Loaded, Verdict
from benchcoe_jobs.services.serving.metrics import Metrics
from benchcoe_jobs.services.serving.questions import prompt_hash, question_of
from benchcoe_jobs.services.serving.upstream_client import UpstreamClient
from benchcoe_jobs.services.serving.upstreams import Upstream
from benchcoe_jobs.store.routing.served import NewServedDecision, NewServedOutcome

T = TypeVar("T")

ROUTER, EXPLORATION, CLIENT = "router", "exploration", "client"

LEFT = 499
"""The status of a request whose client closed the connection, as nginx writes it."""

_LONGEST_FAILURE = 500


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a service treats requests; docs/serving.md describes the options of the command line.

    `explore` is the share of decisions that go to another expert than the chosen one. `substitutes`: the best single
    expert answers in place of one that failed. `shadow`: the client names the expert, and decisions are only logged.
    """

    shadow: bool = False
    explore: float = 0.0
    substitutes: bool = False
    logs_prompts: bool = False
    max_cost: float | None = None


class Draw(NamedTuple):
    """The expert that is asked, the probability with which it was drawn (None: the client named it), and by what."""

    expert: str
    propensity: float | None
    by: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked: the experts in order, each in place of the one before if that fails."""

    upstreams: Sequence[Upstream]
    attribution: Attribution


@dataclass
class Attempt:
    """One request to one expert. `started` is on the clock of `time.perf_counter`."""

    plan: Plan
    number: int
    upstream: Upstream
    attribution: Attribution
    started: float
    first_byte_s: float | None = None


class Service:
    """Decides, asks, and counts. It holds no HTTP of its own side: `app` has that."""

    def __init__(
        self,
        live: LiveRouter,
        client: UpstreamClient,
        log: DecisionLog | None,
        metrics: Metrics,
        options: ServiceOptions,
    ) -> None:
        self.live = live
        self.client = client
        self.metrics = metrics
        self._log = log
        self._options = options

    @property
    def names(self) -> list[str]:
        """The names that clients may ask for: those that are routed, then the experts with an endpoint."""
        return [*self._routed(self.live.loaded), *sorted(self.live.loaded.upstreams)]

    def is_routed(self, model: Any) -> bool:
        """Whether a request for a name is decided by the router."""
        return model in self._routed(self.live.loaded)

    async def plan(self, path: str, body: Mapping[str, Any]) -> Plan:
        """Who answers a request; a decision is in the log when this returns.

        Raises ApiError for an unknown name, for what a router cannot read, and if the decision could not be stored.
        """
        model, loaded = body.get("model"), self.live.loaded
        if not self.is_routed(model):
            if not isinstance(model, str) or model not in loaded.upstreams:
                raise self._unknown(model)
            if not self._options.shadow:
                return Plan([loaded.upstreams[model]], Attribution(model))
            return await self.decide(path, question_of(body), Draw(model, None, CLIENT))
        if self._options.shadow:
            raise ApiError(400, f"this service runs with --shadow and routes nothing: name an expert, not {model!r}")
        return await self.decide(path, question_of(body))

    async def decide(self, path: str, question: RouterInput, drawn: Draw | None = None) -> Plan:
        """Decide about a question, draw the expert that is asked unless it is given, and store the decision."""
        decided = await self.decided(question)
        return await self.record(path, question, decided, drawn or self.draw(decided, question))

    async def decided(self, question: RouterInput) -> Verdict:
        """The choice of the router. Raises ApiError (400) if it cannot choose."""
        started = time.perf_counter()
        try:
            found = await self.live.decide(question)
        except BenchcoeError as error:
            raise ApiError(400, f"the router cannot decide: {error}", "not_routable") from None
        self.metrics.route_s.observe(time.perf_counter() - started)
        return found

    def draw(self, decided: Verdict, question: RouterInput) -> Draw:
        """The chosen expert, or with the probability `explore` one of the others that the request may go to."""
        share, chosen = self._options.explore, decided.choice.expert
        snapshot, limit = decided.loaded.decider.snapshot, self._options.max_cost
        blind = snapshot.blind if question.pictures else []
        others = [
            name
            for name in snapshot.eligible
            if name != chosen and name not in blind and (limit is None or (snapshot.costs[name] or 0.0) <= limit)
        ]
        if not share or not others:
            return Draw(chosen, 1.0, ROUTER)
        if random.random() < share:  # noqa: S311  (no secret)
            return Draw(random.choice(others), share / len(others), EXPLORATION)  # noqa: S311
        return Draw(chosen, 1.0 - share, ROUTER)

    async def record(self, path: str, question: RouterInput, decided: Verdict, drawn: Draw) -> Plan:
        """Store a decision, and return who is asked. Raises ApiError (503) if it cannot be stored."""
        loaded, choice = decided.loaded, decided.choice
        decision_id = f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
        if self._log is not None:
            try:
                await self._log.record(self._row(decision_id, path, question, decided, drawn))
            except LogError as error:
                raise ApiError(503, f"{error}; the request was sent to no expert", "not_logged") from None
        if choice.fell_back:
            self.metrics.fallbacks.inc()
        if drawn.by == EXPLORATION:
            self.metrics.explored.inc()
        best = loaded.decider.snapshot.best_single
        substitutes = self._options.substitutes and drawn.by != CLIENT and best != drawn.expert
        names = [drawn.expert, *([best] if substitutes else [])]
        attribution = Attribution(drawn.expert, loaded.router, decision_id, choice, drawn.by)
        return Plan([loaded.upstreams[name] for name in names], attribution)

    async def ask(
        self,
        plan: Plan,
        path: str,
        body: Mapping[str, Any],
        take: Callable[[Upstream, httpx2.Response], Awaitable[T]],
    ) -> tuple[T, Attempt]:
        """What `take` makes of the response of the first expert that gives one. The caller ends the attempt.

        Raises ApiError: a refusal of the request by an expert, or the failure of the last expert.
        """
        failed: UpstreamError | None = None
        for number, upstream in enumerate(plan.upstreams, 1):
            attribution = plan.attribution
            if failed is not None:
                attribution = replace(attribution, expert=upstream.expert, failed=plan.upstreams[number - 2].expert)
            attempt = Attempt(plan, number, upstream, attribution, time.perf_counter())
            try:
                response = await self.client.send(upstream, path, {**body, "model": upstream.model})
                attempt.first_byte_s = time.perf_counter() - attempt.started
                found = await take(upstream, response)
            except UpstreamError as error:
                self.end(attempt, error.status, str(error))
                failed = error
            except ApiError as error:
                self.end(attempt, error.status, str(error))
                raise
            except asyncio.CancelledError:
                self.end(attempt, LEFT, "the client left")
                raise
            else:
                if failed is not None:
                    self.metrics.substitutes.labels(attribution.failed, failed.reason).inc()
                return found, attempt
        assert failed is not None  # noqa: S101  (there is at least one expert)
        raise failed

    def end(self, attempt: Attempt, status: int, failure: str | None = None, usage: Usage | None = None) -> None:
        """Count a request to an expert, and log what became of it."""
        seconds = time.perf_counter() - attempt.started
        usage = usage or Usage()
        upstream, router = attempt.upstream, attempt.plan.attribution.router or ""
        name, metrics = upstream.expert, self.metrics
        cost = upstream.cost_of(usage.prompt_tokens, usage.completion_tokens, seconds) if failure is None else None
        metrics.requests.labels(router, name, str(status)).inc()
        metrics.upstream_s.labels(name).observe(seconds)
        if attempt.first_byte_s is not None:
            metrics.first_byte_s.labels(name).observe(attempt.first_byte_s)
        metrics.tokens.labels(name, "prompt").inc(usage.prompt_tokens or 0)
        metrics.tokens.labels(name, "completion").inc(usage.completion_tokens or 0)
        metrics.cost.labels(name).inc(cost or 0.0)
        decision_id = attempt.plan.attribution.decision_id
        if self._log is not None and decision_id is not None:
            self._log.note(
                NewServedOutcome(
                    decision_id=decision_id,
                    attempt=attempt.number,
                    expert_id=upstream.expert_id,
                    status=status,
                    failure=None if failure is None else one_line(masked(failure))[:_LONGEST_FAILURE],
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    first_byte_s=attempt.first_byte_s,
                    latency_s=seconds,
                    cost=cost,
                )
            )

    def _row(
        self, decision_id: str, path: str, question: RouterInput, decided: Verdict, drawn: Draw
    ) -> NewServedDecision:
        choice, ids = decided.choice, decided.loaded.decider.snapshot.members
        logs_text = self._options.logs_prompts and not question.pictures
        return NewServedDecision(
            id=decision_id,
            decided_at=datetime.now(UTC),
            snapshot_id=decided.loaded.snapshot_id,
            path=path,
            prompt_hash=prompt_hash(question),
            prompt=_storable(question.whole) if logs_text else None,
            subject=choice.subject,
            confidence=choice.confidence,
            familiarity=choice.familiarity,
            fell_back=choice.fell_back,
            chosen_id=ids[choice.expert],
            expert_id=decided.loaded.upstreams[drawn.expert].expert_id,
            propensity=drawn.propensity,
        )

    def _unknown(self, model: Any) -> ApiError:
        if not isinstance(model, str):
            return ApiError(400, "the request names no model", "model_required")
        close = difflib.get_close_matches(model, self.names, n=3) or self.names[:5]
        return ApiError(
            404,
            f"there is no model {one_line(model[:200])!r}; there are {', '.join(close)}; GET /v1/models lists all",
            "model_not_found",
        )

    @staticmethod
    def _routed(loaded: Loaded) -> tuple[str, ...]:
        return ("benchcoe/auto", f"benchcoe/{loaded.router}", "auto")


def _storable(text: str) -> str:
    """A text as both databases store it: without halves of surrogate pairs, and without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
