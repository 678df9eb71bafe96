"""Scores are written once, and a file that was imported for another expert is noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lm_eval_files import choice_row, write_task
from tables import add_experts, bring

from benchcoe_jobs.domain import Scale
from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.session import Store

ROW: dict[str, Any] = {"key": "q1", "subject": "law", "score": 1}


@pytest.fixture
def toy(store: Store) -> Store:
    add_experts(store, ann=None, bob=None, cat=None)
    return store


def test_the_same_file_under_two_experts_is_noted(toy: Store, tmp_path: Path) -> None:
    assert bring(toy, tmp_path, "ann", ROW).notes == ["toy is a new benchmark"]
    assert bring(toy, tmp_path, "bob", ROW).notes == ["the same file was imported for ann: check whose results it has"]
    assert bring(toy, tmp_path, "cat", ROW).notes == [
        "the same file was imported for ann, bob: check whose results it has"
    ]
    assert bring(toy, tmp_path, "cat", {**ROW, "score": 0}, replace=True).notes == []


def test_the_same_file_by_another_metric_keeps_the_earlier_scores_and_says_so(toy: Store, tmp_path: Path) -> None:
    rows = [choice_row(n, 1.0) | {"metrics": ["acc", "acc_norm"], "acc_norm": float(n)} for n in range(2)]
    write_task(tmp_path / "run", "colours", rows, {})

    def by(metric: str, **options: bool) -> ImportSummary:
        return import_results(
            toy, "ann", tmp_path / "run", form="lm-eval", options=ReadOptions(metric=metric), **options
        )

    assert by("acc").scored == {"ann": 2}
    again = by("acc_norm")
    assert (again.scored, again.unchanged, len(again.skipped)) == ({}, 1, 1)
    assert [note for note in again.notes if "other options" in note] == [
        "the same file was imported for ann with other options (metric acc): the scores of that import stay; "
        "--replace takes those of this one"
    ]
    replaced = by("acc_norm", replace=True)
    assert replaced.scored == {"ann": 2}
    assert not any("other options" in note for note in replaced.notes)


def test_a_file_that_names_its_experts_is_one_file(toy: Store, tmp_path: Path) -> None:
    rows = [{**ROW, "expert": name} for name in ("ann", "bob")]
    bring(toy, tmp_path, "all", *rows)
    for name in ("ann", "bob"):
        assert bring(toy, tmp_path, name, *rows).notes == []
    assert bring(toy, tmp_path, "all", *rows).notes == []


def test_the_same_file_again_on_another_scale_is_no_repetition(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "ann", ROW)
    summary = bring(toy, tmp_path, "ann", ROW, scale=Scale.PERCENT, replace=True)
    assert (summary.unchanged, summary.scored) == (0, {"ann": 1})
    assert any("no score is above 1 %" in note for note in summary.notes)


def test_the_same_scores_from_another_file_change_nothing(toy: Store, tmp_path: Path) -> None:
    """A table that was saved again as CSV, with gzip or in Parquet is another file with the same scores."""
    other = {**ROW, "key": "q2", "score": 0}
    bring(toy, tmp_path, "ann", ROW, other)
    again = bring(toy, tmp_path, "ann", other, ROW)
    assert (again.unchanged, again.scored, again.skipped) == (2, {}, [])
    changed = bring(toy, tmp_path, "ann", other, {**ROW, "score": 0.5})
    assert (changed.unchanged, [row.line for row in changed.skipped]) == (1, [2])
    more = bring(toy, tmp_path, "ann", other, {**ROW, "tokens": 5})
    assert (more.unchanged, [row.line for row in more.skipped]) == (1, [2]), "tokens are not stored yet"
