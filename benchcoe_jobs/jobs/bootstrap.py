"""How sure a label or a gain is, by resampling queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import MICRO
from benchcoe_jobs.store.labels import Contender

RESAMPLES = 1000
SIGMAS = 3.0
CONFIDENCE = 0.95
SEED = 0


def within_reach(ranked: Sequence[Contender]) -> list[Contender]:
    """Those of a ranking (best first) that a resample could put on top.

    Scores lie in [0, 1], so a mean m has a variance of at most m (1 - m) / n. Three standard errors
    of the difference of independent means are meant; experts' scores on the same queries correlate
    positively (about 0.4 on MMLU-Pro), so in truth it is nearly four, one resample in 10,000.
    """
    best = ranked[0]
    return [
        c for c in ranked if best.mean - c.mean <= SIGMAS * np.sqrt((_spread(c) + _spread(best)) / min(c.n, best.n))
    ]


def _spread(contender: Contender) -> float:
    return max(contender.mean * (1 - contender.mean), 1.0 / contender.n)


def flip_rate(rows: Sequence[tuple[int, int, float]], close: Sequence[Contender]) -> float:
    """Share of bootstrap resamples of a subject's queries in which another expert gets the label.

    `rows` are (expert id, query id, score) of the contenders in `close`, best first. Resamples are
    decided by the label's own rule: highest mean, then lower cost, then name.
    """
    if len(close) < 2:
        return 0.0
    by_tie_break = sorted(close, key=lambda c: (c.cost is None, c.cost, c.expert))
    totals, counts = _resampled(_matrix(rows, [c.expert_id for c in by_tie_break]))
    winners = np.argmax(totals / np.maximum(counts, 1), axis=1)  # the first of equals
    return float(np.mean(winners != by_tie_break.index(close[0])))


def _matrix(rows: Sequence[tuple[int, int, float]], expert_ids: Sequence[int]) -> NDArray[np.float64]:
    """(queries, experts) in whole micro-units, NaN where an expert has no score."""
    experts, queries, values = (np.array(column) for column in zip(*rows, strict=True))  # 10 times np.array(rows)
    distinct, row_of = np.unique(queries, return_inverse=True)
    matrix = np.full((len(distinct), len(expert_ids)), np.nan)
    by_id = np.argsort(expert_ids)
    column = by_id[np.searchsorted(np.asarray(expert_ids)[by_id], experts)]
    matrix[row_of, column] = np.round(values * MICRO)
    return matrix


def _resampled(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and counts of each column in each resample, both (RESAMPLES, experts).

    Many queries have few distinct score patterns: how often each is drawn is one multinomial.
    Few queries have nearly as many patterns as queries: drawing the queries is then faster.
    Sums of whole numbers are exact, so equal means stay equal.
    """
    rng = np.random.default_rng(SEED)
    n = len(matrix)
    patterns, frequency = np.unique(matrix, axis=0, return_counts=True, equal_nan=True)
    if len(patterns) * 4 < n:
        weights = rng.multinomial(n, frequency / n, size=RESAMPLES)
    else:
        patterns = matrix
        drawn = rng.integers(0, n, size=(RESAMPLES, n)) + np.arange(RESAMPLES)[:, None] * n
        weights = np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    known = ~np.isnan(patterns)
    drawn_weights = weights.astype(np.float64)
    return drawn_weights @ np.where(known, patterns, 0.0), drawn_weights @ known.astype(np.float64)


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of paired differences, (n,) -> (low, high)."""
    from scipy import stats

    if len(values) < 2 or np.all(values == values[0]):
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=2 * RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)
