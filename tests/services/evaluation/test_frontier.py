"""The upper hull of accuracy against cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.services.evaluation.frontier import Frontier

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12)


def test_corners_mixes_and_area_by_hand() -> None:
    found = Frontier.of(np.array([4.0, 1.0, 2.0, 3.0, 5.0]), np.array([0.8, 0.2, 0.6, 0.6, 0.8]))
    assert found.points.tolist() == [1, 2, 0]  # 3 is below the line from 2 to 0, and 4 costs more than 0
    assert (found.accuracy_at(0.5), found.accuracy_at(1.5), found.accuracy_at(9.0)) == pytest.approx((0.2, 0.4, 0.8))
    assert (found.cost_of(0.7), found.cost_of(0.9)) == pytest.approx((3.0, 4.0))
    assert found.mean_accuracy(1.0, 5.0) == pytest.approx((0.4 + 0.7 * 2 + 0.8) / 4)
    assert found.mean_accuracy(2.0, 2.0) == pytest.approx(0.6)


@given(POINTS)
def test_no_point_lies_above_and_every_corner_is_a_point(points: list[tuple[int, int]]) -> None:
    costs, accuracies = np.array(points, dtype=np.float64).T
    found = Frontier.of(costs, accuracies)
    assert all(found.accuracy_at(c) >= a - 1e-9 for c, a in zip(costs, accuracies, strict=True))
    assert np.array_equal(costs[found.points], found.costs)
    assert (np.diff(found.costs) > 0).all()
    assert (np.diff(found.accuracies) > 0).all()
    slopes = np.diff(found.accuracies) / np.diff(found.costs)
    assert (np.diff(slopes) < 0).all()


@given(POINTS, st.randoms())
def test_the_order_of_points_does_not_matter(points: list[tuple[int, int]], random: object) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (Frontier.of(*np.array(each, dtype=np.float64).T) for each in (points, shuffled))
    assert np.array_equal(first.costs, second.costs)
    assert np.array_equal(first.accuracies, second.accuracies)
