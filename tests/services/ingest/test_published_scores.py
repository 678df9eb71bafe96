"""Published per-subject scores are imported for experts and subjects that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import add_experts, bring

from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.services.ingest.published_scores import import_scores
from benchcoe_jobs.services.ingest.result_import import ImportSummary
from benchcoe_jobs.services.labelling.scope import find_scope
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.session import Store


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """ann has a score of 0.5 on maps, by two queries."""
    add_experts(store, ann=1.0, bob=1.0)
    rows = [{"key": f"k{n}", "text": f"{n}?", "subject": "maps", "split": "train", "score": n} for n in range(2)]
    bring(store, tmp_path, "ann", *rows)
    return store


def imported(
    store: Store, folder: Path, text: str, expert: str = "bob", benchmark: str | None = "toy"
) -> ImportSummary:
    path = folder / "scores.csv"
    path.write_text(text)
    return import_scores(store, expert, path, benchmark=benchmark)


def labels(store: Store) -> dict[str, tuple[str, float]]:
    with store.reading() as connection:
        found = live_labels.subject_labels(connection, find_scope(connection, "all", "toy", "train"))
    return {label.subject: (label.expert, label.mean) for label in found}


def test_a_reported_score_takes_part_in_labels(toy: Store, tmp_path: Path) -> None:
    assert labels(toy) == {"maps": ("ann", 0.5)}
    summary = imported(toy, tmp_path, "subject,score\nmaps,0.75\n")
    assert (summary.read, summary.scored, summary.skipped) == (1, {"bob": 1}, [])
    assert labels(toy) == {"maps": ("bob", 0.75)}
    imported(toy, tmp_path, "subject,score\nmaps,0.25\n")
    assert labels(toy) == {"maps": ("ann", 0.5)}


def test_a_subject_that_the_queries_do_not_have_is_skipped(toy: Store, tmp_path: Path) -> None:
    summary = imported(toy, tmp_path, "subject,score\nmaps,0.75\nmath,1.0\n")
    [skipped] = summary.skipped
    assert (skipped.line, skipped.reason) == (3, "unknown subject 'math'; the benchmark has maps")
    assert summary.scored == {"bob": 1}


def test_a_benchmark_without_queries_takes_any_subject(toy: Store, tmp_path: Path) -> None:
    assert imported(toy, tmp_path, "subject,score\nmaps,0.75\nmath,1.0\n", benchmark="new").scored == {"bob": 2}


def test_rows_of_other_experts_are_skipped(toy: Store, tmp_path: Path) -> None:
    text = "expert,subject,score\nbob,maps,0.75\nann,maps,0.9\neve,maps,1.0\n"
    one = imported(toy, tmp_path, text)
    assert (one.scored, [row.line for row in one.skipped]) == ({"bob": 1}, [3, 4])
    every = imported(toy, tmp_path, text, "all")
    assert every.scored == {"bob": 1, "ann": 1}
    assert [row.reason for row in every.skipped] == ["a row of another or unknown expert: 'eve'"]


def test_without_a_usable_row_nothing_is_stored(toy: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of 1 row can be used; row 2: unknown subject 'math'"):
        imported(toy, tmp_path, "subject,score\nmath,0.75\n")
    with pytest.raises(UsageError, match="unknown expert 'eve'"):
        imported(toy, tmp_path, "subject,score\nmaps,0.75\n", "eve")
    assert labels(toy) == {"maps": ("ann", 0.5)}
