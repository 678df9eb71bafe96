"""Scores in columns: written and aggregated like those of the row path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_worlds import World, clear, fill, worlds
from sqlalchemy import Connection, delete, select

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses, score_grid
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.results.score_grid import ScoreGrid
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import PoolRank, QueryBest, Score, ScoreSum

AGGREGATES = (ScoreSum, PoolRank, QueryBest)


def content(connection: Connection) -> list[list[Any]]:
    return [sorted(map(tuple, connection.execute(select(table.__table__)))) for table in (Score, *AGGREGATES)]


def written(connection: Connection, world: World) -> ScoreGrid:
    """The scores of a world, written in columns."""
    benchmark_id, _ = catalog.find_benchmark(connection, None)
    queries = sorted(catalog.stored_queries(connection, benchmark_id).values(), key=lambda query: query.id)
    names = sorted({name for name, _ in world.scores}, key=lambda name: experts.find_expert(connection, name))
    ids = [experts.find_expert(connection, name) for name in names]
    grid = ScoreGrid(
        np.array([query.id for query in queries]),
        np.array([query.stratum_id for query in queries]),
        np.array(ids, dtype=np.int64),
        np.array([responses.ensure_run(connection, id_, benchmark_id, {"run": 1}) for id_ in ids], dtype=np.int64),
        np.array([[world.scores.get((name, q.key), np.nan) for name in names] for q in queries]),
    )
    grid.write(connection)
    aggregates.refresh(connection, [benchmark_id], grid.changed(), {benchmark_id: grid})
    return grid


@settings(max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds().filter(lambda world: world.batches), data=st.data())
def test_aggregates_equal_those_of_sql(store: Store, world: World, data: st.DataObject) -> None:
    clear(store)
    batches, world.batches = world.batches, []
    fill(store, world)
    world.batches = batches
    with pytest.MonkeyPatch.context() as patched, store.writing() as connection:
        patched.setattr(score_grid, "_EXPERTS_AT_ONCE", data.draw(st.sampled_from([1, 2, 100])))
        patched.setattr(score_grid, "_CELLS_AT_ONCE", data.draw(st.sampled_from([1, 5, 1000])))
        grid = written(connection, world)
        found = content(connection)
        assert len(found[0]) == len(world.scores)
        for table in AGGREGATES:
            connection.execute(delete(table))
        aggregates.refresh(connection, [catalog.find_benchmark(connection, None)[0]], grid.changed())
        assert content(connection) == found


def test_scores_of_another_run_are_replaced(store: Store) -> None:
    with store.writing() as connection:
        experts.add_expert(connection, experts.ExpertRow("a", "recorded"))
        expert_id = experts.find_expert(connection, "a")
        benchmark_id = catalog.ensure_benchmark(connection, "bench")
        queries = [Query(key, "law", key, split=Split.TRAIN) for key in ("q1", "q2")]
        stored = list(catalog.add_queries(connection, benchmark_id, queries).values())
        first, second = (responses.ensure_run(connection, expert_id, benchmark_id, {"run": run}) for run in (1, 2))
        responses.write_scores(connection, expert_id, first, [NewScore(q.id, q.stratum_id, 0.0) for q in stored])
        ids, strata = np.array([q.id for q in stored]), np.array([q.stratum_id for q in stored])
        ScoreGrid(ids, strata, np.array([expert_id]), np.array([second]), np.array([[np.nan], [0.25]])).write(
            connection
        )
        rows = connection.execute(select(Score.run_id, Score.value).order_by(Score.query_id)).all()
        assert list(map(tuple, rows)) == [(first, 0.0), (second, 0.25)]
