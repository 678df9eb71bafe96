"""The orders of logs: which question each row has, and that no score is lost."""

from __future__ import annotations

import numpy as np
from audit_worlds import gathered, interleaved
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.services.audit.log_order import WORKERS, Numbering, Order, all_orders
from benchcoe_jobs.store.results.joins import QueryRef


def test_layouts_are_those_of_a_log() -> None:
    queries = [QueryRef(i, str(i), "s", "train", 1) for i in range(11)]
    for workers in WORKERS:
        for layout, log in (("gathered", gathered), ("interleaved", interleaved)):
            order = Order(workers, layout, "key", "own", "benchmark")
            stored, true = Numbering.of(queries).true_rows(np.ones(11, dtype=bool), order)
            assert [int(true[list(stored).index(row)]) for row in range(11)] == log(11, workers)


@given(
    st.lists(st.tuples(st.sampled_from(["maps", "math"]), st.booleans()), min_size=1, max_size=40).filter(
        lambda questions: any(scored for _, scored in questions)
    ),
    st.sampled_from(list(all_orders())),
)
def test_every_order_moves_each_score_once(questions: list[tuple[str, bool]], order: Order) -> None:
    """The stored rows are all scored ones; no two go to one question; within subjects none leaves its subject."""
    queries = [QueryRef(len(questions) - i, f"k{i}", subject, "train", 1) for i, (subject, _) in enumerate(questions)]
    has_row = np.array([scored for _, scored in questions])
    stored, true = Numbering.of(queries).true_rows(has_row, order)
    assert sorted(stored.tolist()) == np.flatnonzero(has_row).tolist()
    assert len(set(true.tolist())) == len(true)
    if order.over == "own":
        assert has_row[true].all()
    if order.within == "subject":
        assert all(queries[a].subject == queries[b].subject for a, b in zip(stored, true, strict=True))


def test_keys_are_counted_by_value_and_arrival_by_id() -> None:
    keys = ("k9", "k10", "k2")
    numbering = Numbering.of([QueryRef(3 - i, key, "s", "train", 1) for i, key in enumerate(keys)])
    scored = np.ones(3, dtype=bool)
    by_key, _ = numbering.true_rows(scored, Order(2, "gathered", "key", "own", "benchmark"))
    by_arrival, _ = numbering.true_rows(scored, Order(2, "gathered", "arrival", "own", "benchmark"))
    assert by_key.tolist() == [2, 0, 1]
    assert by_arrival.tolist() == [2, 1, 0]


def test_a_key_of_many_digits_is_a_number_too() -> None:
    keys = ("2" * 5000, "1" * 5001, "007", "x")
    numbering = Numbering.of([QueryRef(i, key, "s", "train", 1) for i, key in enumerate(keys)])
    assert numbering.by_key.tolist() == [1, 2, 0, 3]
