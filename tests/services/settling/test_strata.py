"""What a round is made of, and what comes back from it."""

from __future__ import annotations

import numpy as np
import pytest
from label_worlds import World, fill

from benchcoe_jobs.services.settling.rounds import Rival, Rule
from benchcoe_jobs.services.settling.strata import ScoresSoFar
from benchcoe_jobs.store.results import catalog, experts, score_table
from benchcoe_jobs.store.session import Store

N = 50


@pytest.fixture
def so_far(store: Store) -> ScoresSoFar:
    """`new` was asked ten questions and was right on all, two more in vain; `old` is never right."""
    keys = [f"q{number:02}" for number in range(N)]
    fill(
        store,
        World(
            queries=dict.fromkeys(keys, ("law", "train")),
            costs={"old": 1.0, "new": 2.0},
            pools={"all": ({"old", "new"}, 0.95)},
            batches=[("old", dict.fromkeys(keys, 0.0)), ("new", dict.fromkeys(keys[:10], 1.0))],
        ),
    )
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, None)
        queries = score_table.query_refs(connection, benchmark_id, "train")
        errors = {query.id for query in queries if query.key in keys[8:12]}
        return ScoresSoFar.read(connection, benchmark_id, experts.find_expert(connection, "new"), queries, errors)


def test_what_is_known_has_scores_errors_and_predictions(so_far: ScoresSoFar) -> None:
    [stratum] = so_far.rows
    assert np.nansum(so_far.scores) == 10
    assert so_far.errors.sum() == 2, "a score counts more than an error row"
    assert len(so_far.rest(stratum)) == N - 12
    assert (so_far.predicted < 0.5).all(), "the other expert is never right"


def test_a_round_says_what_is_known(so_far: ScoresSoFar) -> None:
    [stratum] = so_far.rows
    content = so_far.draw(stratum, np.random.default_rng(0), everything=False)
    ids = {query.id for query in so_far.queries}
    assert len(content["queries"]) == len(set(content["queries"]) & ids) == 4
    figures = (content["n_queries"], content["n_rest"], content["known"], content["n_errors"])
    assert figures == (N, N - 12, 10.0, 2)
    everything = so_far.draw(stratum, np.random.default_rng(0), everything=True)
    assert len(everything["queries"]) == N - 12


def test_a_question_that_is_drawn_again_counts_once(so_far: ScoresSoFar) -> None:
    """Twice the same round is no more evidence than once, and rounds of another number of questions are none."""
    [stratum] = so_far.rows
    scored = [query.id for query in so_far.queries][:8]
    content = {
        "queries": scored,
        "predicted": [0.5] * 8,
        "n_queries": N,
        "n_rest": N,
        "rest_sum": N / 2,
        "rest_min": 0.5,
        "rest_max": 0.5,
        "known": 0.0,
        "n_errors": 0,
    }
    rival = [Rival(0.4, 0.4)]
    loose, strict = Rule(0.8, 0.0), Rule(0.9999999, 0.0)
    once = so_far.estimate(stratum, [content], rival, loose)
    assert once is not None
    assert so_far.estimate(stratum, [content, content, content], rival, strict) is None
    assert so_far.estimate(stratum, [content | {"n_queries": N + 1}], rival, loose) is None
