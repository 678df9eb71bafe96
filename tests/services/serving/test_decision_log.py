"""The log of decisions: when a request may go on, and what happens while the database is away."""

from __future__ import annotations

import sqlite3
import threading
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


def store(log: DecisionLog, *decisions: NewServedDecision, is_over: Callable[[], bool] = lambda: False) -> list[Any]:
    return log.store(decisions, [is_over] * len(decisions))


def test_nothing_is_lost_while_the_database_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "store_served", failing(3, StoreUnavailableError("away")))
    monkeypatch.setattr(decision_log, "_PAUSE_S", 0.01)
    [decision], outcomes = rows(world, "d")
    with open_log(world) as (log, dropped):
        assert store(log, decision) == [None]
        log.note(outcomes[0])
    assert len(world.rows(ServedDecision)) == len(world.rows(ServedOutcome)) == 1
    assert dropped == []


def test_a_decision_is_not_stored_when_its_request_has_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "_PAUSE_S", 0.01)
    monkeypatch.setattr(decision_log, "store_served", failing(3, StoreUnavailableError("away")))
    decisions, _ = rows(world, "d", "e")
    gives_up = iter([False, False, True, True, True]).__next__
    with open_log(world) as (log, _):
        assert log.store(decisions, [gives_up, lambda: False]) == [None, None]
    assert [row["id"] for row in world.rows(ServedDecision)] == ["e"], "a request that was not sent has no decision"


def test_a_row_that_cannot_be_stored_does_not_hold_the_others(world: World) -> None:
    decisions, outcomes = rows(world, "d", "e")
    with world.store.writing() as connection:
        connection.execute(delete(RoutingSnapshot))  # as `remove router` does
    with open_log(world) as (log, dropped):
        log.note(outcomes[0])
        failures = store(log, *decisions)
    assert [type(failure) for failure in failures] == [LogError, LogError]
    assert sum(dropped) == 1


def test_a_busy_sqlite_file_delays_and_loses_nothing(world: World) -> None:
    [decision], _ = rows(world, "d")
    other = sqlite3.connect(str(world.store.address.path), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    with open_log(world) as (log, _):
        started = time.monotonic()
        threading.Timer(0.1, other.execute, ["COMMIT"]).start()
        assert store(log, decision) == [None]
        assert time.monotonic() - started >= 0.1
    other.close()
