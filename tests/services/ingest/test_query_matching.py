"""The stored query of each row is found, and rows that differ from it are skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tables import add_experts, bring

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest import result_import
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Expert, Query, Score

FIRST = {"key": "q1", "text": "Which is even?", "subject": "math", "choices": ["one", "two"], "answer": "B"}
SECOND = {"key": "q2", "text": "Who wrote Faust?", "subject": "letters", "choices": ["Goethe", "Mann"], "answer": "A"}


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """Two queries, on which ann was right and wrong."""
    add_experts(store, ann=None, bob=None)
    bring(store, tmp_path, "ann", {**FIRST, "score": 1}, {**SECOND, "score": 0})
    return store


def scores(store: Store) -> dict[tuple[str, str], float]:
    with store.reading() as connection:
        rows = connection.execute(
            select(Expert.name, Query.key, Score.value)
            .join(Expert, Expert.id == Score.expert_id)
            .join(Query, Query.id == Score.query_id)
        )
        return {(row.name, row.key): row.value for row in rows}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": "Which is odd?"}, "question"),
        ({"choices": ["two", "one"]}, "options"),
        ({"answer": "A"}, "answer"),
        ({"subject": "letters"}, "its subject 'letters' differs from the stored 'math'"),
    ],
    ids=["question", "choices", "answer", "subject"],
)
def test_other_content_under_a_stored_key_is_skipped(
    toy: Store, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    summary = bring(toy, tmp_path, "bob", {**SECOND, "score": 1}, {**FIRST, **change, "score": 1})
    assert [row.line for row in summary.skipped] == [2]
    assert reason in summary.skipped[0].reason
    assert ("bob", "q1") not in scores(toy)
    assert scores(toy)["bob", "q2"] == 1


@pytest.mark.parametrize(
    "named",
    [
        {"key": "q1", "subject": "math"},
        {"text": FIRST["text"], "subject": "math"},
        {"key": "q1", "text": FIRST["text"], "subject": "math"},
        FIRST,
    ],
    ids=["by key", "by text", "by key and text", "in full"],
)
def test_a_query_is_found_by_key_and_by_text(toy: Store, tmp_path: Path, named: dict[str, Any]) -> None:
    summary = bring(toy, tmp_path, "bob", {**named, "score": 0.5})
    assert (summary.new_queries, summary.skipped) == (0, [])
    assert scores(toy)["bob", "q1"] == 0.5


def test_a_query_named_twice_in_a_file_counts_once(toy: Store, tmp_path: Path) -> None:
    by_text = {"text": FIRST["text"], "subject": "math", "score": 0}
    summary = bring(toy, tmp_path, "bob", {**FIRST, "score": 1}, by_text)
    assert [row.line for row in summary.skipped] == [2]
    assert "earlier row" in summary.skipped[0].reason
    assert scores(toy)["bob", "q1"] == 1


def test_a_new_subject_must_be_allowed(toy: Store, tmp_path: Path) -> None:
    new = {"text": "Where is Oslo?", "subject": "maps", "score": 1}
    with pytest.raises(InputError, match="unknown subject 'maps'; the benchmark has letters, math"):
        bring(toy, tmp_path, "bob", new)
    assert bring(toy, tmp_path, "bob", new, new_subjects=True).new_queries == 1


def test_a_text_of_several_stored_queries_is_a_new_query(toy: Store, tmp_path: Path) -> None:
    """A row with only its text is not matched by chance to one of two queries with that text."""
    bring(toy, tmp_path, "ann", {**FIRST, "key": "copy", "choices": ["two", "three"], "score": 1})
    summary = bring(toy, tmp_path, "bob", {"text": FIRST["text"], "subject": "math", "score": 1})
    assert (summary.new_queries, summary.skipped) == (1, [])
    assert not {("bob", "q1"), ("bob", "copy")} & scores(toy).keys()


@pytest.mark.parametrize("rows_at_once", [1, 2])
def test_an_earlier_row_of_the_file_is_compared_like_a_stored_query(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    add_experts(toy, cat=None, dan=None)
    new = {"key": "q3", "text": "Which is odd?", "subject": "math", "choices": ["one", "two"], "answer": "A"}
    rows = [
        {**new, "expert": "bob", "score": 1},
        {**new, "expert": "ann", "score": 1, "subject": "letters"},
        {**new, "expert": "cat", "score": 1, "answer": "B"},
        {**new, "expert": "dan", "score": 0},
    ]
    summary = bring(toy, tmp_path, "all", *rows)
    assert sorted(row.line for row in summary.skipped) == [2, 3]
    assert "its subject 'letters' differs from" in summary.skipped[0].reason
    assert (summary.new_queries, scores(toy)["bob", "q3"], scores(toy)["dan", "q3"]) == (1, 1, 0)
