"""The scores of an expert with the content of their queries."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from benchcoe_jobs.domain import Query
from benchcoe_jobs.store.results import scored_rows
from benchcoe_jobs.store.results.scored_rows import ScoredRow


def scored_queries(
    connection: Connection, benchmark_id: int, expert_id: int, split: str | None
) -> Iterator[tuple[ScoredRow, Query]]:
    """The scores of an expert on a benchmark, or on one of its splits, by query id, each with its query."""
    for part in scored_rows.scored_rows(connection, benchmark_id, expert_id, split):
        queries = scored_rows.contents(connection, [row.query_id for row in part])
        for row in part:
            yield row, queries[row.query_id]
