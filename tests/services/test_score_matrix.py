"""Scores as a matrix, and the subject oracle on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tables import add_experts, bring

from benchcoe_jobs.services.score_matrix import ScoreMatrix, fill, read_matrix, subject_oracle
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store

NAN = np.nan


def test_rows_fill_their_cells_and_others_are_ignored() -> None:
    rows = [(7, 1, 1.0), (5, 2, 0.5), (9, 1, 1.0), (5, 3, 1.0)]
    np.testing.assert_array_equal(fill(rows, [5, 7], [2, 1]), [[0.5, NAN], [NAN, 1.0]])


def test_without_rows_queries_or_experts() -> None:
    assert np.isnan(fill([], [1, 2], [3])).all()
    assert fill([(1, 3, 1.0)], [], [3]).shape == (0, 1)
    assert fill([(1, 3, 1.0)], [1], []).shape == (1, 0)


CELLS = st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 4)), st.floats(0, 1))


@given(CELLS, st.permutations(range(6)), st.permutations(range(4)), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(cells: dict, queries: list[int], experts: list[int], luck) -> None:
    rows = [(query, expert, score) for (query, expert), score in cells.items()]
    expected = [[cells.get((query, expert), NAN) for expert in experts] for query in queries]
    luck.shuffle(rows)
    np.testing.assert_array_equal(fill(rows, queries, experts), expected)


def test_the_subject_oracle_by_hand() -> None:
    scores = np.array([[1, 0], [1, 0], [0, 1], [0.5, 0.5], [0, 1]], dtype=float)
    # Subject 0: rows 0, 2 and 4, on which the second expert is better. Subject 1: a tie on row 3, which is the first's.
    np.testing.assert_array_equal(subject_oracle(scores, np.array([0, 2, 0, 1, 0])), [0, 1, 1, 0.5, 1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=20))
def test_the_subject_oracle_is_between_the_best_expert_and_the_oracle(rows: list[tuple[int, int, int]]) -> None:
    scores = np.array([row[1:] for row in rows], dtype=float)
    _, codes = np.unique([row[0] for row in rows], return_inverse=True)
    found = subject_oracle(scores, codes)
    assert scores.mean(axis=0).max() <= found.mean() <= scores.max(axis=1).mean()
    assert (found <= scores.max(axis=1)).all()


def matrix() -> ScoreMatrix:
    queries = [QueryRef(n, f"k{n}", subject, "test", 1) for n, subject in enumerate(("maps", "math", "maps"))]
    return ScoreMatrix(["ann", "bob", "eve"], queries, np.array([[1, 0, NAN], [0, NAN, NAN], [1, 1, NAN]]))


def test_experts_and_queries_are_left_out() -> None:
    assert matrix().without_scores() == {"eve"}
    two = matrix().without({"eve"})
    assert two.experts == ["ann", "bob"]
    complete = two.complete()
    assert [query.key for query in complete.queries] == ["k0", "k2"]
    assert complete.column("bob").tolist() == [0, 1]
    assert matrix().complete().queries == []
    assert matrix().subject_codes().tolist() == [0, 1, 0]


def test_it_is_read_in_the_order_of_the_import(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    rows = [
        {"key": key, "text": key, "subject": "maps", "split": split, "score": score}
        for key, split, score in (("b", "test", 1), ("a", "train", 0), ("c", "test", 0.5))
    ]
    bring(store, tmp_path, "ann", *rows)
    bring(store, tmp_path, "bob", rows[2])
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "toy")
        ids = experts.expert_ids(connection)
        every = read_matrix(connection, benchmark_id, {name: ids[name] for name in ("bob", "ann")})
        tested = read_matrix(connection, benchmark_id, {"ann": ids["ann"]}, "test")
    assert (every.experts, [query.key for query in every.queries]) == (["bob", "ann"], ["b", "a", "c"])
    np.testing.assert_array_equal(every.values, [[NAN, 1], [NAN, 0], [0.5, 0.5]])
    assert [(query.key, query.split) for query in tested.queries] == [("b", "test"), ("c", "test")]
    assert tested.column("ann").tolist() == [1, 0.5]
