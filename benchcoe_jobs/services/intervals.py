"""Bootstrap intervals of means."""

from __future__ import annotations

import numpy as np

from benchcoe_jobs.arrays import Floats

RESAMPLES = 500
CONFIDENCE = 0.95
SEED = 0


def clustered_interval(totals: Floats, counts: Floats) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval of sum(totals) / sum(counts), both (n,), over resamples of the n pairs.

    For queries that were measured several times: the measurements of a query are not independent, and are drawn
    together. Returns (low, high).
    """
    rng = np.random.default_rng(SEED)
    n = len(totals)
    drawn = [rng.multinomial(n, np.full(n, 1.0 / n)) for _ in range(4 * RESAMPLES)]
    means = [float(weights @ totals) / max(float(weights @ counts), 1.0) for weights in drawn]
    return percentile_interval(np.array(means))


def resampled_means(columns: Floats) -> Floats:
    """The means of columns (n, k) over bootstrap resamples of the n rows: (resamples, k).

    For figures that are computed from several means, whose interval is `percentile_interval` of what they are then.
    """
    rng = np.random.default_rng(SEED)
    n = len(columns)
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) @ columns for _ in range(4 * RESAMPLES))
    return np.array(list(drawn)) / n


def percentile_interval(resampled: Floats) -> tuple[float, float]:
    """The 95 % interval (low, high) of a figure, from its values (resamples,) in bootstrap resamples."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def mean_interval(values: Floats) -> tuple[float, float]:
    """The 95 % percentile-bootstrap interval (low, high) of the mean of values (n,), such as paired differences."""
    from scipy import stats

    if len(values) < 2 or np.all(values == values[0]):
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4 * RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)
