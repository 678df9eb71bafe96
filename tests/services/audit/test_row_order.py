"""Experts in another order are recognised from the scores alone, and it is known which order is wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from audit_worlds import N, correlated, gathered, interleaved, matrix_of

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.audit.log_order import Numbering, Order
from benchcoe_jobs.services.audit.row_order import UnrelatedExpert, share_between_subjects, unrelated_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef

LAYOUTS = [(workers, layout) for workers in (2, 4, 8) for layout in ("gathered", "interleaved")]


def in_log_order(matrix: ScoreMatrix, expert: str, order: Order) -> None:
    """Store an expert's scores as a log in this order has them."""
    values = matrix.column(expert).copy()
    stored, true = Numbering.of(matrix.queries).true_rows(~np.isnan(values), order)
    matrix.values[stored, matrix.experts.index(expert)] = values[true]


def restored(matrix: ScoreMatrix, found: UnrelatedExpert) -> Floats:
    assert found.order is not None
    return Numbering.of(matrix.queries).restored(matrix.column(found.expert), found.order)


@pytest.mark.parametrize(("workers", "layout"), LAYOUTS)
@pytest.mark.parametrize("n", [1201, 1206])  # not divisible by the workers
@pytest.mark.parametrize("within", ["benchmark", "subject"])
def test_every_order_is_recognised(workers: int, layout: str, n: int, within: str) -> None:
    """An order within subjects does not change their means: only experts that are trusted show what is right."""
    queries = [QueryRef(n - i, f"k{i}", "maps" if i < n / 2 else "math", "train", 1) for i in range(n)]
    values = np.array(list(correlated(n, ann=0.6, bob=0.7, cat=0.55, dan=0.6).values())).T
    values[::7, 3] = np.nan
    right = values.copy()
    matrix = ScoreMatrix(["ann", "bob", "cat", "dan"], queries, values)
    in_log_order(matrix, "dan", Order(workers, layout, "key", "own", within))
    [found] = unrelated_experts(matrix, {"ann"})
    assert (found.expert, found.reference, found.doubt) == ("dan", ("ann", "bob", "cat"), None)
    np.testing.assert_array_equal(restored(matrix, found), right[:, 3])
    [without_trust] = unrelated_experts(matrix)
    assert without_trust.order == found.order
    if within == "benchmark":
        assert without_trust.doubt is None
    else:
        assert "nothing says which order is right" in str(without_trust.doubt)


def logs(scores: dict[str, list[float]], **workers: int) -> dict[str, list[float]]:
    """The scores of some experts as the gathered logs of these numbers of workers have them."""
    return scores | {name: [scores[name][i] for i in gathered(len(scores[name]), w)] for name, w in workers.items()}


@pytest.mark.parametrize(
    "workers",
    [
        {"bob": 8},
        {"bob": 8, "cat": 8},
        {"bob": 4, "cat": 4, "dan": 4},
        {"bob": 2, "cat": 2, "dan": 8},
        {"bob": 2, "cat": 4, "dan": 8},
    ],
)
def test_the_natural_order_is_right_also_if_few_files_have_it(workers: dict[str, int]) -> None:
    right = correlated(2400, ann=0.6, bob=0.7, cat=0.55, dan=0.65)
    matrix = matrix_of(**logs(right, **workers))
    found = unrelated_experts(matrix)
    assert {expert.expert for expert in found} == set(workers)
    for expert in found:
        assert expert.doubt is None
        assert expert.share_restored is not None
        assert expert.share < expert.share_restored
        assert restored(matrix, expert).tolist() == right[expert.expert]


def test_no_file_is_in_the_natural_order() -> None:
    """The order in which all vary more between subjects is found, not that of the largest group."""
    right = correlated(2400, ann=0.6, bob=0.7, cat=0.55, dan=0.65)
    matrix = matrix_of(**logs(right, ann=4, bob=4, cat=4, dan=8))
    found = unrelated_experts(matrix)
    assert [(expert.expert, expert.doubt) for expert in found] == [
        (name, None) for name in ("ann", "bob", "cat", "dan")
    ]
    for expert in found:
        assert restored(matrix, expert).tolist() == right[expert.expert]


