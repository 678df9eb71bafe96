"""Imported and measured scores of an expert are told apart by the provenance of their runs."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.store.results import aggregates, catalog, experts, file_origins, imports, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.file_origins import ImportedShare
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store

FILE = {"format": "table", "sha256": "f" * 64}
OTHER = {"format": "table", "sha256": "0" * 64}
ENGINE = {"engine": "x", "asked_as": {"template": "t"}}


def score(connection: Connection, expert: str, provenance: dict[str, object], *keys: str) -> tuple[int, list[int]]:
    """Give an expert scores on queries. Returns the run and the ids of the queries."""
    benchmark_id = catalog.ensure_benchmark(connection, "toy")
    stored = catalog.stored_queries(connection, benchmark_id)
    run_id = responses.ensure_run(connection, experts.find_expert(connection, expert), benchmark_id, provenance)
    scores = [NewScore(stored[key].id, stored[key].stratum_id, 1.0) for key in keys]
    responses.write_scores(connection, experts.find_expert(connection, expert), run_id, scores)
    expert_id = experts.find_expert(connection, expert)
    aggregates.refresh(connection, [benchmark_id], {(expert_id, new.stratum_id) for new in scores})
    return run_id, [new.query_id for new in scores]


@pytest.fixture
def toy(store: Store) -> Store:
    """Three queries in train and one in test; ann, bob and cat are experts."""
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        queries = [Query(key, "law", key, split=Split.TRAIN) for key in "abc"]
        catalog.add_queries(connection, benchmark_id, [*queries, Query("d", "law", "d", split=Split.TEST)])
        for name in ("ann", "bob", "cat"):
            experts.add_expert(connection, ExpertRow(name, "recorded"))
    return store


def test_shares_and_queries_of_imported_scores(toy: Store) -> None:
    with toy.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        score(connection, "ann", FILE, "a", "b", "d")
        _, imported = score(connection, "bob", FILE, "a", "d")
        score(connection, "bob", ENGINE, "b", "c")
        score(connection, "cat", ENGINE, "a")
        ids = experts.expert_ids(connection)
        train = file_origins.imported_shares(connection, benchmark_id, "train", ids)
        test = file_origins.imported_shares(connection, benchmark_id, "test", ids)
        queries = [file_origins.imported_queries(connection, ids[name], benchmark_id) for name in ids]
    assert train == [ImportedShare("ann", 2, 2), ImportedShare("bob", 1, 3), ImportedShare("cat", 0, 1)]
    assert test == [ImportedShare("ann", 1, 1), ImportedShare("bob", 1, 1)]
    assert [len(found) for found in queries] == [3, 2, 0]
    assert queries[1] == set(imported)


def test_runs_and_variants(toy: Store) -> None:
    with toy.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        first, ids = score(connection, "ann", FILE, "a", "b")
        second, _ = score(connection, "bob", OTHER, "a")
        score(connection, "bob", ENGINE, "c")
        runs = file_origins.import_runs(connection, benchmark_id)
        assert [(run.id, run.expert, run.sha256[0]) for run in runs.values()] == [
            (first, "ann", "f"),
            (second, "bob", "0"),
        ]
        for _ in range(2):
            record = imports.begin(connection, "import-results", "file", "0")
            file_origins.write_variants(connection, [(second, ids[1], "x")], record)
        assert file_origins.variants(connection, ids) == [(second, ids[1], "x")]
        found = file_origins.scoring_runs(connection, {run.expert_id for run in runs.values()}, ids)
        assert sorted(found) == sorted([(ids[0], first), (ids[1], first), (ids[0], second)])


def test_ids_are_read_in_parts(toy: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_origins, "_IDS_AT_ONCE", 1)
    with toy.writing() as connection:
        run_id, ids = score(connection, "ann", FILE, "a", "b")
        record = imports.begin(connection, "import-results", "file", "0")
        file_origins.write_variants(connection, [(run_id, id_, "x") for id_ in ids], record)
        assert len(file_origins.variants(connection, ids)) == 2
