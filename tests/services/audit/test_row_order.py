"""Orders of rows are recognised from the scores alone."""

from __future__ import annotations

import numpy as np
import pytest
from audit_worlds import correlated, gathered, interleaved
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.services.audit.row_order import Order, true_rows, unrelated_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef

LAYOUTS = [(workers, layout) for workers in (2, 4, 8) for layout in ("gathered", "interleaved")]


@pytest.mark.parametrize(("workers", "layout"), LAYOUTS)
@pytest.mark.parametrize("n", [1201, 1206])  # not divisible by the workers
@pytest.mark.parametrize("within", ["benchmark", "subject"])
def test_every_order_is_recognised(workers: int, layout: str, n: int, within: str) -> None:
    queries = [QueryRef(n - i, f"k{i}", "maps" if i % 3 else "math", "train", 1) for i in range(n)]
    values = np.array(list(correlated(n, ann=0.5, bob=0.6, cat=0.45, dan=0.5).values())).T
    values[::7, 3] = np.nan
    order = Order(workers, layout, "key", "own", within)
    stored, true = true_rows(queries, ~np.isnan(values[:, 3]), order)
    reordered = values.copy()
    reordered[stored, 3] = values[true, 3]
    [found] = unrelated_experts(ScoreMatrix(["ann", "bob", "cat", "dan"], queries, reordered))
    assert found.expert == "dan"
    assert found.order is not None
    restored = np.full(n, np.nan)
    stored, true = true_rows(queries, ~np.isnan(reordered[:, 3]), found.order)
    restored[true] = reordered[stored, 3]
    np.testing.assert_array_equal(restored, values[:, 3])


def test_layouts_are_those_of_a_log() -> None:
    queries = [QueryRef(i, str(i), "s", "train", 1) for i in range(11)]
    for workers in (2, 4, 8):
        for layout, log in (("gathered", gathered), ("interleaved", interleaved)):
            stored, true = true_rows(
                queries, np.ones(11, dtype=bool), Order(workers, layout, "key", "own", "benchmark")
            )
            assert [int(true[list(stored).index(row)]) for row in range(11)] == log(11, workers)


@given(
    st.lists(st.tuples(st.sampled_from(["maps", "math"]), st.booleans()), min_size=1, max_size=40).filter(
        lambda questions: any(scored for _, scored in questions)
    ),
    st.sampled_from(LAYOUTS),
    st.sampled_from(["key", "arrival"]),
    st.sampled_from(["own", "all"]),
    st.sampled_from(["benchmark", "subject"]),
)
def test_every_order_moves_each_score_once(
    questions: list[tuple[str, bool]], layout: tuple[int, str], by: str, over: str, within: str
) -> None:
    """The stored rows are all scored ones; no two go to one question; within subjects none leaves its subject."""
    queries = [QueryRef(len(questions) - i, f"k{i}", subject, "train", 1) for i, (subject, _) in enumerate(questions)]
    has_row = np.array([scored for _, scored in questions])
    stored, true = true_rows(queries, has_row, Order(*layout, by, over, within))
    assert sorted(stored.tolist()) == np.flatnonzero(has_row).tolist()
    assert len(set(true.tolist())) == len(true)
    if over == "own":
        assert has_row[true].all()
    if within == "subject":
        assert all(queries[a].subject == queries[b].subject for a, b in zip(stored, true, strict=True))


def test_keys_are_counted_by_value_and_arrival_by_id() -> None:
    queries = [QueryRef(3, "k9", "s", "train", 1), QueryRef(2, "k10", "s", "train", 1), QueryRef(1, "k2", "s", "t", 1)]
    scored = np.ones(3, dtype=bool)
    by_key, _ = true_rows(queries, scored, Order(2, "gathered", "key", "own", "benchmark"))
    by_arrival, _ = true_rows(queries, scored, Order(2, "gathered", "arrival", "own", "benchmark"))
    assert by_key.tolist() == [2, 0, 1]
    assert by_arrival.tolist() == [2, 1, 0]


def matrix_of(**scores: list[float]) -> ScoreMatrix:
    n = len(next(iter(scores.values())))
    queries = [QueryRef(i, f"k{i}", "maps", "train", 1) for i in range(n)]
    return ScoreMatrix(list(scores), queries, np.array(list(scores.values())).T)


def test_two_groups_of_equal_size_are_not_suspected() -> None:
    """Neither of two pairs is the larger group, so that neither is known to be right."""
    one, other = correlated(seed=1, ann=0.5, bob=0.6), correlated(seed=2, cat=0.5, dan=0.6)
    assert unrelated_experts(matrix_of(**one, **other)) == []
    [found] = unrelated_experts(matrix_of(**one, **correlated(seed=2, cat=0.5)))
    assert (found.expert, found.order, found.restored) == ("cat", None, None)
    assert abs(found.correlation) < 0.1 < found.usual
