"""The best mix of ways to answer at a cost."""

from __future__ import annotations

import numpy as np
import pytest

from benchcoe_jobs.services.evaluation.equal_cost import best_mix

SCORES = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
COSTS = np.array([[1.0, 5.0, 3.0], [1.0, 5.0, 3.0]])  # the second way costs most, and is worse than the third


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(0.5, [0.0, 0.0]), (1.0, [0.0, 0.0]), (2.0, [0.5, 0.5]), (3.0, [1.0, 1.0]), (9.0, [1.0, 1.0])],
)
def test_by_hand(cost: float, expected: list[float]) -> None:
    np.testing.assert_allclose(best_mix(SCORES, COSTS, cost), expected)
