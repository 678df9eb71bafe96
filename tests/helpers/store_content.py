"""The whole content of a store in a form in which two stores can be compared.

Two stores with the same results differ in their ids, times and durations. Here every row is written with the natural
key of each row that it refers to: the columns of that table's first unique constraint, such as a name, a key or a
fingerprint. The tables of the job queue can be left out, because they record attempts; a submitted line counts once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from sqlalchemy import Column, RowMapping, Table, UniqueConstraint, select

from benchcoe_jobs.store.job_queue import tables as _queue  # noqa: F401  (it declares tables)
from benchcoe_jobs.store.results import checks as _checks  # noqa: F401
from benchcoe_jobs.store.results import import_tables as _imports  # noqa: F401
from benchcoe_jobs.store.results import settling as _settling  # noqa: F401
from benchcoe_jobs.store.routing import tables as _routing  # noqa: F401
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Base, UtcTime

Content: TypeAlias = dict[str, Counter[str]]
"""Table -> its rows as JSON, with the number of equal rows."""

Names: TypeAlias = dict[str, dict[int, str]]
"""Table -> id -> the natural key of the row."""

ATTEMPTS = {"job", "shard_group", "shard", "worker"}
"""Tables that record attempts, and not results."""

DURATIONS = {"latency_s", "seconds"}

COUNTS_OF_ATTEMPTS = {"inference"}
"""Keys of reports: what an evaluation itself asked."""

SHOWN = 500
"""Characters that a difference quotes."""


def content(store: Store, *, attempts: bool = False) -> Content:
    """Every row of every table; those of the job queue only with `attempts`."""
    tables = Base.metadata.sorted_tables
    with store.reading() as connection:
        rows = {table.name: list(connection.execute(select(table)).mappings()) for table in tables}
    names: Names = {}
    for table in tables:  # parents first: a key refers to tables for which it has foreign keys
        if "id" in table.columns and (key := _key(table)):
            names[table.name] = {row["id"]: _row(row, key, names) for row in rows[table.name]}
    found: Content = {}
    for table in tables:
        if attempts or table.name not in ATTEMPTS:
            columns = [column for column in table.columns if _is_content(column)]
            found[table.name] = Counter(_row(row, columns, names) for row in rows[table.name])
    found["batch_line"] = Counter(dict.fromkeys(found["batch_line"], 1))  # a file that was submitted twice
    return found


def differences(found: Content, expected: Content) -> list[str]:
    """One line for each table that differs: its numbers of missing and superfluous rows, and what the first one has."""
    lines = []
    for table in sorted(found.keys() | expected.keys()):
        here, wanted = found.get(table, Counter()), expected.get(table, Counter())
        missing, superfluous = sorted((wanted - here).elements()), sorted((here - wanted).elements())
        if missing or superfluous:
            first = [json.loads(rows[0]) if rows else {} for rows in (superfluous, missing)]
            what = "; ".join(f"{path} is {a!r}, not {b!r}" for path, a, b in _unequal(*first))
            lines.append(f"{table}: {len(missing)} rows missing, {len(superfluous)} superfluous: {what[:SHOWN]}")
    return lines


def _unequal(found: Any, expected: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The path and both values of everything in which two JSON values differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            yield from _unequal(found.get(key), expected.get(key), f"{path}.{key}" if path else key)
    elif found != expected:
        yield path, found, expected


def _key(table: Table) -> list[Column[Any]]:
    """The columns of the table's first unique constraint, in order."""
    unique = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    first = min(unique, key=lambda each: [column.name for column in each.columns], default=None)
    return list(first.columns) if first else []


def _is_content(column: Column[Any]) -> bool:
    is_own_id = column.name in ("id", "job_id", "import_id")
    return not (is_own_id or isinstance(column.type, UtcTime) or column.name in DURATIONS)


def _row(row: RowMapping, columns: list[Column[Any]], names: Names) -> str:
    written = {column.name: _written(column, row[column.name], names) for column in columns}
    return json.dumps(written, sort_keys=True, ensure_ascii=False, default=str)


def _written(column: Column[Any], value: Any, names: Names) -> Any:
    """A value, with the natural key of a row in the place of its id, and without durations."""
    if value is None:
        return None
    parent = next((key.column.table.name for key in column.foreign_keys), column.name.removesuffix("_id"))
    if isinstance(value, int) and column.name.endswith("_id") and parent in names:
        return names[parent].get(value, f"no {parent} with id {value}")
    return value.hex() if isinstance(value, bytes) else _without_durations(value)


def _without_durations(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not _varies(key)}
        return {key: _without_durations(each) for key, each in kept.items()}
    return [_without_durations(each) for each in value] if isinstance(value, list) else value


def _varies(key: str) -> bool:
    return "second" in key or key.endswith("_s") or key in COUNTS_OF_ATTEMPTS
