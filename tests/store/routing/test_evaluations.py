"""Stored decisions and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import routing_world
import tables
from sqlalchemy import Connection

from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot, keep_snapshot
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.routing import evaluations
from benchcoe_jobs.store.routing.evaluations import NewDecision
from benchcoe_jobs.store.session import Store


@pytest.fixture
def connection(store: Store, tmp_path: Path) -> Iterator[Connection]:
    """The world of routing, with two test queries: ann has scores on both, bob on the first."""
    routing_world.fill(store, tmp_path)
    rows = [routing_world.row("apples", n, 1.0, "test") for n in (5, 100)]  # number 5 is a training question, too
    tables.bring(store, tmp_path, "ann", *rows, new_queries=True)
    tables.bring(store, tmp_path, "bob", rows[0] | {"score": 0.0, "cost": 8.0})
    with store.writing() as connection:
        yield connection


def ids(connection: Connection) -> list[int]:
    return [question.id for question in catalog.questions(connection, 1, "test")]


def stored(connection: Connection, snapshot: RoutingSnapshot, *chosen: tuple[str, bool]) -> int:
    decisions = [
        NewDecision(query_id, snapshot.members[expert], "apples", fell_back)
        for query_id, (expert, fell_back) in zip(ids(connection), chosen, strict=True)
    ]
    return evaluations.store_decisions(connection, snapshot.router, snapshot.fingerprint, 1, "test", decisions)


def test_equal_decisions_of_a_snapshot_are_stored_once(connection: Connection) -> None:
    snapshot = keep_snapshot(connection, "r")
    first = stored(connection, snapshot, ("ann", False), ("bob", True))
    assert stored(connection, snapshot, ("ann", False), ("bob", True)) == first
    assert stored(connection, snapshot, ("ann", False), ("bob", False)) != first, "it did not fall back"
    ann, bob = snapshot.members["ann"], snapshot.members["bob"]
    query, other = ids(connection)
    assert evaluations.stored_decisions(connection, first) == {query: (ann, False), other: (bob, True)}
    assert evaluations.unscored_decisions(connection, first) == {bob: [other]}
    key = "test-apples-5"
    assert evaluations.decided(connection, snapshot.router.id).count((key, query, ann)) == 2


def test_scores_and_costs_of_a_split(connection: Connection) -> None:
    members = keep_snapshot(connection, "r").members
    ann, bob = members["ann"], members["bob"]
    query, other = ids(connection)
    assert evaluations.score_counts(connection, 1, "test", [ann, bob]) == {ann: 2, bob: 1}
    assert evaluations.fully_scored(connection, 1, "test", [ann, bob]) == {query}
    assert evaluations.fully_scored(connection, 1, "test", [ann]) == {query, other}
    assert sorted(map(tuple, evaluations.outcomes(connection, 1, "test", [ann, bob]))) == [
        (query, ann, 1.0, 1.0),
        (query, bob, 0.0, 8.0),
        (other, ann, 1.0, 1.0),
    ]
    assert evaluations.mean_costs(connection, 1, "test", [ann, bob]) == {ann: 1.0, bob: 8.0}
    assert evaluations.mean_costs(connection, 1, "validation", [ann]) == {}


def test_questions_of_the_training_split_are_counted(connection: Connection) -> None:
    router = keep_snapshot(connection, "r").router
    assert evaluations.seen_in_training(connection, router, 1, "test") == 1
