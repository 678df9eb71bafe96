"""The figures of a pool: intervals, oracles and the hull, against calculations by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import report_worlds
import tables

from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.services.report.pool import Ranked, cost_hull, independent_oracle, pool_figures, wilson_interval
from benchcoe_jobs.store.session import Store


def test_the_interval_of_a_mean_is_wilsons() -> None:
    assert wilson_interval(0.1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)  # 1 of 10, as in textbooks
    assert wilson_interval(1.0, 5)[1] == 1.0


def test_independent_guessers_are_right_with_the_accuracies_of_each_subject() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    found = independent_oracle(scores, np.array([0, 0, 1]))
    assert found.tolist() == [0.5, 0.5, 1.0]


def ranked(name: str, cost: float | None, accuracy: float) -> Ranked:
    return Ranked(name, 10, 1.0, accuracy, 0.0, 1.0, cost, None, None, accuracy, cost)


def test_the_hull_has_the_experts_that_no_mix_of_others_reaches() -> None:
    experts = [ranked("a", 1.0, 0.3), ranked("b", 2.0, 0.6), ranked("c", 3.0, 0.62), ranked("d", 4.0, 0.9)]
    dearer_and_worse = ranked("e", 5.0, 0.8)
    assert cost_hull([*experts, dearer_and_worse]) == ["a", "b", "d"]
    assert cost_hull([*experts, ranked("f", None, 0.9)]) == [], "a cost is unknown"


def test_experts_and_oracles_of_a_store(store: Store, tmp_path: Path) -> None:
    report_worlds.fill(store, tmp_path)
    with store.reading() as connection:
        found = pool_figures(connection, find_scope(connection, "all", None, "train"), "test")
    assert [(e.expert, e.accuracy, e.n, e.cost) for e in found.experts] == [
        ("ann", 0.7, 40, 2.0),
        ("bob", 0.7, 40, 3.0),
        ("eve", 0.2, 40, 1.0),
    ]
    assert (found.best_single, found.n, found.hull) == ("ann", 40, ["eve", "ann"])
    assert {row.name: round(row.accuracy, 6) for row in found.reached} == {
        "a random expert": round(1.6 / 3, 6),
        "the best single expert": 0.7,
        "the subject oracle": 0.95,
        "the oracle": 0.95,
        "the oracle of independent guessers": round((1 + 1 - 0.6 * 0.1 * 0.8) / 2, 6),
    }
    assert (found.experts[0].tokens_read, found.experts[0].tokens_written) == (10.0, 5.0)


def test_only_queries_with_every_score_are_compared(store: Store, tmp_path: Path) -> None:
    tables.add_experts(store, ann=None, bob=None)
    rows = [
        {"key": f"{split}{n}", "text": f"{split} {n}", "subject": "maps", "split": split}
        for split in ("train", "test")
        for n in range(4)
    ]
    tables.bring(store, tmp_path, "ann", *(row | {"score": float(n % 2)} for n, row in enumerate(rows)))
    tables.bring(store, tmp_path, "bob", *(row | {"score": 1.0} for row in rows[:6]))
    with store.reading() as connection:
        found = pool_figures(connection, find_scope(connection, "all", None, "train"), "test")
    assert found.n == 2
    assert [(e.expert, e.n, e.accuracy, e.compared_accuracy) for e in found.experts] == [
        ("bob", 2, 1.0, 1.0),
        ("ann", 4, 0.5, 0.5),
    ]
