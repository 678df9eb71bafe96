"""A cascade that is evaluated on stored responses: what it costs, what is left out, and what the report says."""

from __future__ import annotations

from pathlib import Path

import cascade_world
import numpy as np
import pytest
from sqlalchemy import delete, select

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.evaluation.report import Report
from benchcoe_jobs.services.routing.budget import Budget
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query, Response


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    cascade_world.fill(store, tmp_path)
    cascade_world.train(store, tmp_path)
    return store


def report(store: Store, home: Path, **budget: float) -> Report:
    return evaluate(store, home, "c", benchmark=None, split="test", budget=Budget(**budget))


def test_the_cost_is_that_of_every_answer_asked_for(world: Store, tmp_path: Path) -> None:
    found = report(world, tmp_path, quality_weight=0.85)
    assert found.cascade is not None
    assert found.cost is not None
    queried = found.cost["router"]
    # The share of queries that cat was asked times its cost, and a cost of 1 for each other answer.
    cat = found.cascade["stopped_after"].get("cat", 0.0) if found.cascade["chain"][-1] == "cat" else 0.0
    assert queried == pytest.approx(found.cascade["mean_answers"] - cat + 10.0 * cat)
    assert sum(found.cascade["stopped_after"].values()) == pytest.approx(1.0)
    assert sum(found.cascade["first"].values()) == pytest.approx(1.0)
    assert found.costs is not None
    assert found.costs.router.cost == pytest.approx(queried)
    assert Report.from_json(found.as_json()) == found


def test_a_limit_is_kept_and_a_lower_one_than_any_cost_is_refused(world: Store, tmp_path: Path) -> None:
    limited = report(world, tmp_path, max_cost=2.0)
    assert limited.cost is not None
    assert limited.cost["router"] <= 2.0
    with pytest.raises(UsageError, match=r"no expert of the cascade .* at most 0\.5 a query"):
        report(world, tmp_path, max_cost=0.5)


def test_queries_without_a_response_of_the_chain_are_left_out(world: Store, tmp_path: Path) -> None:
    whole = report(world, tmp_path)
    with world.writing() as connection:
        some = select(Query.id).where(Query.key.in_([row["key"] for row in cascade_world.rows()["ann"][-30:]]))
        connection.execute(delete(Response).where(Response.query_id.in_(some)))
    part = report(world, tmp_path)
    assert (whole.n, part.n) == (80, 50)
    assert any(note.startswith("30 queries without a response") for note in part.warnings)
    with world.writing() as connection:
        connection.execute(delete(Response))
    with pytest.raises(UsageError, match="is evaluated on stored responses, and no query of split test has one"):
        report(world, tmp_path)


@pytest.mark.parametrize("retired", [["ann"], ["ann", "bob"], ["cat"]])
def test_experts_that_left_the_pool_are_neither_asked_nor_missed(
    world: Store, tmp_path: Path, retired: list[str]
) -> None:
    with world.writing() as connection:
        for name in retired:
            experts.set_retired(connection, name, True)
    found = report(world, tmp_path)
    assert found.n == 80
    assert found.cascade is not None
    assert not set(retired) & {*found.cascade["chain"], *found.cascade["first"]}
    assert sum(found.cascade["stopped_after"].values()) == pytest.approx(1.0)
    assert found.costs is not None


def test_a_query_costs_the_same_at_each_weight_of_the_curve(world: Store, tmp_path: Path) -> None:
    found = report(world, tmp_path, quality_weight=0.0)
    assert found.costs is not None
    assert found.cascade is not None
    assert found.cascade["mean_answers"] == 1.0
    assert found.costs.curve[0].cost == found.costs.router.cost == 1.0
    accuracies = np.array([point.accuracy for point in found.costs.curve])
    assert accuracies[-1] > accuracies[0]
