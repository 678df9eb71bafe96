"""Which files `audit` takes to be in the wrong order, if the natural order of rows is that of few files.

    python bench/row_orders.py

The scores of eleven real MMLU-Pro files (by the file's own `pred`), of which only some are in the order of the
questions; the others are in the order of a log of 2, 4 or 8 workers, concatenated worker by worker. No answers are
given, so that `audit` has only the scores. Each case is drawn once. A first table has the share of the variance
of each expert's scores that lies between subjects, by order.
"""

from __future__ import annotations

import random
import time

import numpy as np
from harness import markdown, result_files
from misaligned import LEFT_OUT, scores

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.audit.log_order import WORKERS, Numbering, Order
from benchcoe_jobs.services.audit.row_order import share_between_subjects, unrelated_experts
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef

DRAWS = 1
CASES = {"2 workers": [2], "2, 4 or 8 workers": [2, 4, 8]}


def main() -> None:
    tables = {name: scores(file) for name, file in result_files().items() if name != LEFT_OUT}
    questions = {row["key"]: row["subject"] for table in tables.values() for row in table}
    keys = sorted(questions, key=int)
    queries = [QueryRef(place, key, questions[key], "train", 1) for place, key in enumerate(keys)]
    by_expert = {name: {row["key"]: row["score"] for row in table} for name, table in tables.items()}
    right = np.array([[found.get(key, np.nan) for found in by_expert.values()] for key in keys])
    print("Share of variance between subjects, percent\n")
    markdown(["expert", "in order", *(f"{w} workers" for w in WORKERS)], shares(list(tables), queries, right))
    rows = []
    for case, workers in CASES.items():
        for n_natural in (10, 5, 1):
            rows.append([str(n_natural), case, *map(str, outcome(list(tables), queries, right, workers, n_natural))])
    columns = ["files in order", "the others", "right files accused", "wrong files found", "restored exactly", "s"]
    print("Seconds are those of the search\n")
    markdown(columns, rows)


def logged(numbering: Numbering, values: Floats, workers: int) -> Floats:
    """The scores as the gathered log of this number of workers has them."""
    stored, true = numbering.true_rows(~np.isnan(values), Order(workers, "gathered", "key", "own", "benchmark"))
    log = values.copy()
    log[stored] = values[true]
    return log


def shares(names: list[str], queries: list[QueryRef], right: Floats) -> list[list[str]]:
    numbering = Numbering.of(queries)
    rows = []
    for name, values in zip(names, right.T, strict=True):
        logs = [values, *(logged(numbering, values, workers) for workers in WORKERS)]
        rows.append([name, *(f"{100 * share_between_subjects(log, numbering.subjects):.1f}" for log in logs)])
    return rows


def outcome(
    names: list[str], queries: list[QueryRef], right: Floats, workers: list[int], n_natural: int
) -> tuple[int, str, str, str]:
    """(right files accused, wrong files found, of them restored to the last score, seconds of one audit)."""
    numbering, luck = Numbering.of(queries), random.Random(0)
    accused, found, restored, wrong, seconds = 0, 0, 0, 0, 0.0
    for _ in range(DRAWS):
        natural = set(luck.sample(range(len(names)), n_natural))
        log = right.copy()
        for column in set(range(len(names))) - natural:
            log[:, column] = logged(numbering, right[:, column], luck.choice(workers))
        start = time.perf_counter()
        suspects = [s for s in unrelated_experts(ScoreMatrix(names, queries, log)) if s.doubt is None]
        seconds += time.perf_counter() - start
        wrong += len(names) - n_natural
        for suspect in suspects:
            column = names.index(suspect.expert)
            accused += column in natural
            found += column not in natural
            if suspect.order is not None and column not in natural:
                moved = numbering.restored(log[:, column], suspect.order)
                restored += bool(np.array_equal(moved, right[:, column], equal_nan=True))
    return accused, f"{found} of {wrong}", f"{restored} of {wrong}", f"{seconds / DRAWS:.1f}"


if __name__ == "__main__":
    main()
