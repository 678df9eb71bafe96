"""How certain a subject label is, by resampling queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.domain import MICRO
from benchcoe_jobs.services.intervals import RESAMPLES, SEED
from benchcoe_jobs.store.labels.live_labels import Contender

SIGMAS = 2.4


def within_reach(ranked: Sequence[Contender]) -> list[Contender]:
    """The experts of a ranking (best first) that could be best in a resample.

    Scores lie in [0, 1], so a mean m has a variance of at most m (1 - m) / n. The standard error used here is that of
    independent means. Scores of experts on the same queries correlate positively (by about 0.4 on MMLU-Pro), so that
    2.4 of these standard errors are about three true ones: one resample in 700.
    """
    best = ranked[0]
    return [
        c for c in ranked if best.mean - c.mean <= SIGMAS * np.sqrt((_spread(c) + _spread(best)) / min(c.n, best.n))
    ]


def _spread(contender: Contender) -> float:
    return max(contender.mean * (1 - contender.mean), 1.0 / contender.n)


def flip_rate(patterns: Sequence[Sequence[float | None]], close: Sequence[Contender]) -> float:
    """The share of bootstrap resamples of a subject's queries in which another expert gets the label.

    `patterns` has the distinct score vectors of the queries: one score per contender of `close` (best first), None if
    it has none, and then the number of queries with this vector. The label of a resample is decided by the rule of
    labels: highest mean, then lower cost, then name.
    """
    if len(close) < 2:
        return 0.0
    by_tie_break = sorted(range(len(close)), key=lambda i: (close[i].cost is None, close[i].cost, close[i].expert))
    table = np.array([tuple(row) for row in patterns], dtype=np.float64)
    totals, counts = _resampled(np.round(table[:, by_tie_break] * MICRO), table[:, -1].astype(np.int64))
    winners = np.argmax(totals / np.maximum(counts, 1), axis=1)  # the first of equal ones
    return float(np.mean(winners != by_tie_break.index(0)))


def _resampled(scores: Floats, frequency: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sums and counts of each column in each resample, both (RESAMPLES, experts).

    Many queries have few distinct score vectors, and one multinomial draws how often each occurs. Few queries have
    nearly as many vectors as queries; it is then faster to draw queries and count their vectors. Scores are whole
    micro-units, NaN if unknown: their sums are exact, so that equal means stay equal.
    """
    rng = np.random.default_rng(SEED)
    n, vectors = int(frequency.sum()), len(scores)
    if vectors * 4 < n:
        weights = rng.multinomial(n, frequency / n, size=RESAMPLES)
    else:
        vector_of = np.repeat(np.arange(vectors), frequency)
        drawn = vector_of[rng.integers(0, n, size=(RESAMPLES, n))] + np.arange(RESAMPLES)[:, None] * vectors
        weights = np.bincount(drawn.ravel(), minlength=RESAMPLES * vectors).reshape(RESAMPLES, vectors)
    known = ~np.isnan(scores)
    times = weights.astype(np.float64)
    # Not `@`: for these small products the threads of BLAS take longer to synchronise than to multiply.
    totals = np.einsum("rv,ve->re", times, np.where(known, scores, 0.0))
    counts = np.full(totals.shape, float(n)) if known.all() else np.einsum("rv,ve->re", times, known)
    return totals, counts
