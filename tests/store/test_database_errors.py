"""Errors of both databases are told by their codes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from benchcoe_jobs.errors import (
    BenchcoeError,
    InputError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from benchcoe_jobs.store.database_errors import explained
from benchcoe_jobs.store.session import Store, connect, open_store
from benchcoe_jobs.store.urls import sqlite_url


def of_sqlite(code: int, message: str = "a reason") -> sqlite3.Error:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_BUSY, StoreBusyError, "try again"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError, "try again"),
        (sqlite3.SQLITE_LOCKED, StoreBusyError, "try again"),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreError, "cannot be written"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StoreError, "cannot be opened"),
        (sqlite3.SQLITE_NOTADB, StoreError, "is damaged"),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreError, "is damaged"),
        (sqlite3.SQLITE_FULL, StoreError, "free some space"),
        (sqlite3.SQLITE_IOERR_WRITE, StoreError, "free some space"),
        (sqlite3.SQLITE_TOOBIG, InputError, "larger than SQLite can store"),
    ],
)
def test_codes_of_sqlite(code: int, kind: type[BenchcoeError], words: str) -> None:
    found = explained(of_sqlite(code, "locked, readonly and disk is full"), "x.db")
    assert type(found) is kind
    assert words in str(found)


def of_postgresql(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)("a reason\nDETAIL: more")


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("08006", StoreUnavailableError, "does not answer: a reason"),
        ("57P01", StoreUnavailableError, "does not answer"),
        ("57P03", StoreUnavailableError, "does not answer"),
        ("53300", StoreUnavailableError, "does not answer"),
        ("40P01", StoreBusyError, "try again"),
        ("40001", StoreBusyError, "try again"),
        ("55P03", StoreBusyError, "try again"),
        ("57014", StoreError, "statement_timeout"),
        ("25006", StoreError, "cannot be written"),
        ("42501", StoreError, "permissions of its role"),
        ("42P01", StoreError, "restore a backup"),
        ("42703", StoreError, "restore a backup"),
        ("53100", StoreError, "free some space"),
        ("58030", StoreError, "free some space"),
        ("XX001", StoreError, "log of the server"),
        ("28P01", StoreError, "refuses the connection"),
        ("3D000", StoreError, "refuses the connection"),
        ("54000", InputError, "cannot be stored"),
        ("22021", InputError, "cannot be stored"),
        ("22003", InputError, "cannot be stored"),
    ],
)
def test_codes_of_postgresql(state: str, kind: type[BenchcoeError], words: str) -> None:
    found = explained(of_postgresql(state), "db")
    assert type(found) is kind
    assert words in str(found)
    assert "DETAIL" not in str(found)


@pytest.mark.parametrize("state", ["23505", "42601", "42883"])
def test_errors_of_statements_are_bugs(state: str) -> None:
    assert explained(of_postgresql(state), "db") is None
    assert explained(of_sqlite(sqlite3.SQLITE_CONSTRAINT_UNIQUE), "x.db") is None
    assert explained(of_sqlite(sqlite3.SQLITE_ERROR, 'near "x": syntax error'), "x.db") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("connection failed: connection refused"), StoreUnavailableError),
        (psycopg.InterfaceError("the connection is closed"), StoreUnavailableError),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "ann"'), StoreError),
        (psycopg.OperationalError('FATAL:  database "x" does not exist'), StoreError),
        (psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), InputError),
        (psycopg.ProgrammingError("bad value for connect_timeout: 'x'"), UsageError),
    ],
)
def test_errors_of_psycopg_without_a_code(error: Exception, kind: type[BenchcoeError]) -> None:
    assert type(explained(error, "db")) is kind


def test_a_lost_table(store: Store, store_url: str) -> None:
    with store.writing() as connection:
        connection.execute(text("DROP TABLE batch_line"))
    with (
        pytest.raises(StoreError, match=r"is damaged \(.*batch_line.*\): restore a backup"),
        store.reading() as reading,
    ):
        reading.execute(text("SELECT * FROM batch_line"))


def test_a_lost_revision(store: Store, store_url: str) -> None:
    for statement in ("DELETE FROM alembic_version", "DROP TABLE alembic_version"):
        with store.writing() as connection:
            connection.execute(text(statement))
        with pytest.raises(StoreError, match="its schema revision is missing"):
            open_store(store_url)


def test_values_that_no_database_stores(store: Store) -> None:
    insert = text("INSERT INTO pool (name, min_coverage) VALUES (:name, :share)")
    with pytest.raises(InputError, match="surrogate"), store.writing() as connection:
        connection.execute(insert, {"name": "\ud800", "share": 0.5})
    if store.is_sqlite:
        with pytest.raises(InputError, match="too large"), store.writing() as connection:
            connection.execute(text("SELECT :n"), {"n": 2**70})
        return
    with pytest.raises(InputError, match="NUL"), store.writing() as connection:
        connection.execute(insert, {"name": "a\0b", "share": 0.5})
    with pytest.raises(InputError, match="cannot be stored in the database"), store.writing() as connection:
        connection.execute(insert, {"name": "".join(map(chr, range(300, 30_000))), "share": 0.5})


def test_a_server_that_refuses(fresh_postgres: Callable[[bool], str]) -> None:
    url = make_url(fresh_postgres(False)).set(database="none-such").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match="refuses the connection") as refused:
        open_store(url)
    assert not isinstance(refused.value, StoreUnavailableError)


def test_a_file_cut_short(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "x.db"
    shutil.copy(sqlite_template, path)
    with path.open("r+b") as file:
        file.truncate(40_000)
    store = connect(sqlite_url(path))
    with pytest.raises(StoreError, match="is damaged"), store.reading() as connection:
        connection.execute(text("SELECT * FROM expert, query, score, response, decision, job, shard")).fetchall()
    store.close()
