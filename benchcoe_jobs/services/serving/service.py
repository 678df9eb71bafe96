"""What happens to a request: who answers it, the decision in the log, the answer of the expert or of its substitute."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx2

from benchcoe_jobs.characters import one_line
from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.masking import masked
from benchcoe_jobs.services.serving.attribution import Attribution, Usage
from benchcoe_jobs.services.serving.decision_log import DecisionLog, LogError
from benchcoe_jobs.services.serving.decisions import CLIENT, EXPLORATION, Decision, Decisions, Draw
from benchcoe_jobs.services.serving.errors import ApiError, UpstreamError
from benchcoe_jobs.services.serving.live_router import LiveRouter, LiveRouters, Verdict
from benchcoe_jobs.services.serving.metrics import Metrics
from benchcoe_jobs.services.serving.options import ServiceOptions
from benchcoe_jobs.services.serving.questions import question_of
from benchcoe_jobs.services.serving.upstream_client import UpstreamClient
from benchcoe_jobs.services.serving.upstreams import Upstream
from benchcoe_jobs.store.routing.served import NewServedOutcome

T = TypeVar("T")

LEFT = 499
"""The status of a request whose client closed the connection, as nginx writes it."""

_LONGEST_FAILURE = 500


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
        routers: LiveRouters,
        client: UpstreamClient,
        log: DecisionLog | None,
        metrics: Metrics,
        options: ServiceOptions,
    ) -> None:
        self.routers = routers
        self.client = client
        self.metrics = metrics
        self._log = log
        self._options = options
        self._decisions = Decisions(log, options)

    async def close(self) -> None:
        """End the thread of decisions, and close all connections to experts."""
        await self._decisions.close()
        await self.client.close()

    @property
    def names(self) -> list[str]:
        """The names that clients may ask for: those that are routed, then the experts with an endpoint."""
        return [*self.routers.by_name, *sorted(self.routers.upstreams)]

    def router_of(self, model: Any) -> LiveRouter | None:
        """The router that decides about requests for a name; None if it is not a routed name."""
        return self.routers.by_name.get(model) if isinstance(model, str) else None

    async def plan(self, path: str, body: Mapping[str, Any]) -> Plan:
        """Who answers a request; a decision is in the log when this returns.

        Raises ApiError for an unknown name, for what a router cannot read, and if the decision could not be stored.
        """
        model = body.get("model")
        router = self.router_of(model)
        if router is None:
            upstream = self.routers.upstreams.get(model) if isinstance(model, str) else None
            if upstream is None:
                raise self._unknown(model)
            if not self._options.shadow:
                return Plan([upstream], Attribution(upstream.expert))
            named = Draw(upstream.expert, None, CLIENT)
            plan, _ = await self.decide(self.routers.first, path, question_of(body), named)
            return plan
        if self._options.shadow:
            raise ApiError(400, f"this service runs with --shadow and routes nothing: name an expert, not {model!r}")
        plan, _ = await self.decide(router, path, question_of(body))
        return plan

    async def decide(
        self,
        router: LiveRouter,
        path: str,
        question: RouterInput,
        drawn: Draw | None = None,
        verdict: Verdict | None = None,
    ) -> tuple[Plan, Decision]:
        """Decide about a question, and store the decision.

        Without `drawn`, the expert is drawn here; `verdict` is a choice that was made before. Raises
        ApiError if the router cannot choose (400), and if the decision cannot be stored (503).
        """
        started = time.perf_counter()
        try:
            decision = await self._decisions.decide(router, path, question, drawn, verdict)
        except BenchcoeError as error:
            raise ApiError(400, f"the router cannot decide: {error}", "not_routable") from None
        except LogError as error:
            raise ApiError(503, f"{error}; the request was sent to no expert", "not_logged") from None
        self.metrics.route_s.observe(time.perf_counter() - started)
        loaded, choice, _ = decision.verdict
        expert, _, by = decision.drawn
        if choice.fell_back:
            self.metrics.fallbacks.inc()
        if by == EXPLORATION:
            self.metrics.explored.inc()
        best = loaded.decider.snapshot.best_single
        substitutes = self._options.substitutes and by != CLIENT and best != expert
        names = [expert, *([best] if substitutes else [])]
        attribution = Attribution(expert, loaded.router, decision.id, choice, by)
        return Plan([loaded.upstreams[name] for name in names], attribution), decision

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

    def _unknown(self, model: Any) -> ApiError:
        if not isinstance(model, str):
            return ApiError(400, "the request names no model", "model_required")
        close = difflib.get_close_matches(model, self.names, n=3) or self.names[:5]
        return ApiError(
            404,
            f"there is no model {one_line(model[:200])!r}; there are {', '.join(close)}; GET /v1/models lists all",
            "model_not_found",
        )
