"""Sums, ranks and query labels: merged step by step they equal those of a rebuild."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, delete, select

from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import PoolRank, QueryBest, Score, ScoreSum

TABLES = (ScoreSum, PoolRank, QueryBest)


def content(connection: Connection) -> list[list[Any]]:
    return [sorted(map(tuple, connection.execute(select(table.__table__)))) for table in TABLES]


def rebuild(connection: Connection) -> None:
    for table in TABLES:
        connection.execute(delete(table))
    changed = {tuple(row) for row in connection.execute(select(Score.expert_id, Score.stratum_id).distinct())}
    aggregates.refresh(connection, [catalog.find_benchmark(connection, None)[0]], changed)


def test_merging_equals_a_rebuild(filled: Store) -> None:
    with filled.writing() as connection:
        merged = content(connection)
        assert all(merged)
        rebuild(connection)
        assert content(connection) == merged


@pytest.mark.parametrize("few_strata", [False, True])
def test_changed_scores_rebuild_their_stratum(filled: Store, few_strata: bool) -> None:
    with filled.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        expert_id, query = experts.find_expert(connection, "b"), catalog.stored_queries(connection, benchmark_id)["q1"]
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": 9})
        responses.write_scores(connection, expert_id, run_id, [NewScore(query.id, query.stratum_id, 1.0)])
        before, changed = content(connection), {(expert_id, query.stratum_id)}
        if few_strata:
            aggregates.refresh_strata(connection, changed)
        else:
            aggregates.refresh(connection, [benchmark_id], changed)
        merged = content(connection)
        in_all = PoolRank.pool_id == experts.find_pool(connection, "all").id
        best = select(PoolRank.expert_id).where(in_all, PoolRank.stratum_id == query.stratum_id, PoolRank.rank == 1)
        assert connection.scalars(best).one() == expert_id, "it has overtaken the cheaper expert"
        rebuild(connection)
        assert content(connection) == merged != before


def test_nothing_changed_changes_nothing(filled: Store) -> None:
    with filled.writing() as connection:
        before = content(connection)
        aggregates.refresh_strata(connection, [])
        aggregates.refresh(connection, [catalog.find_benchmark(connection, None)[0]])
        assert content(connection) == before


def test_an_expert_that_leaves_its_pools_leaves_the_ranking(filled: Store) -> None:
    with filled.writing() as connection:
        expert_id = experts.find_expert(connection, "a")
        experts.set_retired(connection, "a", True)
        assert not connection.scalars(select(PoolRank.rank).where(PoolRank.expert_id == expert_id)).all()
        assert not connection.scalars(select(QueryBest.value).where(QueryBest.expert_id == expert_id)).all()
        assert connection.scalars(select(ScoreSum.n).where(ScoreSum.expert_id == expert_id)).all(), "sums stay"
