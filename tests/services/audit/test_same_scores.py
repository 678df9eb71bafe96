"""Experts with the same scores: probably one result file is stored under two names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from audit_worlds import kinds, matrix_of, rows
from tables import add_experts, bring

from benchcoe_jobs.services.audit.checks import audit
from benchcoe_jobs.services.audit.findings import Severity
from benchcoe_jobs.services.audit.same_scores import same_scores
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

NAMES = {"bob": 2, "ann": 1, "cat": 3}
SCORES = [float(i % 3 == 0) for i in range(40)]


def test_the_same_file_under_two_experts(store: Store, tmp_path: Path) -> None:
    add_experts(store, zoe=None, ann=None, bob=None)
    table = [{**row, "score": float(i % 3 == 0)} for i, row in enumerate(rows(40))]
    for name in ("zoe", "ann"):
        bring(store, tmp_path, name, *table)
    bring(store, tmp_path, "bob", *({**row, "score": float(i % 2)} for i, row in enumerate(rows(40))))
    [finding] = [found for found in audit(store, None) if found.kind == "same scores"]
    assert (finding.severity, finding.expert) == (Severity.ERROR, "ann"), "zoe was added first"
    assert "those of zoe on all 40 questions that both have a score on, from the same file" in finding.what
    assert finding.command == "benchcoe-jobs retire ann"
    with store.writing() as connection:
        experts.set_retired(connection, "ann", True)
    assert kinds(audit(store, None)) == [], "the command of the finding settles it"


@pytest.mark.parametrize(
    ("scores", "files", "severity"),
    [
        (SCORES, {1: {"f"}, 2: {"f", "g"}}, Severity.ERROR),
        (SCORES, {1: {"f"}, 2: {"g"}}, Severity.WARNING),
        (SCORES, {}, Severity.WARNING),
        (SCORES[:10], {1: {"f"}, 2: {"f"}}, Severity.WARNING),
        (SCORES[:10], {}, None),
        (SCORES[:4], {1: {"f"}, 2: {"f"}}, None),
        ([1.0] * 40, {1: {"f"}, 2: {"f"}}, None),
        ([1.0] * 38 + [0.0] * 2, {}, None),
    ],
    ids=["one file", "other files", "no file", "few of one file", "few", "very few", "all right", "nearly all right"],
)
def test_how_certain_it_is(scores: list[float], files: dict[int, Collection[str]], severity: Severity | None) -> None:
    matrix = matrix_of(bob=scores, ann=scores)
    assert [found.severity for found in same_scores("toy", matrix, NAMES, files)] == ([severity] if severity else [])


def test_gaps_do_not_hide_equal_scores_and_one_difference_does() -> None:
    matrix = matrix_of(ann=SCORES * 2, bob=SCORES * 2, cat=SCORES * 2)
    matrix.values[:30, matrix.experts.index("bob")] = np.nan
    matrix.values[40, matrix.experts.index("cat")] = 0.0
    [found] = same_scores("toy", matrix, NAMES, {})
    assert (found.expert, "those of ann on all 50" in found.what) == ("bob", True)


def test_two_small_parts_of_a_benchmark_are_not_compared() -> None:
    matrix = matrix_of(ann=SCORES * 4, bob=SCORES * 4)
    matrix.values[:90, 0] = np.nan
    matrix.values[120:, 1] = np.nan
    assert list(same_scores("toy", matrix, NAMES, {})) == []
