"""Bootstrap intervals of means, of single and of repeated measurements."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchcoe_jobs.services.intervals import clustered_interval, mean_interval


def test_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=2000, p=[0.2, 0.5, 0.3])
    low, high = mean_interval(values)
    half = 1.96 * values.std() / sqrt(len(values))  # the normal approximation is good for this many
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    assert mean_interval(values) == (low, high), "the same at every call"


@pytest.mark.parametrize("values", [[0.25], [0.0, 0.0, 0.0]])
def test_the_interval_of_equal_values_is_their_value(values: list[float]) -> None:
    assert mean_interval(np.array(values)) == (values[0], values[0])


def test_the_clustered_interval_of_single_measurements_is_the_plain_one() -> None:
    values = np.random.default_rng(2).choice([-1.0, 0.0, 1.0], size=800, p=[0.2, 0.5, 0.3])
    assert clustered_interval(values, np.ones(800)) == pytest.approx(mean_interval(values), abs=0.006)


def test_repeating_the_same_measurement_does_not_narrow_the_interval() -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], size=500)
    assert clustered_interval(5 * values, np.full(500, 5.0)) == clustered_interval(values, np.ones(500))


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 5)), min_size=1, max_size=12))
def test_the_clustered_interval_lies_between_the_smallest_and_the_largest_mean(pairs: list[tuple[float, int]]) -> None:
    means = np.array([mean for mean, _ in pairs])
    counts = np.array([float(n) for _, n in pairs])
    low, high = clustered_interval(means * counts, counts)
    assert means.min() - 1e-9 <= low <= high <= means.max() + 1e-9
