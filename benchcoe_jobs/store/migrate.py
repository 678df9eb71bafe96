"""Create or upgrade a store. The only module of the store that imports Alembic."""

from __future__ import annotations

import os
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.store.session import HEAD_REVISION, Store, require_not_newer, revision_of

_LOCK = 0x62656E6368636F65  # "benchcoe" in ASCII
"""The advisory lock of PostgreSQL that a process holds while it changes the schema."""


def alembic_config() -> Config:
    """The Alembic configuration for the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", "benchcoe_jobs.migrations:")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(store: Store) -> str | None:
    """Bring a store to HEAD_REVISION in one transaction. It is safe to repeat, also while other processes do the same.

    A new SQLite file can be read and written by its owner alone; SQLite gives its other files the same permissions.
    Returns the revision before, None for an empty store. Raises StoreError if the store is newer than this program, if
    its folder does not exist, or if the file belongs to another program.
    """
    if (path := store.address.path) is not None:
        if not path.resolve().parent.is_dir():
            raise StoreError(f"the folder {path.resolve().parent} does not exist: create it first")
        if not store.address.is_read_only:
            _create(path)
    if store.revision() == HEAD_REVISION:
        return HEAD_REVISION
    with store.writing() as connection:
        if not store.is_sqlite:  # SQLite has one writer at a time
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = revision_of(connection)  # another process may have upgraded the store in the meantime
        if before is not None:
            require_not_newer(before, store.shown_url)
        elif store.is_sqlite:
            _require_empty(connection, store.shown_url)
        if before != HEAD_REVISION:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if not store.is_sqlite:
                _comment(connection)
    return before


def _create(path: Path) -> None:
    """Create an empty file, if there is none, that only this user can read."""
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"the store at {path} cannot be created: {error.strerror or error}") from error


def _require_empty(connection: Connection, where: str) -> None:
    """Raise StoreError if the file holds the tables of another program."""
    if tables := inspect(connection).get_table_names():
        raise StoreError(f"{where} holds tables of another program ({tables[0]}): name another file")


def _comment(connection: Connection) -> None:
    """Comment every table, view and column of a PostgreSQL store with the text of docs/store.md."""
    statements = (files("benchcoe_jobs.migrations") / "comments.sql").read_text(encoding="utf-8")
    with closing(connection.connection.cursor()) as cursor:  # SQLAlchemy would pass parameters: one statement at a time
        cursor.execute(statements)
