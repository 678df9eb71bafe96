"""Insert many rows: executemany on SQLite, COPY into a staging table on PostgreSQL. And insert one row once.

Measured (docs/benchmarks.md): a round trip per row, the ORM's add_all and multi-row VALUES are several times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from benchcoe_jobs.store.tables import Base

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_new(connection: Connection, into: type[Base], **values: Any) -> bool:
    """Insert a row unless one with its primary or unique key exists. Returns whether it was inserted.

    PostgreSQL has several writers: if another transaction is inserting such a row, this one waits for its end.
    """
    statement = _INSERT[connection.dialect.name](into).values(**values).on_conflict_do_nothing()
    # Without this option SQLAlchemy forgets the count of an INSERT whose new key it reads (PostgreSQL).
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


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
    keys = [column.name for column in into.__table__.primary_key]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    on_conflict = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}" if replace else "ON CONFLICT DO NOTHING"

    # The drivers stream the rows. SQLAlchemy would collect them in a list, and does not support COPY.
    with closing(connection.connection.cursor()) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            cursor.executemany(f"{target} VALUES ({marks}) {on_conflict}", rows)  # type: ignore[arg-type]
            return
        cursor.execute("DROP TABLE IF EXISTS staging")
        cursor.execute(f"CREATE TEMP TABLE staging ON COMMIT DROP AS SELECT {names} FROM {into.__tablename__} LIMIT 0")
        with cursor.copy(f"COPY staging ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"{target} SELECT {names} FROM staging {on_conflict}")
