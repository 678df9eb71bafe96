"""Connections and transactions: a Store for a database URL, with reading and writing blocks.

Both databases are used through SQLAlchemy Core connections. On SQLite, pragmas are set here, and writers begin with
BEGIN IMMEDIATE, so that two writers wait for each other instead of failing in the middle of a transaction.
"""

from __future__ import annotations

import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from benchcoe_jobs.errors import MissingError, StoreError, UsageError
from benchcoe_jobs.store.database_errors import explained
from benchcoe_jobs.store.urls import DatabaseUrl, parse, require_known_options

HEAD_REVISION = "0018"
"""The schema revision that this code reads and writes. A test compares it with the migrations."""

_OWN_TABLE = "pool_rank"
"""A table that every store has, and hardly any database of another program."""

OLDEST_SQLITE = (3, 35)  # UPDATE ... RETURNING
BUSY_TIMEOUT_S = 30
PAGE_BYTES = 16384  # long responses: fewer overflow pages
CACHE_KIB = 65536

SILENCE_S = 25
"""Seconds without network traffic after which a PostgreSQL connection counts as lost: less than half a lease."""

# libpq's parameters, which a URL may override, and the server's settings for its end of the connection. By default
# both use the kernel's two hours. For that time, the session of a worker that has disappeared would keep the locks of
# its transaction, and sweeps would skip its shard long after its lease expired.
_KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}
_KEEPALIVES = {f"keepalives_{name}": n for name, n in _KEEPALIVE.items()} | {"tcp_user_timeout": SILENCE_S * 1000}
_SERVER_KEEPALIVES = "; ".join(
    [
        *(f"SET tcp_keepalives_{name} = {n}" for name, n in _KEEPALIVE.items()),
        f"SET tcp_user_timeout = {SILENCE_S * 1000}",
    ]
)


class Store:
    """A result store. `connect` creates one; `open_store` also checks its schema."""

    def __init__(self, engine: Engine, address: DatabaseUrl) -> None:
        self.engine = engine
        self.address = address

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def shown_url(self) -> str:
        """The URL with its passwords masked, including those in the driver's options."""
        return self.address.shown

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction for reading, with one consistent snapshot."""
        with _explained(self), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits at the end of the block and rolls back on any exception."""
        connected = self.engine.connect
        with _explained(self), connected().execution_options(writes=True) as connection, connection.begin():
            try:
                yield connection
            except KeyboardInterrupt:
                if not self.is_sqlite:  # a statement may still be running: it ends with its connection
                    connection.invalidate()
                raise

    def revision(self) -> str | None:
        """The schema revision; None if `init` has not run."""
        if not _file_has_content(self.address):
            return None
        with self.reading() as connection:
            return revision_of(connection)

    def close(self) -> None:
        self.engine.dispose()


def revision_of(connection: Connection) -> str | None:
    """The schema revision of the store behind a connection; None if there is no store. Raises StoreError.

    Tables without a revision are what a damaged store has, or one whose dump was restored in part.
    """
    has_table = connection.dialect.has_table
    if has_table(connection, "alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None:
            return str(found)
    if has_table(connection, _OWN_TABLE):
        raise StoreError("the store is damaged: its schema revision is missing. Restore a backup (docs/operations.md)")
    return None


def open_store(url: str) -> Store:
    """The store at `url`, with its schema checked.

    Raises StoreError if the store does not exist or is older (run `init`), or if it is newer than this program.
    """
    store = connect(url)
    try:
        _require_schema(store.revision(), store.shown_url)
    except BaseException:
        store.close()
        raise
    return store


def _require_schema(revision: str | None, where: str) -> None:
    if revision is None:
        raise StoreError(f"there is no result store at {where}: run `benchcoe-jobs init` first")
    require_not_newer(revision, where)
    if revision != HEAD_REVISION:
        raise StoreError(
            f"the store at {where} has schema {revision}, this program needs {HEAD_REVISION}: "
            "run `benchcoe-jobs init` to upgrade it"
        )


def require_not_newer(revision: str, where: str) -> None:
    """Raise StoreError if a store is of a later release, or of another program that uses Alembic."""
    if not re.fullmatch(r"\d{4}", revision):
        raise StoreError(f"the database at {where} has schema {revision!r}, which is that of another program")
    if revision > HEAD_REVISION:
        raise StoreError(
            f"the store at {where} has schema {revision}, newer than this program's {HEAD_REVISION}: "
            "upgrade benchcoe-jobs"
        )


def connect(url: str) -> Store:
    """A Store for a SQLite or PostgreSQL URL. It opens no connection. Raises UsageError, MissingError."""
    address = parse(url)
    keepalives = {} if address.is_sqlite else _KEEPALIVES
    try:
        engine = create_engine(
            address.url, connect_args={name: n for name, n in keepalives.items() if name not in address.url.query}
        )
        if not address.is_sqlite:
            require_known_options(address.url)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            "the database URL cannot be read: it looks like sqlite:///benchcoe.db or postgresql://user@host/name"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingError(f"{error.name} is not installed: run pip install 'benchcoe-jobs[postgres]'") from error
    if address.is_sqlite:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise MissingError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
        event.listen(engine, "connect", _prepare_read_only_sqlite if address.is_read_only else _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
    return Store(engine, address)


def _prepare_sqlite(dbapi: sqlite3.Connection, _record: Any) -> None:
    dbapi.isolation_level = None  # BEGIN is sent by `_begin_sqlite`, not by the driver
    dbapi.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    tables = {name for (name,) in dbapi.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables or _OWN_TABLE in tables:  # a wrong URL must not change another program's database
        dbapi.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        _write_ahead(dbapi)
    dbapi.execute("PRAGMA synchronous = NORMAL")
    _prepare_reading(dbapi)


def _write_ahead(dbapi: sqlite3.Connection) -> None:
    """Set the journal mode of a file. SQLite does not apply its busy timeout to this change.

    It fails at once if another process changes the mode of the same new file at that moment.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            dbapi.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare_read_only_sqlite(dbapi: sqlite3.Connection, _record: Any) -> None:
    dbapi.isolation_level = None
    dbapi.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _prepare_reading(dbapi)


def _prepare_reading(dbapi: sqlite3.Connection) -> None:
    dbapi.execute("PRAGMA foreign_keys = ON")
    dbapi.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    dbapi.execute("PRAGMA temp_store = MEMORY")


def _prepare_postgresql(dbapi: Any, _record: Any) -> None:
    dbapi.execute(_SERVER_KEEPALIVES)
    dbapi.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _file_has_content(address: DatabaseUrl) -> bool:
    """Whether a store may exist at an address, so that looking at it creates no file. Raises StoreError."""
    if address.path is None:
        return True
    try:
        found = address.path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"the store at {address.shown} cannot be opened: {error.strerror or error}") from error
    if not stat.S_ISREG(found.st_mode):  # opening a pipe or a device could wait forever
        raise StoreError(f"the store at {address.shown} cannot be opened: it is not a file")
    return found.st_size > 0


@contextmanager
def _explained(store: Store) -> Iterator[None]:
    """Turn errors of the database into StoreErrors with one line that says what to do."""
    try:
        yield
    except (DatabaseError, UnicodeEncodeError, OverflowError, store.engine.dialect.loaded_dbapi.Error) as error:
        if (known := explained(error, store.shown_url)) is None:
            raise
        raise known from error
