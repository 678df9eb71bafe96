"""Result files are imported row by row, and each row is scored, unchanged or skipped."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import two_queries
from sqlalchemy import func, select
from tables import bring
from two_queries import FIRST, SECOND, scores_of

from benchcoe_jobs.errors import InputError
from benchcoe_jobs.services.ingest import result_import
from benchcoe_jobs.services.ingest.result_import import ImportSummary, import_results
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store, open_store
from benchcoe_jobs.store.tables import Query, QueryContent, Response, Stratum


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    two_queries.fill(store, tmp_path)
    return store


def test_scores_of_another_file_stay_unless_replaced(toy: Store, tmp_path: Path) -> None:
    corrected = {**FIRST, "score": 0, "tokens": 12}
    with pytest.raises(InputError, match="--replace"):
        bring(toy, tmp_path, "ann", corrected)
    assert scores_of(toy)["ann", "q1"] == 1

    assert bring(toy, tmp_path, "ann", corrected, replace=True).scored == {"ann": 1}
    assert scores_of(toy) == {("ann", "q1"): 0, ("ann", "q2"): 0}
    assert bring(toy, tmp_path, "ann", corrected, replace=True).unchanged == 1, "its rows are stored already"
    with toy.reading() as connection:
        assert connection.scalars(select(Response.completion_tokens)).all() == [12]


def test_rows_of_other_experts_are_skipped(toy: Store, tmp_path: Path) -> None:
    rows = [{**FIRST, "expert": name, "score": 1} for name in ("bob", "eve")]
    summary = bring(toy, tmp_path, "bob", *rows)
    assert [(row.line, row.reason) for row in summary.skipped] == [
        (2, "a row of another expert: 'eve'; import-results all takes rows of several")
    ]

    rows = [{**SECOND, "expert": "bob", "score": 1}, {**SECOND, "expert": "eve", "score": 1}, {**SECOND, "score": 1}]
    summary = bring(toy, tmp_path, "all", *rows)
    assert [row.reason for row in summary.skipped] == [
        "unknown expert: 'eve'; --create-experts registers it",
        "neither the row nor the command names its expert: import-results EXPERT does",
    ]
    assert summary.scored == {"bob": 1}
    assert {expert for expert, _ in scores_of(toy)} == {"ann", "bob"}


def test_the_same_file_again_changes_nothing(toy: Store, tmp_path: Path) -> None:
    before = scores_of(toy)
    summary = bring(toy, tmp_path, "ann", {**FIRST, "score": 1}, {**SECOND, "score": 0})
    assert (summary.read, summary.unchanged, summary.scored, summary.skipped) == (2, 2, {}, [])
    assert scores_of(toy) == before


def test_a_file_without_a_usable_row_changes_nothing(toy: Store, tmp_path: Path) -> None:
    rows = [{"key": f"n{n}", "text": f"{n}?", "subject": "maps", "score": 1} for n in range(3)]
    with pytest.raises(InputError, match=r"none of 3 rows can be used; 3 rows, the first of them row 1: unknown subj"):
        bring(toy, tmp_path, "bob", *rows)
    with toy.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(Query)) == 2


@pytest.mark.parametrize("rows_at_once", [1, 2, 3])
def test_the_size_of_a_part_does_not_matter(
    toy: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(result_import, "ROWS_AT_ONCE", rows_at_once)
    parts: list[int] = []
    rows = [{**SECOND, "score": 1}, {**FIRST, "score": 0}, {**FIRST, "score": 1}, {**FIRST, "answer": "A", "score": 1}]
    summary = bring(toy, tmp_path, "bob", *rows, progress=parts.append)
    assert (summary.scored, [row.line for row in sorted(summary.skipped, key=lambda row: row.line)]) == (
        {"bob": 2},
        [3, 4],
    )
    assert (sum(parts), max(parts)) == (4, rows_at_once)
    assert (scores_of(toy)["bob", "q1"], scores_of(toy)["bob", "q2"]) == (0, 1)


# Of the real files, imported in this order: (rows, scored, skipped, new queries)
EXPECTED = {
    "DeepSeek-Coder-V2": (10394, 10351, 43, 10351),
    "gemini-1.5-flash-002": (12012, 11975, 37, 1678),
    "gemma-7b": (12032, 12021, 11, 3),
}


@pytest.fixture
def results(mmlu_pro_files: list[Path]) -> dict[str, Path]:
    return {path.name.removeprefix("model_outputs_").removesuffix("_5shots.zip"): path for path in mmlu_pro_files}


def imported(
    folder: Path, template: Path, results: dict[str, Path], order: list[str]
) -> tuple[dict[str, ImportSummary], dict[str, set[str]]]:
    """The summary of each file, and content hash -> the splits that hold it."""
    shutil.copy(template, folder / f"{order[0]}.db")
    store = open_store(f"sqlite:///{folder}/{order[0]}.db")
    summaries = {}
    for name in order:
        with store.writing() as connection:
            experts.add_expert(connection, experts.ExpertRow(name, "recorded"))
        summaries[name] = import_results(store, name, results[name], form="mmlu-pro")
    splits: dict[str, set[str]] = defaultdict(set)
    with store.reading() as connection:
        rows = connection.execute(
            select(QueryContent.content_hash, Stratum.split)
            .join(Query, Query.id == QueryContent.query_id)
            .join(Stratum, Stratum.id == Query.stratum_id)
        ).all()
    store.close()
    assert len(rows) > len({row.content_hash for row in rows}), "MMLU-Pro has exact duplicates"
    for content_hash, split in rows:
        splits[content_hash].add(split)
    return summaries, splits


def test_real_mmlu_pro_files_in_any_order(tmp_path: Path, sqlite_template: Path, results: dict[str, Path]) -> None:
    summaries, splits = imported(tmp_path, sqlite_template, results, list(EXPECTED))
    found = {name: (one.read, one.scored[name], len(one.skipped), one.new_queries) for name, one in summaries.items()}
    assert found == EXPECTED
    assert summaries["DeepSeek-Coder-V2"].rules == {
        "answer is": 8792,
        "last letter": 1474,
        "last letter, of a word": 22,
        "none": 63,
    }
    assert all(one.read == one.scored[name] + one.unchanged + len(one.skipped) for name, one in summaries.items())

    _, again = imported(tmp_path, sqlite_template, results, ["gemini-1.5-flash-002", "DeepSeek-Coder-V2"])
    assert all(len(held) == 1 for held in [*splits.values(), *again.values()]), "copies of a question are in one split"
    common = splits.keys() & again.keys()
    assert len(common) > 11_800
    assert {key: splits[key] for key in common} == {key: again[key] for key in common}
