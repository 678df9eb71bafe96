"""Decisions on a split: stored with the snapshot, read back, and estimated again only to the same choices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import routing_world
import tables

from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.services.evaluation.decisions import decide, estimates_of, evaluate_request, read_decisions
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.session import Store


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def test_a_request_names_all_that_it_was_made_from(world: Store) -> None:
    with world.writing() as connection:
        request = evaluate_request(connection, None, None, "train", max_cost=3.0, quality_weight=0.5)
        assert snapshots.snapshot_id(connection, request.pop("snapshot")) is not None
    assert request == {
        "router": "r",
        "benchmark": "toy",
        "split": "train",
        "falls_back": True,
        "max_cost": 3.0,
        "quality_weight": 0.5,
        "second_price": 0.0,
    }


def test_stored_decisions_are_read_back_without_queries_that_came_later(world: Store, tmp_path: Path) -> None:
    with world.writing() as connection:
        request = evaluate_request(connection, "r", None, "train", max_cost=9.0)
    made = decide(world, tmp_path, request)
    assert made.chosen().tolist() == [0] * 20 + [1] * 20
    routing_world.train(world, tmp_path, pool="bobs")
    for expert in ("ann", "bob"):
        tables.bring(world, tmp_path, expert, routing_world.row("apples", 500, 0.0))
    read = read_decisions(world, request | {"evaluation": made.evaluation_id, "seconds": made.seconds})
    assert (read.questions, read.decisions, read.snapshot) == (made.questions, made.decisions, made.snapshot)
    assert (read.budget, read.benchmark, read.split) == (Budget(9.0), "toy", "train")
    assert made.estimated is not None
    again = estimates_of(world, tmp_path, read)[1]
    assert again.scores.tolist() == made.estimated[1].scores.tolist(), "from the snapshot, not from the new router"


def test_other_choices_than_those_stored_are_an_error(world: Store, tmp_path: Path) -> None:
    with world.writing() as connection:
        request = evaluate_request(connection, "r", None, "train")
    made = decide(world, tmp_path, request)
    changed = [replace(decision, expert="bob") for decision in made.decisions]
    with pytest.raises(BenchcoeError, match="router 'r' decides 20 of 40 queries otherwise than stored") as refused:
        estimates_of(world, tmp_path, replace(made, decisions=changed, estimated=None))
    assert "give `benchcoe-jobs evaluate` again" in str(refused.value)


def test_a_split_without_a_query(world: Store, tmp_path: Path) -> None:
    with world.writing() as connection:
        request = evaluate_request(connection, "r", None, "validation")
    with pytest.raises(UsageError, match="toy has no queries with a text in split validation"):
        decide(world, tmp_path, request)


def test_recorded_experts_need_scores_to_compare(world: Store, tmp_path: Path) -> None:
    tables.bring(world, tmp_path, "ann", routing_world.row("apples", 100, 1.0, "test"))
    with world.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET engine = 'recorded'")
        request = evaluate_request(connection, "r", None, "test")
    with pytest.raises(UsageError, match=r"bob has 0 of 1\. Import the missing results, or leave it out: "):
        decide(world, tmp_path, request)
