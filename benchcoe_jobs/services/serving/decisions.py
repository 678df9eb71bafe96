"""From a question to its stored decision, in one thread.

Whatever waits is decided together, and committed in one transaction. There is no other thread in between: on a busy
machine, a request waits for each change of threads longer than for the decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.serving.decision_log import LONGEST_WAIT_S, DecisionLog, LogError
from benchcoe_jobs.services.serving.live_router import LiveRouter, Verdict
from benchcoe_jobs.services.serving.options import ServiceOptions
from benchcoe_jobs.store.routing.served import NewServedDecision

ROUTER, EXPLORATION, CLIENT = "router", "exploration", "client"

_MOST_TOGETHER = 64
"""Questions that a router reads in one call."""


class Draw(NamedTuple):
    """The expert that is asked, the probability with which it was drawn (None: the client named it), and by what."""

    expert: str
    propensity: float | None
    by: str


class Decision(NamedTuple):
    """A stored decision: what the router chose, and which expert is asked."""

    id: str
    verdict: Verdict
    drawn: Draw


@dataclass(frozen=True, slots=True)
class _Request:
    """A question that waits for a router.

    `drawn` and `verdict` are given if the expert, or the whole decision, is known before.
    """

    live: LiveRouter
    path: str
    question: RouterInput
    drawn: Draw | None
    verdict: Verdict | None
    done: asyncio.Future[Decision]


class Decisions:
    """Decides and stores one batch after the other. Without a log, decisions are not stored."""

    def __init__(self, log: DecisionLog | None, options: ServiceOptions) -> None:
        self._log = log
        self._options = options
        self._waiting: list[_Request] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decisions")
        self._working: asyncio.Task[None] | None = None

    async def decide(
        self,
        live: LiveRouter,
        path: str,
        question: RouterInput,
        drawn: Draw | None = None,
        verdict: Verdict | None = None,
    ) -> Decision:
        """The decision of a router about a question, when it is committed.

        Raises UsageError as `Decider.choose` does, and LogError if the decision is not stored within
        `LONGEST_WAIT_S`.
        """
        request = _Request(live, path, question, drawn, verdict, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                return await request.done
        except TimeoutError:
            raise LogError(f"no decision could be made and stored within {LONGEST_WAIT_S:g} s") from None

    async def close(self) -> None:
        """Wait for the open batch, and end the thread."""
        if self._working is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
        self._thread.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            found: Sequence[Decision | Exception]
            try:
                found = await loop.run_in_executor(self._thread, self._decided, batch)
            except Exception as error:  # a fault of this program: no request must wait until its time is over
                found = [error] * len(batch)
            for request, decided in zip(batch, found, strict=True):
                if request.done.done():  # its client has left, or has waited too long
                    continue
                if isinstance(decided, Exception):
                    request.done.set_exception(decided)
                else:
                    request.done.set_result(decided)

    def _decided(self, batch: Sequence[_Request]) -> list[Decision | Exception]:
        """The decisions about some requests, stored. It runs in the thread."""
        verdicts = _verdicts([request for request in batch if request.verdict is None])
        found = [_made(request, request.verdict or next(verdicts[request.live]), self._options) for request in batch]
        if self._log is None:
            return found
        made = [(request, one) for request, one in zip(batch, found, strict=True) if isinstance(one, Decision)]
        rows = [self._row(request, one) for request, one in made]
        failures = iter(self._log.store(rows, [request.done.done for request, _ in made]))
        return [(next(failures) or one) if isinstance(one, Decision) else one for one in found]

    def _row(self, request: _Request, decision: Decision) -> NewServedDecision:
        question, (loaded, choice, _) = request.question, decision.verdict
        logs_text = self._options.logs_prompts and not question.pictures
        return NewServedDecision(
            id=decision.id,
            decided_at=datetime.now(UTC),
            snapshot_id=loaded.snapshot_id,
            path=request.path,
            prompt_hash=prompt_hash(question),
            prompt=_storable(question.whole) if logs_text else None,
            subject=choice.subject,
            confidence=choice.confidence,
            familiarity=choice.familiarity,
            fell_back=choice.fell_back,
            chosen_id=loaded.decider.snapshot.members[choice.expert],
            expert_id=loaded.upstreams[decision.drawn.expert].expert_id,
            propensity=decision.drawn.propensity,
        )


def _verdicts(requests: Sequence[_Request]) -> dict[LiveRouter, Iterator[Verdict | Exception]]:
    """The verdicts of each router about its requests, in their order."""
    questions: dict[LiveRouter, list[RouterInput]] = {}
    for request in requests:
        questions.setdefault(request.live, []).append(request.question)
    return {live: iter(live.verdicts(of_router)) for live, of_router in questions.items()}


def _made(request: _Request, verdict: Verdict | Exception, options: ServiceOptions) -> Decision | Exception:
    if isinstance(verdict, Exception):
        return verdict
    drawn = request.drawn or _draw(verdict, request.question, options)
    if drawn.expert not in verdict.loaded.upstreams:  # the client named it before the router was loaded anew
        return UsageError(f"expert {drawn.expert!r} has no endpoint any more")
    return Decision(f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}", verdict, drawn)


def _draw(verdict: Verdict, question: RouterInput, options: ServiceOptions) -> Draw:
    """The chosen expert, or with the probability `explore` one of the others that the request may go to."""
    share, limit, chosen = options.explore, options.max_cost, verdict.choice.expert
    snapshot = verdict.loaded.decider.snapshot
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


def prompt_hash(question: RouterInput) -> str:
    """SHA-256 (hex) of the text that a router reads, then of the SHA-256 of each picture."""
    content = "".join([question.whole, *(picture.sha256 for picture in question.pictures)])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _storable(text: str) -> str:
    """A text as both databases store it: without halves of surrogate pairs, and without NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
