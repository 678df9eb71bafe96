"""Served decisions, their outcomes and scores; what names an expert or a snapshot keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest
import routing_world
import served_rows
import store_content
import tables
from alembic import command
from sqlalchemy import func, select

from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.store.migrate import alembic_config
from benchcoe_jobs.store.removal import dependents
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.routing import served, snapshots
from benchcoe_jobs.store.routing.routers import find_router
from benchcoe_jobs.store.routing.served import ScoredDecision
from benchcoe_jobs.store.routing.tables import ServedDecision, ServedOutcome, ServedScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Base


def n_rows(store: Store, table: type[Base]) -> int:
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    """Decision d1 for ann, d2 for bob by exploration, d3 for ann who failed, so that bob answered."""
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        rows = [
            served_rows.decision(connection, "d1"),
            served_rows.decision(connection, "d2", expert="bob", propensity=0.1),
            served_rows.decision(connection, "d3"),
        ]
        outcomes = [served_rows.outcome(connection, id_) for id_ in ("d1", "d3")]
        outcomes.append(served_rows.outcome(connection, "d3", "bob", attempt=2))
        served.store_served(connection, rows, outcomes)
        served.store_served(connection, rows[:1], outcomes[:1])  # written again after a lost answer of the database
    return store


def test_scores_replace_each_other_and_substitutes_do_not_count(world: Store) -> None:
    with world.writing() as connection:
        for id_, value in (("d1", 0.0), ("d1", 1.0), ("d2", 0.5), ("d3", 1.0)):
            assert served.store_score(connection, id_, value, "rater")
        assert not served.store_score(connection, "d4", 1.0, None)
        router_id = find_router(connection, "r").id
        about = ("how many apples in case 1", "apples", "ann")
        assert served.scored_decisions(connection, router_id) == [
            ScoredDecision(*about, "ann", 1.0, 1.0),
            ScoredDecision(*about, "bob", 0.1, 0.5),
        ]
        assert served.n_decisions(connection, router_id) == 3


def test_a_served_snapshot_is_kept(world: Store) -> None:
    with world.writing() as connection:
        snapshots.remove_unused(connection)
        assert served_rows.snapshot_id(connection) == connection.scalar(select(ServedDecision.snapshot_id))


def test_a_router_goes_with_its_decisions_and_before_their_experts(world: Store) -> None:
    tables.add_experts(world, carol=None, dave=None, erin=None)  # no label names them
    with world.writing() as connection:
        rows = [
            served_rows.decision(connection, "d5", expert="carol"),
            served_rows.decision(connection, "d6", chosen="dave"),
        ]
        served.store_served(connection, rows, [served_rows.outcome(connection, "d6", "erin", attempt=2)])
        served.store_score(connection, "d1", 1.0, None)
        for expert in ("carol", "dave", "erin"):
            assert dependents.routers_with(connection, experts.find_expert(connection, expert)) == ["r"]
    assert remove(world, Path("none"), "router", "r").removal.deleted["served_decision"] == 5
    assert [n_rows(world, table) for table in (ServedDecision, ServedOutcome, ServedScore)] == [0, 0, 0]


def test_migration_0012_with_rows(world: Store) -> None:
    before = store_content.content(world)
    for step, revision in ((command.downgrade, "0011"), (command.upgrade, "head")):
        config = alembic_config()
        with world.writing() as connection:
            config.attributes["connection"] = connection
            step(config, revision)
    after = store_content.content(world)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"router", "served_decision", "served_outcome"}  # a router has no auto_weight before 0016
    assert n_rows(world, ServedDecision) == 0
