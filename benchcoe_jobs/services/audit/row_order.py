"""Find experts whose rows are not in the order of the questions, from scores alone.

The same questions are hard for most experts, so their scores correlate (on MMLU-Pro by 0.25 to 0.54 for a pair). An
expert whose scores correlate with no other either answers at random, or its rows belong to other questions. The usual
reason is a log of a multi-GPU evaluation that was gathered worker by worker. The orders of such logs are tried: with
the right one the correlation is restored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef

WORKERS = (2, 4, 8)
MIN_CORRELATION = 0.1
"""Experts whose scores correlate less than this within subjects are unrelated ..."""
SIGMAS = 5
"""... and so are those whose correlation is within this many standard errors of zero."""
RESTORED = 0.5
"""An order is accepted if it restores at least this share of the correlation of the related experts."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """How the rows of a log were ordered.

    `workers` shared the questions. With `layout` gathered, worker r had the questions r, r + workers, r + 2 workers,
    ..., and the logs were concatenated. With interleaved, each worker had consecutive questions, and the logs were
    merged row by row. The questions are numbered in the order of `by`: arrival in the store, or key. They are numbered
    `over` the expert's own rows or all questions of the benchmark, `within` the benchmark or each subject.
    """

    workers: int
    layout: str
    by: str
    over: str
    within: str


@dataclass(frozen=True, slots=True)
class UnrelatedExpert:
    """An expert whose scores correlate with no other expert.

    `correlation` is that with the mean of the related experts, within subjects. `usual` is the median correlation of
    the related experts, each with the mean of the others. `order` is the order that restores the correlation to
    `restored`; both are None if no order does.
    """

    expert: str
    correlation: float
    usual: float
    order: Order | None
    restored: float | None


def unrelated_experts(matrix: ScoreMatrix) -> list[UnrelatedExpert]:
    """The experts outside the largest group of related ones; empty if no two are related or two groups are largest."""
    codes = matrix.subject_codes()
    scores = np.stack([_centred(codes, values) for values in matrix.values.T], axis=1)
    groups = sorted(_groups(scores), key=len, reverse=True)
    if len(groups[0]) < 2 or (len(groups) > 1 and len(groups[1]) == len(groups[0])):
        return []
    related = scores[:, groups[0]]
    usual = float(
        np.median([_correlation(related[:, i], _mean(np.delete(related, i, 1))) for i in range(len(related.T))])
    )
    consensus = _mean(related)
    return [
        _unrelated(matrix, codes, expert, consensus, usual)
        for expert in sorted(expert for group in groups[1:] for expert in group)
    ]


def true_rows(queries: list[QueryRef], has_row: NDArray[np.bool_], order: Order) -> tuple[Rows, Rows]:
    """(stored rows, true rows): row `stored[i]` holds the score of the question in row `true[i]`, both of `queries`.

    `has_row` (n,) says which queries the expert has a score on.
    """
    counted = has_row if order.over == "own" else np.ones(len(queries), dtype=bool)
    key = _arrival if order.by == "arrival" else _natural
    listed = np.array(sorted(np.flatnonzero(counted), key=lambda row: key(queries[row])), dtype=np.intp)
    subjects = np.array([queries[row].subject if order.within == "subject" else "" for row in listed])
    stored, true = [], []
    for subject in np.unique(subjects):
        part = listed[subjects == subject]
        stored.append(part)
        true.append(part[_layout(len(part), order)])
    stored_rows, true_rows = np.concatenate(stored), np.concatenate(true)
    scored = has_row[stored_rows]
    return stored_rows[scored], true_rows[scored]


def _layout(n: int, order: Order) -> Rows:
    """The question of each row of a log, (n,)."""
    gathered = np.concatenate([np.arange(worker, n, order.workers) for worker in range(order.workers)])
    return gathered if order.layout == "gathered" else np.argsort(gathered)


def _unrelated(matrix: ScoreMatrix, codes: Rows, column: int, consensus: Floats, usual: float) -> UnrelatedExpert:
    """The expert in a column, with the order that restores its correlation best."""
    values = matrix.values[:, column]
    name, as_stored = matrix.experts[column], _correlation(_centred(codes, values), consensus)
    tried = ((_centred(codes, _reordered(matrix, values, order)), order) for order in _orders())
    found = max(((_correlation(moved, consensus), order) for moved, order in tried), key=lambda pair: pair[0])
    if found[0] >= max(RESTORED * usual, MIN_CORRELATION):
        return UnrelatedExpert(name, as_stored, usual, found[1], found[0])
    return UnrelatedExpert(name, as_stored, usual, None, None)


def _reordered(matrix: ScoreMatrix, values: Floats, order: Order) -> Floats:
    stored, true = true_rows(matrix.queries, ~np.isnan(values), order)
    moved = np.full(len(values), np.nan)
    moved[true] = values[stored]
    return moved


def _orders() -> Iterator[Order]:
    for by, over, within in product(("key", "arrival"), ("own", "all"), ("benchmark", "subject")):
        for workers, layout in product(WORKERS, ("gathered", "interleaved")):
            yield Order(workers, layout, by, over, within)


def _groups(scores: Floats) -> list[list[int]]:
    """Groups of columns that are related, directly or through other columns."""
    ungrouped = list(range(scores.shape[1]))
    groups = []
    while ungrouped:
        group, to_visit = [], [ungrouped.pop(0)]
        while to_visit:
            column = to_visit.pop()
            group.append(column)
            related = [other for other in ungrouped if _are_related(scores[:, column], scores[:, other])]
            ungrouped = [other for other in ungrouped if other not in related]
            to_visit += related
        groups.append(group)
    return groups


def _are_related(a: Floats, b: Floats) -> bool:
    n = int((~np.isnan(a + b)).sum())
    return n > SIGMAS**2 and _correlation(a, b) > max(MIN_CORRELATION, SIGMAS / np.sqrt(n))


def _centred(codes: Rows, values: Floats) -> Floats:
    """Scores less their mean on the subject, so that hard subjects do not make experts look related."""
    known = ~np.isnan(values)
    totals = np.bincount(codes[known], values[known], minlength=codes.max() + 1)
    counts = np.bincount(codes[known], minlength=codes.max() + 1)
    return np.asarray(values - (totals / np.maximum(counts, 1))[codes])


def _mean(scores: Floats) -> Floats:
    """Row means (n,) of the known scores, NaN if a row has none."""
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, scores, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation over the rows where both are known; 0 if one of them is constant."""
    known = ~np.isnan(a + b)
    if known.sum() < 2:
        return 0.0
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def _arrival(query: QueryRef) -> int:
    return query.id


def _natural(query: QueryRef) -> list[tuple[int, int, str]]:
    """A sort key that compares numbers in query keys by value: 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", query.key) if part]
