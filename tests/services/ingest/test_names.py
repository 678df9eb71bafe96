"""Imported names obey the rule of typed ones: rows with other names are skipped, with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.names import faulty_name
from benchcoe_jobs.services.ingest.published_scores import import_scores
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.results import catalog, experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store

LONG = "x" * 10_000
GOOD = {"benchmark": "quiz", "key": "q1", "text": "what?", "subject": "law", "score": 1}
BAD = [
    {"benchmark": LONG},
    {"benchmark": "a\x1b[2J"},
    {"subject": LONG},
    {"subject": "a\nb"},
    {"key": LONG},
    {"key": "a\u202eb"},
]


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def ann(store: Store) -> Store:
    with store.writing() as connection:
        experts.add_expert(connection, ExpertRow("ann", "recorded"))
    return store


def test_results(ann: Store, tmp_path: Path) -> None:
    rows = [GOOD, *(GOOD | {"key": f"other {n}"} | bad for n, bad in enumerate(BAD))]
    summary = import_results(ann, "ann", jsonl(tmp_path / "x.jsonl", rows), form="table")
    assert summary.scored == {"ann": 1}
    assert [row.line for row in summary.skipped] == [2, 3, 4, 5, 6, 7]
    assert all("cannot be a name: use 1 to 200 printable characters" in row.reason for row in summary.skipped)
    assert all(len(row.reason) < 200 for row in summary.skipped)
    with ann.reading() as connection:
        assert [row["benchmark"] for row in catalog.benchmarks(connection)] == ["quiz"]


def test_published_scores(ann: Store, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"benchmark": "quiz", "subject": name, "score": 0.5} for name in ("law", LONG, "a\x07b")
    ]
    summary = import_scores(ann, "ann", jsonl(tmp_path / "x.jsonl", rows))
    assert [row.line for row in summary.skipped] == [2, 3]


def test_queries(ann: Store, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"key": key, "text": f"what is {key[:5]}?", "subject": "law"} for key in ("a", LONG, "\x9bx")
    ]
    summary = add_benchmark(ann, "quiz", jsonl(tmp_path / "x.jsonl", rows))
    assert summary.new_queries == 1
    assert [row.line for row in summary.skipped] == [2, 3]


def test_a_file_without_any_name_that_can_be_stored(ann: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        import_results(ann, "ann", jsonl(tmp_path / "x.jsonl", [GOOD | {"subject": LONG}]), form="table")


def test_reasons_are_short() -> None:
    reason = faulty_name(benchmark="quiz", subject=LONG)
    assert reason is not None
    assert reason.startswith(f"subject '{LONG[:36]}'... (10000 characters) cannot be a name: use 1 to 200 printable")
    assert faulty_name(benchmark="quiz", subject="\u0639\u0644\u0648\u0645\u200c", key="1/2") is None
