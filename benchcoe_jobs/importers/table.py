"""Tables that anyone can make: one row per query and expert, as CSV, JSONL or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchcoe_jobs.domain import Query, Result, SkippedRow, derived_key
from benchcoe_jobs.importers import columns
from benchcoe_jobs.importers.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.rows import converted, read_rows

QUERY_COLUMNS = ("benchmark", "key", "text", "subject", "choices", "answer", "split")
RESULT_COLUMNS = (*QUERY_COLUMNS, "expert", "score", "tokens", "cost")


def read_results(path: Path, benchmark: str | None = None) -> Iterator[Result | SkippedRow]:
    """Scores of queries, in file order; a SkippedRow for each row that cannot be used.

    Columns: `subject`, `score` (0 to 1), `key` or `text` or both, and `benchmark` unless it is
    given here; further `expert`, `split`, `tokens` (of the response), `cost`, `choices`, `answer`.
    A key without a text names a query that is stored already, or one whose text nobody knows.
    A query and expert stand once in a file. Raises InputError as `read_rows` does.
    """
    firsts = DuplicateGuard()

    def result(line: int, row: Row) -> Result:
        query = _query(row)
        made = Result(
            line=line,
            benchmark=columns.benchmark_of(row, benchmark),
            query=query,
            expert=columns.name(row, "expert"),
            score=columns.score(row),
            completion_tokens=columns.count(row, "tokens", least=0),
            cost=columns.cost(row),
        )
        of_expert = f" of expert {made.expert!r}" if made.expert else ""
        firsts.claim(line, f"query {query.key!r}{of_expert}", made.benchmark, made.expert, query.key)
        return made

    required = [("subject",), ("score",), ("key", "text"), *_benchmark_unless(benchmark)]
    return converted(read_rows(path, RESULT_COLUMNS, required), result)


def read_queries(path: Path, benchmark: str) -> Iterator[tuple[int, Query] | SkippedRow]:
    """Queries of a benchmark with their line numbers, in file order; a SkippedRow for each unusable row.

    Columns: `text`, `subject`; further `key`, `choices`, `answer`, `split`, `benchmark`.
    Raises InputError as `read_rows` does.
    """
    firsts = DuplicateGuard()

    def numbered_query(line: int, row: Row) -> tuple[int, Query]:
        columns.benchmark_of(row, benchmark)
        query = _query(row)
        if not query.text:
            raise RowError("text is empty")
        firsts.claim(line, f"query {query.key!r}", query.key)
        return line, query

    return converted(read_rows(path, QUERY_COLUMNS, [("subject",), ("text",)]), numbered_query)


def _query(row: Row) -> Query:
    """The query of a row; where the file has no keys, its content makes one."""
    query = Query(
        key=columns.needed(row, "key") if "key" in row else "",
        subject=columns.needed(row, "subject"),
        text=columns.text(row, "text") or "",
        choices=columns.choices(row),
        answer=columns.name(row, "answer"),
        split=columns.split(row),
    )
    if query.key:
        return query
    if not query.text:
        raise RowError("text is empty" if "text" in row else "key is missing")
    return replace(query, key=derived_key(query.content_hash))


def _benchmark_unless(given: str | None) -> list[tuple[str, ...]]:
    return [] if given else [("benchmark",)]