def test_trusted_experts_are_right_also_if_they_are_few() -> None:
    """The subjects are equally hard, so that only the trusted expert shows which order is right."""
    right = correlated(2400, harder=0.0, ann=0.4, bob=0.35, cat=0.3, dan=0.45)
    matrix = matrix_of(**logs(right, bob=2, cat=2, dan=2))
    found = unrelated_experts(matrix, {"ann"})
    assert [(expert.expert, expert.doubt) for expert in found] == [("bob", None), ("cat", None), ("dan", None)]
    assert all(restored(matrix, expert).tolist() == right[expert.expert] for expert in found)
    assert all(expert.doubt is not None for expert in unrelated_experts(matrix))
    assert unrelated_experts(matrix, {"ann", "bob", "cat", "dan"}) == [], "a trusted expert is not suspected"


def test_an_order_that_lowers_the_share_between_subjects_is_refused() -> None:
    """The trusted expert says nothing against experts whose subjects differ as they should."""
    right = correlated(2400, ann=0.6, bob=0.7, cat=0.55, dan=0.65)
    found = unrelated_experts(matrix_of(**logs(right, ann=8)), {"ann"})
    assert [expert.expert for expert in found] == ["bob", "cat", "dan"]
    assert all(expert.lowers and not expert.is_certain for expert in found)
    assert "so the others are in another order" in str(found[0].doubt)


def test_an_expert_of_an_unknown_order() -> None:
    one = correlated(seed=1, ann=0.6, bob=0.7)
    [found] = unrelated_experts(matrix_of(**one, cat=shuffled(correlated(seed=2, cat=0.6)["cat"])))
    assert (found.expert, found.order, found.restored, found.is_certain) == ("cat", None, None, True)
    assert abs(found.correlation) < 0.1
    assert found.usual is not None
    assert found.usual > 0.1
    assert found.doubt == "no known order restores the correlation"


def shuffled(values: Sequence[float]) -> list[float]:
    return random.Random(1).sample(values, len(values))


def test_experts_that_are_related_to_no_other_are_no_reference() -> None:
    luck = random.Random(3)
    alone = {name: [float(luck.random() < 0.5) for _ in range(N)] for name in ("ann", "bob", "cat")}
    assert unrelated_experts(matrix_of(**alone)) == []
    assert unrelated_experts(matrix_of(**alone), {"ann"}) == []
    twice = alone | {"bob": alone["ann"]}
    assert unrelated_experts(matrix_of(**twice)) == [], "one file under two names"
    by_subject = {"eve": [float(i < N / 2) for i in range(N)]}  # all of its variance is between subjects
    related = correlated(ann=0.6, bob=0.7)
    assert unrelated_experts(matrix_of(**related, **by_subject))[0].reference == ("ann", "bob")


def test_the_share_of_variance_between_subjects() -> None:
    subjects = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    assert share_between_subjects(np.array([0.0, 0, 0, 0, 1, 1, 1, 1, np.nan]), subjects) == 1.0
    # Sums of squares: 2 in all, 0.5 between the two subjects, 1.5 within them on 6 degrees of freedom.
    some = np.array([1.0, 1, 1, 0, 1, 0, 0, 0, np.nan])
    assert share_between_subjects(some, subjects) == pytest.approx((0.5 - 1.5 / 6) / 2)
    assert share_between_subjects(np.ones(9), subjects) == 0.0
    assert share_between_subjects(np.full(9, np.nan), subjects) == 0.0
    assert share_between_subjects(np.arange(9.0), np.arange(9)) == 0.0, "one score of each subject says nothing"


def test_interleaved_logs_are_told_from_gathered_ones() -> None:
    right = correlated(2400, ann=0.6, bob=0.7, cat=0.55)
    log = right | {"cat": [right["cat"][i] for i in interleaved(2400, 4)]}
    [found] = unrelated_experts(matrix_of(**log))
    assert found.order == Order(4, "interleaved", "key", "own", "benchmark")
