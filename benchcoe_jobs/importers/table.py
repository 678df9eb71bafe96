"""Tables with one row per query and expert, as CSV, JSONL or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchcoe_jobs.domain import Note, Query, Result, Scale, SkippedRow, derived_key
from benchcoe_jobs.importers import columns
from benchcoe_jobs.importers.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.rows import converted, read_rows, scaled

QUERY_COLUMNS = ("benchmark", "key", "text", "subject", "choices", "answer", "split")
RESULT_COLUMNS = (*QUERY_COLUMNS, "expert", "score", "tokens", "cost")


def read_results(
    path: Path, benchmark: str | None = None, scale: Scale = Scale.FRACTION
) -> Iterator[Result | SkippedRow | Note]:
    """The scores of queries in file order, and a SkippedRow for each row that cannot be used.

    Required columns: `subject`, `score` (on `scale`, or true and false), `key` or `text` or both, and `benchmark`
    unless it is given here. Optional: `expert`, `split`, `tokens` (of the response), `cost`, `choices`, `answer`. A
    key without a text names a stored query, or a query whose text is unknown. A file may have one row for each query
    and expert. Raises InputError as `read_rows` does, and for a score that is not on the scale.
    """
    duplicates = DuplicateGuard()

    def result(line: int, row: Row) -> Result:
        value = columns.score(row, scale)  # first: a row that is skipped shows the scale of the file too
        query = _query(row)
        score = Result(
            line=line,
            benchmark=columns.benchmark_of(row, benchmark),
            query=query,
            expert=columns.name(row, "expert"),
            score=value,
            completion_tokens=columns.count(row, "tokens", least=0),
            cost=columns.cost(row),
        )
        of_expert = f" of expert {score.expert!r}" if score.expert else ""
        duplicates.claim(line, f"query {query.key!r}{of_expert}", score.benchmark, score.expert, query.key)
        return score

    required = [("subject",), ("score",), ("key", "text"), *_benchmark_unless(benchmark)]
    return scaled(converted(path, read_rows(path, RESULT_COLUMNS, required), result), scale)


def read_queries(path: Path, benchmark: str) -> Iterator[tuple[int, Query] | SkippedRow | Note]:
    """The queries of a benchmark with their line numbers in file order, and a SkippedRow for each unusable row.

    Required columns: `text`, `subject`. Optional: `key`, `choices`, `answer`, `split`, `benchmark`. Raises InputError
    as `read_rows` does.
    """
    duplicates = DuplicateGuard()

    def numbered_query(line: int, row: Row) -> tuple[int, Query]:
        columns.benchmark_of(row, benchmark)
        query = _query(row)
        if not query.text:
            raise RowError("text is empty")
        duplicates.claim(line, f"query {query.key!r}", query.key)
        return line, query

    return converted(path, read_rows(path, QUERY_COLUMNS, [("subject",), ("text",)]), numbered_query)


def _query(row: Row) -> Query:
    """The query of a row. If the file has no keys, its key is derived from its content."""
    query = Query(
        key=columns.required(row, "key") if "key" in row else "",
        subject=columns.required(row, "subject"),
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
