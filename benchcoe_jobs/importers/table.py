"""Tables with one row per query and expert, as CSV, JSONL or Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchcoe_jobs.domain import Note, Query, Result, Scale, SkippedRow
from benchcoe_jobs.importers.base import Item, ReadOptions, ScoreColumns
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import DuplicateGuard, Row, RowError
from benchcoe_jobs.importers.reading.rows import converted, read_rows, scaled
from benchcoe_jobs.importers.row_pictures import row_pictures
from benchcoe_jobs.importers.source import Source
from benchcoe_jobs.importers.table_rows import (
    QUERY_COLUMNS,
    RESULT_COLUMNS,
    required_columns,
    row_query,
    row_result,
)


class TableImporter:
    """The format `table`."""

    def recognise(self, source: Source) -> str | None:
        """By its columns; a folder also by having no other files than Parquet files."""
        names = set(source.columns)
        if source.is_folder and not all(file.suffix.lower() == ".parquet" for file in source.files):
            return None
        if not ({"subject", "score"} <= names and names & {"key", "text"}):
            return None
        return f"it has the columns {'key' if 'key' in names else 'text'}, subject and score"

    def read(self, source: Source, options: ReadOptions) -> Iterator[Item]:
        """The scores, as `read_results` yields them."""
        options.require_only("table", "scale", "columns")
        return read_results(source.path, options.benchmark, options.scale or Scale.FRACTION, options.columns)

    def columns(self, source: Source, options: ReadOptions) -> ScoreColumns | None:
        """The scores in columns, as `score_columns` finds them."""
        from benchcoe_jobs.importers.score_columns import score_columns

        options.require_only("table", "scale", "columns")
        return score_columns(source.path, options.benchmark, options.scale or Scale.FRACTION, options.columns)


TABLE = TableImporter()


def read_results(
    path: Path,
    benchmark: str | None = None,
    scale: Scale = Scale.FRACTION,
    mapped: Mapping[str, str] | None = None,
) -> Iterator[Result | SkippedRow | Note]:
    """The scores of queries in file order, and a SkippedRow for each row that cannot be used.

    Required columns: `subject`, `score` (on `scale`, or true and false), `key` or `text` or both, and `benchmark`
    unless it is given here. Optional: `expert`, `split`, `response`, `prompt_tokens`, `completion_tokens` (or
    `tokens`), `cost`, `choices`, `answer`. `mapped` names the columns of the file that have them under other names;
    further columns are ignored. A key without a text names a stored query, or a query whose text is unknown. A file
    may have one row for each query and expert. Raises InputError as `read_rows` does, and for a score that is not on
    the scale; UsageError for an unknown column in `mapped`.
    """
    duplicates = DuplicateGuard()

    def result(line: int, row: Row) -> Result:
        score = row_result(line, row, benchmark, scale)
        of_expert = f" of expert {score.expert!r}" if score.expert else ""
        duplicates.claim(line, f"query {score.query.key!r}{of_expert}", score.benchmark, score.expert, score.query.key)
        return score

    rows = read_rows(path, RESULT_COLUMNS, required_columns(benchmark), mapped or {})
    return scaled(converted(path, rows, result), scale)


def read_queries(path: Path, benchmark: str) -> Iterator[tuple[int, Query] | SkippedRow | Note]:
    """The queries of a benchmark with their line numbers in file order, and a SkippedRow for each unusable row.

    Required columns: `subject`, and `text` or `images`, whose paths begin at the folder of the file. A row has one of
    both at least. Optional: `key`, `choices`, `answer`, `split`, `benchmark`. Raises InputError as `read_rows` does.
    """
    duplicates = DuplicateGuard()
    folder = path if path.is_dir() else path.parent

    def numbered_query(line: int, row: Row) -> tuple[int, Query]:
        columns.benchmark_of(row, benchmark)
        query = row_query(row, row_pictures(row, folder))
        if not query.has_question:
            raise RowError("text is empty")
        duplicates.claim(line, f"query {query.key!r}", query.key)
        return line, query

    return converted(path, read_rows(path, QUERY_COLUMNS, [("subject",), ("text", "images")]), numbered_query)
