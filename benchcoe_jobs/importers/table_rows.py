"""The meaning of a row of a table, for readers of rows and of columns."""

from __future__ import annotations

from dataclasses import replace

from benchcoe_jobs.domain import Query, Result, Scale, derived_key
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import Row, RowError

_CONTENT_COLUMNS = ("benchmark", "key", "text", "subject", "choices", "answer", "split")
QUERY_COLUMNS = (*_CONTENT_COLUMNS, "images")
RESULT_COLUMNS = (
    *_CONTENT_COLUMNS,
    "expert",
    "score",
    "response",
    "prompt_tokens",
    "completion_tokens",
    "tokens",
    "cost",
)


def row_result(line: int, row: Row, benchmark: str | None, scale: Scale) -> Result:
    """The result of one row. Raises RowError and FileError."""
    value = columns.score(row, scale)  # first: a row that is skipped shows the scale of the file too
    query = row_query(row)
    return Result(
        line=line,
        benchmark=columns.benchmark_of(row, benchmark),
        query=query,
        expert=columns.name(row, "expert"),
        score=value,
        text=columns.text(row, "response"),
        prompt_tokens=columns.count(row, "prompt_tokens", least=0),
        completion_tokens=_completion_tokens(row),
        cost=columns.cost(row),
    )


def required_columns(benchmark: str | None) -> list[tuple[str, ...]]:
    """The groups of columns of which a table of results must have one each, if `benchmark` is given or not."""
    return [("subject",), ("score",), ("key", "text"), *([] if benchmark else [("benchmark",)])]


def row_query(row: Row, images: tuple[bytes, ...] = ()) -> Query:
    """The query of a row, with these pictures. If the file has no keys, its key is derived from its content.

    Raises RowError.
    """
    query = Query(
        key=columns.required(row, "key") if "key" in row else "",
        subject=columns.required(row, "subject"),
        text=columns.text(row, "text") or "",
        choices=columns.choices(row),
        answer=columns.name(row, "answer"),
        split=columns.split(row),
        images=images,
    )
    if query.key:
        return query
    if not query.has_question:
        raise RowError("text is empty" if "text" in row else "key is missing")
    return replace(query, key=derived_key(query.content_hash))


def _completion_tokens(row: Row) -> int | None:
    """The tokens of the response. The column has two names."""
    long, short = (columns.count(row, name, least=0) for name in ("completion_tokens", "tokens"))
    if long is not None and short is not None and long != short:
        raise RowError(f"completion_tokens {long} and tokens {short} differ: they are one column")
    return short if long is None else long
