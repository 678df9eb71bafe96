"""Estimates in place of means: what the views make of them, and when they end."""

from __future__ import annotations

from typing import Any

import pytest
from label_worlds import World, fill
from sqlalchemy import Connection, select

from benchcoe_jobs.store.removal.results import remove_expert
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses, settling
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.results.settling import HeldEstimate, RivalRow, StratumEstimate
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.views import (
    expert_coverage,
    expert_subject_score,
    query_label,
    subject_label,
    subject_label_abstain,
)

N = 20
BOUNDS = {"n": 4, "low": 0.7, "high": 0.95, "confidence": 0.999}


@pytest.fixture
def world(store: Store) -> Store:
    """`old` is right on half of law, `new` on three of the four questions that it was asked."""
    keys = [f"q{number:02}" for number in range(N)]
    fill(
        store,
        World(
            queries=dict.fromkeys(keys, ("law", "train")),
            costs={"old": 1.0, "new": 2.0},
            pools={"all": ({"old", "new"}, 0.95), "one": ({"old"}, 0.95)},
            batches=[
                ("old", {key: float(number % 2) for number, key in enumerate(keys)}),
                ("new", {"q00": 1.0, "q01": 0.0, "q02": 1.0, "q03": 1.0}),
            ],
        ),
    )
    return store


def estimate(connection: Connection, mean: float, **values: Any) -> tuple[int, int]:
    """Store an estimate of `new` on law; its ids."""
    expert_id = experts.find_expert(connection, "new")
    c = expert_subject_score.c
    stratum_id = connection.scalars(select(c.stratum_id).where(c.expert_id == expert_id)).one()
    settling.store_estimate(connection, expert_id, stratum_id, **(BOUNDS | {"mean": mean} | values))
    aggregates.refresh_strata(connection, {(expert_id, stratum_id)})
    return expert_id, stratum_id


def label(connection: Connection) -> tuple[Any, ...]:
    c = subject_label.c
    wanted = select(c.expert, c.source, c.n, c.n_queries, c.mean, c.low, c.high).where(c.pool == "all")
    return tuple(connection.execute(wanted).one())


def answer_all_but(connection: Connection, left: int) -> None:
    """Give `new` the score 0 on the other questions, without the last `left`."""
    expert_id, (benchmark_id, _) = experts.find_expert(connection, "new"), catalog.find_benchmark(connection, None)
    queries = catalog.stored_queries(connection, benchmark_id)
    run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"run": "later"})
    scores = [NewScore(queries[f"q{n:02}"].id, queries["q00"].stratum_id, 0.0) for n in range(4, N - left)]
    responses.write_scores(connection, expert_id, run_id, scores)
    aggregates.refresh_strata(connection, {(expert_id, queries["q00"].stratum_id)})


def test_a_part_without_an_estimate_wins_nothing(world: Store) -> None:
    with world.reading() as connection:
        assert label(connection)[:3] == ("old", "measured", N)


def test_an_estimate_wins_or_loses_the_subject(world: Store) -> None:
    with world.writing() as connection:
        estimate(connection, 0.8)
        assert label(connection) == ("new", "estimated", 4, N, 0.8, 0.7, 0.95)
        c = subject_label_abstain.c
        assert connection.scalars(select(c.expert).where(c.pool == "all")).one() == "new", "its bounds are above"
        c = expert_coverage.c
        cover = select(c.n_scored, c.coverage, c.stopped_early).where(c.expert == "new")
        assert tuple(connection.execute(cover).one()) == (4, 0.2, 1)
        estimate(connection, 0.4, low=0.3, high=0.49)
        assert label(connection) == ("old", "measured", N, N, 0.5, 0.5, 0.5)


def test_labels_of_queries_use_only_what_was_measured(world: Store) -> None:
    with world.writing() as connection:
        estimate(connection, 0.8)
        c = query_label.c
        found = dict(connection.execute(select(c.key, c.expert).where(c.pool == "all")).all())
        assert {key for key, expert in found.items() if expert == "new"} == {"q00", "q02", "q03"}
        assert len(found) == N


def test_scores_of_nearly_all_queries_take_the_place_of_an_estimate(world: Store) -> None:
    with world.writing() as connection:
        estimate(connection, 0.8)
        answer_all_but(connection, left=2)
        assert label(connection)[:2] == ("new", "estimated")
        answer_all_but(connection, left=1)
        assert label(connection)[:2] == ("old", "measured")


def test_scores_that_are_replaced_end_an_estimate(world: Store) -> None:
    with world.writing() as connection:
        pair = estimate(connection, 0.8)
        aggregates.refresh(connection, [catalog.find_benchmark(connection, None)[0]], {pair})
        assert label(connection)[0] == "old"
        assert settling.estimates(connection, pair[0], [pair[1]]) == {}


def test_an_estimate_is_removed_with_its_expert(world: Store) -> None:
    with world.writing() as connection:
        expert_id, _ = estimate(connection, 0.8)
        remove_expert(connection, expert_id, "new")
        assert connection.execute(select(StratumEstimate.n)).all() == []
        assert label(connection)[0] == "old"


def test_rivals_and_bounds(world: Store) -> None:
    with world.writing() as connection:
        expert_id, stratum_id = estimate(connection, 0.8)
        old, pool = experts.find_expert(connection, "old"), experts.find_pool(connection, "all")
        assert settling.rivals(connection, expert_id, [stratum_id]) == [RivalRow(pool.id, stratum_id, 0.5, 0.5)]
        assert RivalRow(pool.id, stratum_id, 0.7, 0.95) in settling.rivals(connection, old, [stratum_id])
        assert settling.estimates(connection, expert_id, [stratum_id]) == {stratum_id: HeldEstimate(0.7, 0.95, 0.999)}
        assert settling.winners(connection, expert_id, [stratum_id]) == {stratum_id: old}
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        assert settling.most_scored(connection, benchmark_id, "train", expert_id, 5) == [old]
        [state] = settling.subject_states(connection, expert_id, benchmark_id, "train")
        assert state == ("law", 4, N, 0.8, 0.7, 0.95, True, "new")
