"""The orders in which the logs of several workers list the questions, and where each score of such a log belongs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.store.results.joins import QueryRef

WORKERS = (2, 4, 8)

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


def all_orders() -> Iterator[Order]:
    """Every order that is tried."""
    for by, over, within in product(("key", "arrival"), ("own", "all"), ("benchmark", "subject")):
        for workers, layout in product(WORKERS, ("gathered", "interleaved")):
            yield Order(workers, layout, by, over, within)


@dataclass(frozen=True, slots=True)
class Numbering:
    """The questions of a benchmark as an order numbers them: (n,) ranks by key and by arrival, and subject codes."""

    by_key: Rows
    by_arrival: Rows
    subjects: Rows

    @classmethod
    def of(cls, queries: Sequence[QueryRef]) -> Self:
        """The numbering of these questions."""
        keys = [_natural(query.key) for query in queries]
        by_key = sorted(range(len(queries)), key=keys.__getitem__)
        by_arrival = sorted(range(len(queries)), key=lambda row: queries[row].id)
        subjects = np.unique([query.subject for query in queries], return_inverse=True)[1]
        return cls(_ranks(by_key), _ranks(by_arrival), subjects)

    def true_rows(self, has_row: NDArray[np.bool_], order: Order) -> tuple[Rows, Rows]:
        """(stored rows, true rows): row `stored[i]` holds the score of the question in row `true[i]`.

        `has_row` (n,) says which questions the expert has a score on.
        """
        counted = has_row if order.over == "own" else np.ones(len(has_row), dtype=bool)
        listed = np.flatnonzero(counted)
        rank = self.by_arrival if order.by == "arrival" else self.by_key
        subjects = self.subjects[listed] if order.within == "subject" else np.zeros(len(listed), dtype=np.intp)
        by_place = np.lexsort((rank[listed], subjects))
        listed, subjects = listed[by_place], subjects[by_place]
        parts = np.split(listed, np.flatnonzero(np.diff(subjects)) + 1)
        stored = np.concatenate(parts)
        true = np.concatenate([part[_layout(len(part), order)] for part in parts])
        scored = has_row[stored]
        return stored[scored], true[scored]

    def restored(self, values: Floats, order: Order) -> Floats:
        """Scores (n,), NaN if there is none, at the questions to which they belong."""
        stored, true = self.true_rows(~np.isnan(values), order)
        moved = np.full(len(values), np.nan)
        moved[true] = values[stored]
        return moved


def _ranks(order: Sequence[int]) -> Rows:
    """The place of each row in an order of rows."""
    ranks = np.empty(len(order), dtype=np.intp)
    ranks[list(order)] = np.arange(len(order))
    return ranks


def _layout(n: int, order: Order) -> Rows:
    """The question of each row of a log, (n,)."""
    gathered = np.concatenate([np.arange(worker, n, order.workers) for worker in range(order.workers)])
    return gathered if order.layout == "gathered" else np.argsort(gathered)


def _natural(key: str) -> list[tuple[int, int, str]]:
    """A sort key that compares numbers in query keys by value: 9 before 10."""
    parts = [part for part in re.split(r"(\d+)", key) if part]
    return [_number(part) if part.isdecimal() else (1, 0, part) for part in parts]


def _number(digits: str) -> tuple[int, int, str]:
    significant = digits.lstrip("0")  # not int(), which refuses more than 4,300 digits
    return 0, len(significant), significant
