"""The check for experts with the same scores: the results of one of them are probably stored under two names."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from benchcoe_jobs.arrays import Floats
from benchcoe_jobs.services.audit.findings import Finding, Severity
from benchcoe_jobs.services.audit.trusted_experts import FEWEST_ANSWERS
from benchcoe_jobs.services.score_matrix import ScoreMatrix

FEWEST_OF_ONE_FILE = 5
"""Two experts of one file with fewer equal scores than this may agree by chance: a file may list many experts."""
FEWEST_DIFFERENT = 5
"""Without a common file, this many scores must differ from the most frequent one: nearly perfect experts agree."""


def same_scores(
    benchmark: str, matrix: ScoreMatrix, names: Mapping[str, int], files: Mapping[int, Collection[str]]
) -> Iterator[Finding]:
    """Experts with the scores of an expert that was added before them.

    `names` has the ids of the experts, which grow in the order in which they were added. `files` has the digests of
    the files that each expert's results were imported from, by id. It is certain if the file is the same.
    """
    by_age = sorted(matrix.experts, key=lambda name: names[name])
    for place, later in enumerate(by_age):
        for earlier in by_age[:place]:
            same_file = bool(set(files.get(names[later], ())) & set(files.get(names[earlier], ())))
            n = _n_same(matrix.column(earlier), matrix.column(later), same_file)
            if n:
                yield _finding(benchmark, earlier, later, n, same_file)
                break


def _n_same(a: Floats, b: Floats, same_file: bool) -> int:
    """The number of questions on which both have a score; 0 if the scores differ or are too few to tell."""
    common = ~np.isnan(a + b)
    n = int(common.sum())
    fewest = min(int((~np.isnan(a)).sum()), int((~np.isnan(b)).sum())) / 2
    if n < max(fewest, FEWEST_OF_ONE_FILE if same_file else FEWEST_ANSWERS) or (a[common] != b[common]).any():
        return 0
    n_different = n - int(np.unique(a[common], return_counts=True)[1].max())
    return n if n_different >= (1 if same_file else FEWEST_DIFFERENT) else 0


def _finding(benchmark: str, earlier: str, later: str, n: int, same_file: bool) -> Finding:
    source = ", from the same file" if same_file else ""
    return Finding(
        Severity.ERROR if same_file and n >= FEWEST_ANSWERS else Severity.WARNING,
        "same scores",
        benchmark,
        later,
        f"its scores are those of {earlier} on all {n} questions that both have a score on{source}: if one of them has "
        "the results of the other, import its own with --replace, or retire it",
        f"benchcoe-jobs retire {shlex.quote(later)}",
    )
