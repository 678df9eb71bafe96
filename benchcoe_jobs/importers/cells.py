"""Results from cells under the names that a table of results has: key, subject, text, answer, score and so on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from benchcoe_jobs.domain import Query, Result, Scale, derived_key
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import FileError, Row, RowError

_MAX_LISTED = 20


def result(
    line: int,
    row: Row,
    benchmark: str,
    *,
    of: Query | None = None,
    expert: str | None = None,
    scale: Scale | None = None,
    task: str | None = None,
    file: str | None = None,
) -> Result:
    """The result of a row with a score.

    The cells are `score` (on `scale`; by default between 0 and 1, or true and false), those of `query` unless the query
    is given (`of`), and if they are known `response`, `prompt_tokens`, `completion_tokens` and `cost`. Raises RowError,
    and FileError for a score that is not on the scale.
    """
    value = columns.score(row, scale or Scale.FRACTION)  # first: a row that is skipped shows the scale of the file too
    return Result(
        line=line,
        benchmark=benchmark,
        query=query(row) if of is None else of,
        expert=expert,
        text=columns.text(row, "response"),
        score=value,
        prompt_tokens=columns.count(row, "prompt_tokens", least=0),
        completion_tokens=columns.count(row, "completion_tokens", least=0),
        cost=columns.cost(row),
        task=task,
        file=file,
    )


def query(row: Row) -> Query:
    """The query of a row: `subject`, `key` or `text` or both, and `choices` and `answer` if they are known.

    Without a key, it is derived from the content. Raises RowError.
    """
    found = Query(
        key=columns.name(row, "key") or "",
        subject=columns.required(row, "subject"),
        text=columns.text(row, "text") or "",
        choices=columns.choices(row),
        answer=columns.name(row, "answer"),
    )
    if found.key:
        return found
    if not found.text:
        raise RowError("it has neither a key nor a question")
    return replace(found, key=derived_key(found.content_hash))


def subject(row: Row, given: str | None, default: Any) -> str | None:
    """The subject of a row: the cell that --subject-from names, or else `default`.

    Raises FileError if the row has no such cell.
    """
    if given is None:
        return plain(default)
    if given not in row:
        names = ", ".join(columns.quoted(name) for name in list(row)[:_MAX_LISTED])
        raise FileError(f"it has no {columns.quoted(given)}, which --subject-from names, but {names}")
    return plain(row[given])


def plain(value: Any) -> str | None:
    """A value of a JSON file as text: numbers and truth values as JSON writes them, lists and objects in JSON.

    A list of one value is this value: some formats list all correct answers. Raises RowError for what is too deep.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 1:
        return plain(value[0])
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise RowError(f"{columns.quoted(type(value).__name__)} is too large or too deep") from None


def member(row: Row, name: str) -> Row:
    """An object within an object; empty if it is missing. Raises RowError if it is something else."""
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RowError(f"{name} {columns.quoted(value)} is not an object")
    return value
