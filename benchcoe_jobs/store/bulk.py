"""Insert many rows: executemany on SQLite, COPY into a staging table on PostgreSQL. And insert one row once.

Measured (docs/benchmarks.md): a round trip per row, the ORM's add_all and multi-row VALUES are several times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs.store.tables import Base


def insert_new(connection: Connection, into: type[Base], **values: Any) -> bool:
    """Insert a row unless one with its primary or unique key exists. Returns whether it was inserted.

    PostgreSQL has several writers: if another transaction is inserting such a row, this one waits for its end.
    """
    statement = _insert(connection.dialect.name)(into).values(**values).on_conflict_do_nothing()
    # Without this option SQLAlchemy forgets the count of an INSERT whose new key it reads (PostgreSQL).
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def insert_few(connection: Connection, into: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Insert some rows, each with the same columns; a row whose primary or unique key exists is skipped.

    For small batches that follow one another quickly: no staging table is made.
    """
    if rows:
        connection.execute(_insert_or_skip(connection.dialect.name, into), rows)


@cache
def _insert_or_skip(dialect: str, into: type[Base]) -> Any:
    """The statement, made once: to make it takes longer than to insert a row."""
    return _insert(dialect)(into).on_conflict_do_nothing()


def _insert(dialect: str) -> Any:
    """The INSERT of a database. The dialect of the other one is not imported: it would take longer than an INSERT."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def insert(
    connection: Connection,
    into: type[Base],
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    replace: bool = False,
) -> None:
    """Insert `rows`, tuples in the order of `columns`.

    A row whose primary or unique key exists is skipped. With `replace`, a row whose primary key exists gets the new
    values.
    """
    names = ", ".join(columns)
    target = f"INSERT INTO {into.__tablename__} ({names})"
    otherwise = on_conflict(into, columns) if replace else "ON CONFLICT DO NOTHING"

    # The drivers stream the rows. SQLAlchemy would collect them in a list, and does not support COPY.
    with closing(connection.connection.cursor()) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            cursor.executemany(f"{target} VALUES ({marks}) {otherwise}", rows)  # type: ignore[arg-type]
            return
        create_staging(cursor, into, names)
        with cursor.copy(f"COPY staging ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"{target} SELECT {names} FROM staging {otherwise}")


def on_conflict(into: type[Base], columns: Sequence[str]) -> str:
    """The clause by which a row whose primary key exists gets the new values of `columns`."""
    keys = [column.name for column in into.__table__.primary_key]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"


def create_staging(cursor: Any, into: type[Base], names: str) -> None:
    cursor.execute("DROP TABLE IF EXISTS staging")
    cursor.execute(f"CREATE TEMP TABLE staging ON COMMIT DROP AS SELECT {names} FROM {into.__tablename__} LIMIT 0")
