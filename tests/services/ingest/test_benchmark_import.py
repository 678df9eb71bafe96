"""Queries of a benchmark are imported from a table or from its published files."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_quiz
from tables import add_experts, bring

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import InputError, UsageError
from benchcoe_jobs.services.ingest import benchmark_import
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark, fetch_benchmark
from benchcoe_jobs.services.ingest.result_import import ImportSummary
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store

HEADER = "key,text,subject,split\n"


def added(store: Store, folder: Path, lines: str) -> ImportSummary:
    path = folder / "queries.csv"
    path.write_text(HEADER + lines)
    return add_benchmark(store, "toy", path)


def keys(store: Store) -> dict[str, tuple[str, str]]:
    with store.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "toy")
        stored = catalog.questions(connection, benchmark_id, "train")
    return {question.key: (question.router_input.text, question.subject) for question in stored}


def test_a_table_of_queries(store: Store, tmp_path: Path) -> None:
    summary = added(store, tmp_path, "a,one?,maps,train\nb,two?,math,train\n")
    assert (summary.read, summary.new_queries, summary.unchanged, summary.skipped) == (2, 2, 0, [])
    assert keys(store) == {"a": ("one?", "maps"), "b": ("two?", "math")}


def test_stored_queries_are_not_changed(store: Store, tmp_path: Path) -> None:
    added(store, tmp_path, "a,one?,maps,train\n")
    assert added(store, tmp_path, "a,one?,maps,train\nb,two?,math,train\n").unchanged == 1
    for line in ("a,other?,maps,train\n", "a,one?,math,train\n"):
        summary = added(store, tmp_path, f"{line}c{len(line)},three{len(line)}?,maps,train\n")
        assert (summary.new_queries, summary.unchanged) == (1, 0)
        assert [(row.line, row.reason) for row in summary.skipped] == [
            (2, "query 'a' is already stored with another content or subject")
        ]
    assert keys(store)["a"] == ("one?", "maps")


def test_the_first_of_two_published_rows_with_one_key_counts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables are checked for this by their reader; published files are checked here."""
    rows = [Query("a", "maps", text, split=Split.TRAIN) for text in ("one?", "two?")]
    monkeypatch.setattr(benchmark_import, "_rows", lambda name, path: enumerate(rows, 1))
    summary = add_benchmark(store, "toy", tmp_path)
    assert [(row.line, row.reason) for row in summary.skipped] == [(2, "query 'a' has an earlier row in this file")]
    assert keys(store) == {"a": ("one?", "maps")}


def test_queries_can_be_added_to_a_benchmark_with_results(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None)
    bring(store, tmp_path, "ann", {"key": "a", "text": "one?", "subject": "maps", "split": "train", "score": 1})
    assert added(store, tmp_path, "b,two?,math,train\n").new_queries == 1
    assert list(keys(store)) == ["a", "b"]


def test_a_file_without_a_usable_row_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of"):
        added(store, tmp_path, "a,one?,,train\n")
    with store.reading() as connection:
        assert catalog.benchmarks(connection) == []


def test_worked_examples_come_with_a_benchmark(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_quiz.install(tmp_path, monkeypatch)
    folder = tiny_quiz.write_quiz(tmp_path / "quiz", 30)
    assert add_benchmark(store, "quiz", folder).notes == ["worked examples for 3 subjects"]
    again = add_benchmark(store, "quiz", folder)
    assert (again.new_queries, again.unchanged) == (0, 30)


def test_an_unknown_benchmark_cannot_be_fetched() -> None:
    with pytest.raises(UsageError, match="unknown name 'toy'"):
        fetch_benchmark("toy", None)
