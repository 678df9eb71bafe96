"""Bulk inserts: rows that exist are skipped or replaced."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Benchmark, Extraction, Subject

COLUMNS = ["expert_id", "query_id", "answer", "rule"]


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    rows = connection.execute(
        select(Extraction.query_id, Extraction.answer, Extraction.rule).order_by(Extraction.query_id)
    )
    return [tuple(row) for row in rows]


def test_existing_rows_are_skipped_or_replaced(store: Store) -> None:
    with store.writing() as connection:
        bulk.insert(connection, Extraction, COLUMNS, [(1, 1, "A", "first"), (1, 2, None, "none")])
        bulk.insert(connection, Extraction, COLUMNS, [(1, 2, "B", "second"), (1, 3, "C", "second")])
        assert stored(connection) == [(1, "A", "first"), (2, None, "none"), (3, "C", "second")]
        bulk.insert(connection, Extraction, COLUMNS, [(1, 2, "B", "second"), (1, 4, "D", "second")], replace=True)
        assert stored(connection)[1:] == [(2, "B", "second"), (3, "C", "second"), (4, "D", "second")]


def test_a_row_is_inserted_once(store: Store) -> None:
    with store.writing() as connection:
        assert bulk.insert_new(connection, Benchmark, name="bench")
        assert not bulk.insert_new(connection, Benchmark, name="bench")
        assert connection.scalars(select(Benchmark.name)).all() == ["bench"]


def test_unique_keys_count_and_any_iterable_will_do(store: Store) -> None:
    with store.writing() as connection:
        bulk.insert(connection, Benchmark, ["name", "created_at"], [])
        bulk.insert(connection, Benchmark, ["name", "created_at"], [("bench", "2026-01-01 00:00:00")])
        benchmark_id = connection.scalars(select(Benchmark.id)).one()
        for names in ("ab", "bc"):
            bulk.insert(connection, Subject, ["benchmark_id", "name"], ((benchmark_id, name) for name in names))
        assert connection.scalars(select(Subject.name).order_by(Subject.name)).all() == ["a", "b", "c"]
