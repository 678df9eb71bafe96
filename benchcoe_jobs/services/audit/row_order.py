"""Whether an expert's rows are in the order of the questions, from scores alone.

Experts find the same questions hard, so their scores on them correlate (on MMLU-Pro by 0.25 to 0.54, pair
by pair). An expert whose scores correlate with nobody's answers at random, or its rows belong to other
questions: logs of a multi-GPU evaluation, gathered worker by worker, are the usual reason. Such an
order is undone by trying it: under the right one the correlation is back.
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
LINKED = 0.1
"""Scores that correlate by less, within subjects, are as good as unrelated ..."""
SIGMAS = 5
"""... and so are those whose correlation is within so many standard errors of chance."""
RESTORED = 0.5
"""An order is found where it brings back so much of the correlation that the others have."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Order:
    """How the rows of a log were laid out.

    `workers` shared the questions. `layout` gathered: worker r had questions r, r + w, r + 2w, ..., and
    the logs stand one after the other. interleaved: each worker had a stretch of the questions, and the logs
    are interleaved row by row. The questions are counted in the order of `by`, arrival in the store or key;
    over the expert's `own` rows or over `all` of the benchmark's; `within` the benchmark or each subject.
    """

    workers: int
    layout: str
    by: str
    over: str
    within: str


@dataclass(frozen=True, slots=True)
class Unrelated:
    """An expert whose scores go with nobody's.

    `correlation` is with the mean of the related experts, within subjects; `usual` is the median of
    theirs, each with the mean of the others. `order` undoes it, and `restored` is the correlation then;
    None where no order was found.
    """

    expert: str
    correlation: float
    usual: float
    order: Order | None
    restored: float | None


def unrelated_experts(matrix: ScoreMatrix) -> list[Unrelated]:
    """The experts outside the largest group of related ones; empty where no two are related, or no group is largest."""
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
    """(rows as they are stored, rows of the questions that they belong to), both positions in `queries`."""
    counted = has_row if order.over == "own" else np.ones(len(queries), dtype=bool)
    key = _arrival if order.by == "arrival" else _natural
    listed = np.array(sorted(np.flatnonzero(counted), key=lambda row: key(queries[row])), dtype=np.intp)
    subjects = np.array([queries[row].subject if order.within == "subject" else "" for row in listed])
    stored, true = [], []
    for subject in np.unique(subjects):
        part = listed[subjects == subject]
        stored.append(part)
        true.append(part[_layout(len(part), order)])
    where, whose = np.concatenate(stored), np.concatenate(true)
    return where[has_row[where]], whose[has_row[where]]


def _layout(n: int, order: Order) -> Rows:
    """Which question the log's row 0, 1, ... is about."""
    gathered = np.concatenate([np.arange(worker, n, order.workers) for worker in range(order.workers)])
    return gathered if order.layout == "gathered" else np.argsort(gathered)


def _unrelated(matrix: ScoreMatrix, codes: Rows, column: int, consensus: Floats, usual: float) -> Unrelated:
    values = matrix.values[:, column]
    name, as_stored = matrix.experts[column], _correlation(_centred(codes, values), consensus)
    tried = ((_centred(codes, _reordered(matrix, values, order)), order) for order in _orders())
    found = max(((_correlation(moved, consensus), order) for moved, order in tried), key=lambda pair: pair[0])
    if found[0] >= max(RESTORED * usual, LINKED):
        return Unrelated(name, as_stored, usual, found[1], found[0])
    return Unrelated(name, as_stored, usual, None, None)


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
    """Columns that are related, directly or through others."""
    left = list(range(scores.shape[1]))
    groups = []
    while left:
        group, near = [], [left.pop(0)]
        while near:
            here = near.pop()
            group.append(here)
            linked = [other for other in left if _linked(scores[:, here], scores[:, other])]
            left = [other for other in left if other not in linked]
            near += linked
        groups.append(group)
    return groups


def _linked(a: Floats, b: Floats) -> bool:
    n = int((~np.isnan(a + b)).sum())
    return n > SIGMAS**2 and _correlation(a, b) > max(LINKED, SIGMAS / np.sqrt(n))


def _centred(codes: Rows, values: Floats) -> Floats:
    """Scores minus their mean on the subject: that some subjects are hard must not look like a relation."""
    known = ~np.isnan(values)
    totals = np.bincount(codes[known], values[known], minlength=codes.max() + 1)
    counts = np.bincount(codes[known], minlength=codes.max() + 1)
    return np.asarray(values - (totals / np.maximum(counts, 1))[codes])


def _mean(scores: Floats) -> Floats:
    """Row means over what is known, NaN where nothing is."""
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, scores, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's, over the rows where both are known; 0 where one of them never varies."""
    known = ~np.isnan(a + b)
    if known.sum() < 2:
        return 0.0
    x, y = a[known] - a[known].mean(), b[known] - b[known].mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def _arrival(query: QueryRef) -> int:
    return query.id


def _natural(query: QueryRef) -> list[tuple[int, int, str]]:
    """Keys as people count them: 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", query.key) if part]
