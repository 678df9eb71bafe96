"""How sure a label or a gain is, by resampling queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.domain import MICRO
from benchcoe_jobs.store.labels import Contender

RESAMPLES = 1000
SIGMAS = 4.0
CONFIDENCE = 0.95
SEED = 0


def within_reach(ranked: Sequence[Contender]) -> list[Contender]:
    """Those of a ranking (best first) that a resample could put on top.

    An expert more than four standard errors behind wins about one resample in 30,000. Scores lie
    in [0, 1], so a mean m has a variance of at most m (1 - m) / n, and experts' scores on the same
    queries correlate positively, which only narrows the difference.
    """
    best = ranked[0]
    return [
        c for c in ranked if best.mean - c.mean <= SIGMAS * np.sqrt((_spread(c) + _spread(best)) / min(c.n, best.n))
    ]


def _spread(contender: Contender) -> float:
    return max(contender.mean * (1 - contender.mean), 1.0 / contender.n)


def flip_rate(rows: Iterable[tuple[int, int, float]], close: Sequence[Contender]) -> float:
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


def _matrix(rows: Iterable[tuple[int, int, float]], expert_ids: Sequence[int]) -> NDArray[np.float64]:
    """(queries, experts) in whole micro-units, NaN where an expert has no score."""
    table = np.array([tuple(row) for row in rows], dtype=np.float64).reshape(-1, 3)
    queries, row_of = np.unique(table[:, 1], return_inverse=True)
    column_of = {expert_id: column for column, expert_id in enumerate(expert_ids)}
    matrix = np.full((len(queries), len(expert_ids)), np.nan)
    matrix[row_of, [column_of[int(expert)] for expert in table[:, 0]]] = np.round(table[:, 2] * MICRO)
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
    if len(patterns) * 8 < n:
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
