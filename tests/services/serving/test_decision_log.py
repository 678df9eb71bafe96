"""The log of decisions: when a request may go on, and what happens while the database is away."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import served_rows
from served_world import World
from sqlalchemy import delete

from benchcoe_jobs.errors import StoreUnavailableError
from benchcoe_jobs.services.serving import decision_log
from benchcoe_jobs.services.serving.decision_log import DecisionLog, LogError
from benchcoe_jobs.store.routing.served import NewServedDecision, NewServedOutcome
from benchcoe_jobs.store.routing.tables import RoutingSnapshot, ServedDecision, ServedOutcome


def rows(world: World, *ids: str) -> tuple[list[NewServedDecision], list[NewServedOutcome]]:
    with world.store.writing() as connection:
        decisions = [served_rows.decision(connection, id_) for id_ in ids]
        return decisions, [served_rows.outcome(connection, id_) for id_ in ids]


@contextmanager
def open_log(world: World) -> Iterator[tuple[DecisionLog, list[int]]]:
    dropped: list[int] = []
    log = DecisionLog(world.store, dropped.append)
    try:
        yield log, dropped
    finally:
        log.close()


def failing(n: int, error: Exception) -> Callable[..., None]:
    """A replacement of `store_served` that fails n times, and then does what it should."""
    store, left = decision_log.store_served, [n]

    def replacement(*given: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise error
        store(*given)

    return replacement


def test_decisions_of_requests_that_arrive_together_are_one_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    store = decision_log.store_served

    def slow(connection: Any, decisions: Any, outcomes: Any) -> None:
        batches.append(len(decisions))
        time.sleep(0.05)
        store(connection, decisions, outcomes)

    monkeypatch.setattr(decision_log, "store_served", slow)
    decisions, _ = rows(world, *map(str, range(30)))

    async def record_all() -> None:
        await asyncio.gather(*map(log.record, decisions))

    with open_log(world) as (log, _):
        asyncio.run(record_all())
    assert sum(batches) == len(world.rows(ServedDecision)) == 30
    assert len(batches) <= 3


def test_nothing_is_lost_while_the_database_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "store_served", failing(3, StoreUnavailableError("away")))
    monkeypatch.setattr(decision_log, "_PAUSE_S", 0.01)
    [decision], outcomes = rows(world, "d")
    with open_log(world) as (log, dropped):
        asyncio.run(log.record(decision))
        log.note(outcomes[0])
    assert len(world.rows(ServedDecision)) == len(world.rows(ServedOutcome)) == 1
    assert dropped == []


def test_a_request_is_refused_if_its_decision_cannot_be_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(decision_log, "_PAUSE_S", 0.01)
    monkeypatch.setattr(decision_log, "store_served", failing(12, StoreUnavailableError("away")))
    [decision, next_one], _ = rows(world, "d", "e")
    with open_log(world) as (log, _):
        with pytest.raises(LogError, match=r"no decision could be stored for 0\.05 s"):
            asyncio.run(log.record(decision))
        monkeypatch.setattr(decision_log, "LONGEST_WAIT_S", 5.0)
        asyncio.run(log.record(next_one))
    assert [row["id"] for row in world.rows(ServedDecision)] == ["e"], "a request that was not sent has no decision"


def test_a_row_that_cannot_be_stored_does_not_hold_the_others(world: World) -> None:
    decisions, outcomes = rows(world, "d", "e")
    with world.store.writing() as connection:
        connection.execute(delete(RoutingSnapshot))  # as `remove router` does

    async def record() -> list[Any]:
        log.note(outcomes[0])
        return await asyncio.gather(*map(log.record, decisions), return_exceptions=True)

    with open_log(world) as (log, dropped):
        failures = asyncio.run(record())
    assert [type(failure) for failure in failures] == [LogError, LogError]
    assert sum(dropped) == 1


def test_a_busy_sqlite_file_delays_and_loses_nothing(world: World) -> None:
    [decision], _ = rows(world, "d")
    other = sqlite3.connect(str(world.store.address.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def record() -> float:
        started = time.monotonic()
        asyncio.get_running_loop().call_later(0.1, other.execute, "COMMIT")
        await log.record(decision)
        return time.monotonic() - started

    with open_log(world) as (log, _):
        assert asyncio.run(record()) >= 0.1
    other.close()
