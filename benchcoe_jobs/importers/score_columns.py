"""The scores of a table as a grid, for tables whose rows are all plain: `table_rows.py` decides what a row means.

A large table has many rows of few queries. Each distinct query is converted once, by the function that converts a row,
and the scores are placed in an array. A file in which any row would be skipped or refused has no columns here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchcoe_jobs.arrays import Floats, Ints
from benchcoe_jobs.domain import Note, Result, Scale
from benchcoe_jobs.errors import InputError
from benchcoe_jobs.importers.base import NotPlainError, ScoreColumns
from benchcoe_jobs.importers.column_file import Column, Places, read_columns
from benchcoe_jobs.importers.reading import columns
from benchcoe_jobs.importers.reading.columns import FileError, RowError
from benchcoe_jobs.importers.reading.header import Header
from benchcoe_jobs.importers.reading.rows import scaled
from benchcoe_jobs.importers.table_rows import RESULT_COLUMNS, required_columns, row_query

_CONTENT = ("text", "choices", "answer")
_OF_QUERY = ("benchmark", "subject", "split", *_CONTENT)
_OF_RESPONSE = ("response", "prompt_tokens", "completion_tokens", "tokens", "cost")
_MISSING = (None, "")
_CELLS_PER_ROW = 4
"""The largest grid, in cells for each row: a table of which each expert has few queries is read row by row."""


def score_columns(path: Path, benchmark: str | None, scale: Scale, mapped: Mapping[str, str]) -> ScoreColumns | None:
    """The results of a table; None if it must be read row by row."""
    try:
        header = Header(path, RESULT_COLUMNS, required_columns(benchmark), mapped)
        rows, experts, values, n = _scores(read_columns(path, header), benchmark, scale)
    except (NotPlainError, RowError, FileError, InputError, ImportError):
        return None
    highest = rows[0]._replace(score=float(np.nanmax(values)))
    about_scale = [item for item in scaled([highest], scale) if isinstance(item, Note)]
    return ScoreColumns(rows, experts, values, n, [*header.notes(), *about_scale])


def _scores(
    table: Mapping[str, Column], benchmark: str | None, scale: Scale
) -> tuple[list[Result], list[str | None], Floats, int]:
    if any(cell not in _MISSING for name in _OF_RESPONSE if name in table for cell in table[name].cells):
        raise NotPlainError
    query, first = _numbered(_identity(table))
    _require_equal_queries(table, first[query], has_keys="key" in table)
    rows = _rows(table, first, benchmark)
    if len({(row.benchmark, row.query.key) for row in rows}) < len(rows):
        raise NotPlainError
    expert, experts = _experts(table, len(query))
    value = np.array([columns.score({"score": cell}, scale) for cell in table["score"].cells])[table["score"].places]
    if len(rows) * len(experts) > max(10_000, _CELLS_PER_ROW * len(query)):
        raise NotPlainError
    grid = np.full((len(rows), len(experts)), np.nan)
    grid[query, expert] = value
    if np.count_nonzero(~np.isnan(grid)) < len(query):  # a query has several rows of an expert
        raise NotPlainError
    return rows, experts, grid, len(query)


def _identity(table: Mapping[str, Column]) -> Ints:
    """For each row a number, equal for rows with the same benchmark and key, or text if the file has no keys."""
    name = table["key"] if "key" in table else table["text"]
    places = name.places.astype(np.int64)
    if "benchmark" in table and len(table["benchmark"].cells) > 1:
        places += table["benchmark"].places.astype(np.int64) * len(name.cells)
        places = np.unique(places, return_inverse=True)[1]
    return places


def _numbered(places: Ints | Places) -> tuple[Ints, Ints]:
    """For each row the number of its value, in the order in which the values occur first, and the first row of each."""
    n = len(places)
    first = np.full(int(places.max()) + 1, n)
    first[places[::-1]] = np.arange(n)[::-1]
    order = np.argsort(first, kind="stable")
    order = order[first[order] < n]
    number = np.empty(len(first), np.int64)
    number[order] = np.arange(len(order))
    return number[places], first[order]


def _require_equal_queries(table: Mapping[str, Column], first: Ints, *, has_keys: bool) -> None:
    """Raise NotPlainError unless each row has the query of the first row with its key, or its key and subject alone."""
    differs = {name: table[name].places != table[name].places[first] for name in _OF_QUERY if name in table}
    content = [name for name in _CONTENT if name in table]
    other = np.zeros(len(first), bool)
    for name in content:
        other |= differs[name]
    if any(differs[name].any() for name in differs if name not in content):
        raise NotPlainError
    if other.any() and not (has_keys and all(_is_missing(table[name])[other].all() for name in content)):
        raise NotPlainError


def _is_missing(column: Column) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    missing = np.array([cell in _MISSING for cell in column.cells])
    return missing[column.places]


def _rows(table: Mapping[str, Column], first: Ints, benchmark: str | None) -> list[Result]:
    """The queries of the first rows, as `row_result` has them: its other columns are empty, or read in `_scores`."""
    cells = {
        name: [table[name].cells[at] for at in table[name].places[first].tolist()]
        for name in ("key", "subject", "split", *_CONTENT)
        if name in table
    }
    named = table.get("benchmark", Column([None], np.zeros_like(table["subject"].places)))
    benchmarks = [columns.benchmark_of({"benchmark": cell}, benchmark) for cell in named.cells]
    return [
        Result(place + 1, benchmarks[at], row_query(dict(zip(cells, row, strict=True))))
        for place, at, row in zip(
            first.tolist(), named.places[first].tolist(), zip(*cells.values(), strict=True), strict=True
        )
    ]


def _experts(table: Mapping[str, Column], n: int) -> tuple[Ints, list[str | None]]:
    """For each row the number of its expert, and the names of the experts."""
    if "expert" not in table:
        return np.zeros(n, np.int64), [None]
    column = table["expert"]
    expert, first = _numbered(column.places)
    names = [columns.name({"expert": column.cells[column.places[place]]}, "expert") for place in first.tolist()]
    if len(set(names)) < len(names) or (None in names and len(names) > 1):
        raise NotPlainError
    return expert, names
