"""From a question to its stored decision: what waits is one batch and one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from served_world import APPLES, BRICKS, World

from benchcoe_jobs.domain import RouterInput
from benchcoe_jobs.errors import StoreUnavailableError
from benchcoe_jobs.services.serving import decision_log, decisions
from benchcoe_jobs.services.serving.decision_log import DecisionLog, LogError
from benchcoe_jobs.services.serving.decisions import Decision, Decisions
from benchcoe_jobs.services.serving.live_router import LiveRouter
from benchcoe_jobs.services.serving.options import ServiceOptions
from benchcoe_jobs.store.routing.tables import ServedDecision


def decided(world: World, *texts: str) -> list[Any]:
    """The decisions about texts that arrive at the same time, or why there is none."""
    source = world.source()
    log = DecisionLog(world.store, lambda _n: None)

    async def decide() -> list[Any]:
        all_of_them, router = Decisions(log, ServiceOptions()), LiveRouter(source, source.load())
        waiting: list[Coroutine[Any, Any, Decision]] = [
            all_of_them.decide(router, "/", RouterInput(text)) for text in texts
        ]
        try:
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            await all_of_them.close()

    try:
        return asyncio.run(decide())
    finally:
        log.close()


def test_decisions_of_requests_that_arrive_together_are_one_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    store = decision_log.store_served

    def counted(connection: Any, rows: Any, outcomes: Any) -> None:
        batches.append(len(rows))
        store(connection, rows, outcomes)

    monkeypatch.setattr(decision_log, "store_served", counted)
    found = decided(world, *[APPLES, BRICKS] * 15)
    assert [decision.drawn.expert for decision in found] == ["ann", "bob"] * 15
    assert {row["id"] for row in world.rows(ServedDecision)} == {decision.id for decision in found}
    assert (sum(batches), len(batches)) == (30, 1)


def test_a_fault_of_the_program_ends_its_requests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(decisions, "prompt_hash", broken)
    assert [type(one) for one in decided(world, APPLES, BRICKS)] == [ZeroDivisionError] * 2


def test_a_request_is_refused_if_its_decision_cannot_be_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(decisions, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(decision_log, "_PAUSE_S", 0.01)
    monkeypatch.setattr(decision_log, "store_served", away)
    started = time.monotonic()
    [refused] = decided(world, APPLES)
    assert isinstance(refused, LogError)
    assert "no decision could be made and stored within 0.05 s" in str(refused)
    assert time.monotonic() - started < 5, "the thread must not wait for a request that has given up"
    assert world.rows(ServedDecision) == []
