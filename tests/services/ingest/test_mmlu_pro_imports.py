"""The real MMLU-Pro files: what becomes of their rows, in whatever order they come."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from sqlalchemy import select

from benchcoe_jobs.services.ingest.result_import import ImportSummary, import_results
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import open_store
from benchcoe_jobs.store.tables import Query, QueryContent, Stratum

# In this order: (rows, scored, skipped, new queries)
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
    """What became of each file, and content hash -> the splits that hold it."""
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


def test_counts_and_splits(tmp_path: Path, sqlite_template: Path, results: dict[str, Path]) -> None:
    summaries, splits = imported(tmp_path, sqlite_template, results, list(EXPECTED))
    found = {name: (one.read, one.scored[name], len(one.skipped), one.new_queries) for name, one in summaries.items()}
    assert found == EXPECTED
    assert summaries["DeepSeek-Coder-V2"].stages == {"answer is": 8792, "last letter": 1496, "none": 63}
    assert all(one.read == one.scored[name] + one.unchanged + len(one.skipped) for name, one in summaries.items())

    _, again = imported(tmp_path, sqlite_template, results, ["gemini-1.5-flash-002", "DeepSeek-Coder-V2"])
    assert all(len(held) == 1 for held in [*splits.values(), *again.values()]), "a duplicate straddles splits"
    common = splits.keys() & again.keys()
    assert len(common) > 11_800
    assert {key: splits[key] for key in common} == {key: again[key] for key in common}
