"""Exported tables: what the commands of imports read back is the same store."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from store_content import content
from tables import add_experts

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.importers.reading.escaped_cells import escape_cells, unescape_cells
from benchcoe_jobs.services.export.base import Exported, ExportRequest, exporter
from benchcoe_jobs.services.export.files import FileOutput
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store, connect
from benchcoe_jobs.store.tables import Benchmark

ODD = [
    '=HYPERLINK("http://example.invalid")',
    "+1",
    "-cmd|' /C calc'!A0",
    "@sum",
    "\tx",
    " =1",
    "\uff1d1",
    "red \x1b[31m, \u202eright to left, line\u2028end",
    'a "quote", a comma\nand a second line\r\n\r',
    "'=1",
    '"=1"',
]


def export(store: Store, path: Path, **request: Any) -> Exported:
    options = request.pop("options", {})
    return exporter("table").write(store, path.parent, ExportRequest(**request, options=options), FileOutput(path))


def fill(store: Store) -> None:
    """Two experts on questions with odd texts, in three splits; `b` lacks one score, and one query is known by key."""
    add_experts(store, a=1.0, b=None)
    queries = [
        Query(f"k{number}", ["law", "=maths"][number % 2], text, (text, "two"), "two", list(Split)[number % 3])
        for number, text in enumerate(ODD)
    ]
    queries.append(Query("known by key", "law", "", split=Split.TRAIN))
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        stored = catalog.add_queries(connection, benchmark_id, queries)
        for expert in ("a", "b"):
            expert_id = experts.find_expert(connection, expert)
            run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"format": "table"})
            scores = [
                NewScore(
                    query.id,
                    query.stratum_id,
                    1 / (number + 1),
                    text=ODD[number % len(ODD)],
                    completion_tokens=number,
                    cost=0.1,
                )
                for number, query in enumerate(stored.values())
                if expert == "a" or number
            ]
            responses.write_scores(connection, expert_id, run_id, scores)
            aggregates.refresh(connection, [benchmark_id], {(expert_id, score.stratum_id) for score in scores})


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    store = connect(f"sqlite:///{tmp_path / 'other.db'}")
    upgrade(store)
    add_experts(store, a=1.0, b=None)
    yield store
    store.close()


def without_files(store: Store) -> dict[str, Any]:
    """The content of a store but its runs and imports, which name the imported files."""
    found = {table: rows for table, rows in content(store).items() if table != "run" and "import" not in table}
    return {
        table: sorted(
            json.dumps({k: v for k, v in json.loads(row).items() if k != "run_id"}) for row in rows.elements()
        )
        for table, rows in found.items()
    }


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_exported_scores_are_read_back_to_the_same_store(
    store: Store, other: Store, tmp_path: Path, suffix: str
) -> None:
    fill(store)
    path = tmp_path / f"scores{suffix}"
    exported = export(store, path)
    assert exported.figures["rows"] == 2 * (len(ODD) + 1) - 1
    assert path.stat().st_mode & 0o777 == 0o600
    summary = import_results(other, "all", path, form="table")
    assert not summary.skipped
    assert without_files(other) == without_files(store)
    assert import_results(other, "all", path, form="table").unchanged == exported.figures["rows"]


def test_exported_queries_are_read_back_by_add_benchmark(other: Store, tmp_path: Path) -> None:
    fill(other)
    path = tmp_path / "queries.csv"
    assert export(other, path, options={"what": "queries"}).figures["rows"] == len(ODD) + 1
    summary = add_benchmark(other, "toy", path)
    assert (summary.unchanged, summary.new_queries) == (len(ODD), 0)
    assert [row.reason for row in summary.skipped] == ["text is empty"], "add-benchmark takes no query without a text"


def test_no_cell_is_a_formula_and_no_control_character_is_written(other: Store, tmp_path: Path) -> None:
    fill(other)
    path = tmp_path / "scores.csv"
    export(other, path)
    text = path.read_bytes().decode()
    for row in csv.reader(text.splitlines(keepends=True)):
        assert not any(cell.lstrip().startswith(tuple("=+-@\uff1d")) for cell in row), row
    assert not set(text) & set("\x1b\u202e\u2028\r\t")


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["key", "text", "answer"]), st.text() | st.sampled_from(ODD)))
def test_cells_are_read_back_exactly(row: dict[str, str]) -> None:
    escaped = escape_cells(row)
    assert unescape_cells(list(escaped), list(escaped.values()))[:-1] == list(row.values())


def test_a_file_that_exists_is_not_replaced(other: Store, tmp_path: Path) -> None:
    fill(other)
    path = tmp_path / "scores.csv"
    path.write_text("mine")
    with pytest.raises(Exception, match="an export replaces nothing"):
        export(other, path)
    assert path.read_text() == "mine"


def test_nothing_remains_of_an_export_that_fails(other: Store, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(Exception, match="there are 0 benchmarks"):
        export(other, tmp_path / "scores.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_large_table_with_escaped_cells_is_read_back(store: Store, other: Store, tmp_path: Path) -> None:
    """A large table may be read in another way than a small one."""
    add_experts(store, a=1.0)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "toy")
        queries = [Query(f"k{number}", "law", f"=1+{number} " + "x" * 100_000) for number in range(8)]
        stored = catalog.add_queries(connection, benchmark_id, queries).values()
        expert_id = experts.find_expert(connection, "a")
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"format": "table"})
        scores = [NewScore(query.id, query.stratum_id, 0.5) for query in stored]
        responses.write_scores(connection, expert_id, run_id, scores)
    path = tmp_path / "scores.csv"
    export(store, path)
    import_results(other, "all", path, form="table")
    with store.reading() as connection, other.reading() as again:
        (one,) = connection.scalars(select(Benchmark.id))
        assert list(catalog.query_texts(again, one)) == list(catalog.query_texts(connection, one))
