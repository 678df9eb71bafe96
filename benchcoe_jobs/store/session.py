"""Connections and transactions: a Store for a database URL, with reading and writing blocks.

Both databases are used through SQLAlchemy Core connections. On SQLite, pragmas are set here, and writers begin with
BEGIN IMMEDIATE, so that two writers wait for each other instead of failing in the middle of a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from benchcoe_jobs.errors import MissingError, StoreBusyError, StoreError, StoreUnavailableError, UsageError

HEAD_REVISION = "0005"
"""The schema revision that this code reads and writes. A test compares it with the migrations."""

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

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def shown_url(self) -> str:
        """The URL with its passwords masked, including those in the driver's options."""
        url = self.engine.url
        secret = {name: "hidden" for name in url.query if "password" in name.lower()}
        return url.update_query_dict(secret).render_as_string(hide_password=True)

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
        if self.is_sqlite and not _sqlite_file_exists(self.engine):
            return None
        with self.reading() as connection:
            if not self.engine.dialect.has_table(connection, "alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        self.engine.dispose()


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
    if revision < HEAD_REVISION:
        raise StoreError(
            f"the store at {where} has schema {revision}, this program needs {HEAD_REVISION}: "
            "run `benchcoe-jobs init` to upgrade it"
        )
    if revision > HEAD_REVISION:
        raise StoreError(
            f"the store at {where} has schema {revision}, newer than this program's {HEAD_REVISION}: "
            "upgrade benchcoe-jobs"
        )


def connect(url: str) -> Store:
    """A Store for a SQLite or PostgreSQL URL. It opens no connection. Raises UsageError, MissingError."""
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(f"database {parsed.get_backend_name()!r} is not supported: use sqlite or postgresql")
        given = parsed.query
        keepalives = {} if parsed.get_backend_name() == "sqlite" else _KEEPALIVES
        engine = create_engine(parsed, connect_args={name: n for name, n in keepalives.items() if name not in given})
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: the port is not a number
        raise UsageError(
            "the database URL cannot be read: it looks like sqlite:///benchcoe.db or postgresql://user@host/name"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingError(f"{error.name} is not installed: run pip install 'benchcoe-jobs[postgres]'") from error
    if engine.dialect.name == "sqlite":
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise MissingError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
    return Store(engine)


def _prepare_sqlite(dbapi: sqlite3.Connection, _record: Any) -> None:
    dbapi.isolation_level = None  # BEGIN is sent by `_begin_sqlite`, not by the driver
    dbapi.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    tables = {name for (name,) in dbapi.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables or "pool_rank" in tables:  # a wrong URL must not change another program's database
        dbapi.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        dbapi.execute("PRAGMA journal_mode = WAL")
    dbapi.execute("PRAGMA synchronous = NORMAL")
    dbapi.execute("PRAGMA foreign_keys = ON")
    dbapi.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    dbapi.execute("PRAGMA temp_store = MEMORY")


def _prepare_postgresql(dbapi: Any, _record: Any) -> None:
    dbapi.execute(_SERVER_KEEPALIVES)
    dbapi.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _sqlite_file_exists(engine: Engine) -> bool:
    path = engine.url.database
    return not path or path == ":memory:" or (Path(path).exists() and Path(path).stat().st_size > 0)


@contextmanager
def _explained(store: Store) -> Iterator[None]:
    """Turn errors of the database into StoreErrors with one line that says what to do."""
    try:
        yield
    except (DatabaseError, store.engine.dialect.loaded_dbapi.Error) as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        where = store.shown_url
        if "locked" in reason or "busy" in reason:
            raise StoreBusyError(
                f"the store at {where} is being written by another process: try again when it is done"
            ) from error
        if "readonly" in reason or "read-only" in reason or "attempt to write" in reason:
            raise StoreError(f"the store at {where} cannot be written: check the permissions of its folder") from error
        if "unable to open" in reason:
            raise StoreError(
                f"the store at {where} cannot be opened: check that its folder exists and can be written"
            ) from error
        if "not a database" in reason or "malformed" in reason:
            raise StoreError(f"{where} is not a SQLite database or is damaged: {reason}") from error
        if any(words in reason for words in ("disk is full", "No space left", "disk I/O error")):
            raise StoreError(
                f"the disk under {where} is full or faulty ({reason}): free some space and try again"
            ) from error
        if isinstance(cause, store.engine.dialect.loaded_dbapi.OperationalError) and not store.is_sqlite:
            raise StoreUnavailableError(f"the database at {where} does not answer: {reason}") from error
        raise
