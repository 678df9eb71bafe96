"""Intervals hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from benchcoe_jobs.services.quote.interval import Interval, _quantile, added, of_alike, of_sample


@pytest.mark.parametrize("degrees", [1, 2, 5, 19, 1000])
def test_the_quantile_is_that_of_students_t(degrees: int) -> None:
    assert _quantile(degrees) == pytest.approx(t.ppf(0.9, degrees), rel=0.05 if degrees == 1 else 0.004)


@pytest.mark.parametrize(("known", "n", "per_draw"), [(20, 500, 1), (200, 50, 1), (160, 800, 8)])
def test_four_in_five_totals_are_in_the_interval(known: int, n: int, per_draw: int) -> None:
    """Tokens of answers are skewed: a log-normal distribution. Answers of a micro-batch have the same time."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        values = np.repeat(rng.lognormal(5.0, 0.6, (known + n) // per_draw), per_draw)
        interval = of_sample(values[:known].tolist(), n, per_draw)
        held += interval.low <= values[known:].sum() <= interval.high
    assert 740 <= held <= 850


def test_one_micro_batch_says_nothing_of_the_spread() -> None:
    found = of_sample([2.0] * 20, 100, per_draw=64)
    assert (found.value, found.low, found.high) == pytest.approx((200.0, 200 / 3, 600.0))


def test_an_expert_like_others() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        means = rng.lognormal(5.0, 0.8, 6)
        interval = of_alike(means[:5].tolist(), 10)
        held += interval.low <= 10 * means[5] <= interval.high
    assert 760 <= held <= 840
    one = of_alike([3.0], 2)
    assert (one.value, one.low, one.high) == pytest.approx((6.0, 2.0, 18.0))


def test_sums_of_independent_totals() -> None:
    assert added([Interval(10, 7, 14), Interval(20, 16, 23)]) == Interval(30, 25, 35)
    assert added([Interval(1, 0, 9)]).times(2) == Interval(2, 0, 18)
