"""Create or upgrade a store. The only module of the store that imports Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.store.session import HEAD_REVISION, Store


def alembic_config() -> Config:
    """The Alembic configuration for the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", "benchcoe_jobs.migrations:")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(store: Store) -> str | None:
    """Bring a store to HEAD_REVISION in one transaction. It is safe to repeat.

    Returns the revision before, None for an empty store. Raises StoreError if the store is newer than this program, if
    its folder does not exist, or if the file belongs to another program.
    """
    if store.is_sqlite and (path := store.engine.url.database) and not Path(path).resolve().parent.is_dir():
        raise StoreError(f"the folder {Path(path).resolve().parent} does not exist: create it first")
    before = store.revision()
    if before is not None and before > HEAD_REVISION:
        raise StoreError(
            f"the store has schema {before}, newer than this program's {HEAD_REVISION}: upgrade benchcoe-jobs"
        )
    if before is None and store.is_sqlite:
        _require_empty(store)
    if before != HEAD_REVISION:
        config = alembic_config()
        with store.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before


def _require_empty(store: Store) -> None:
    """Raise StoreError if the file holds the tables of another program."""
    with store.reading() as connection:
        if tables := inspect(connection).get_table_names():
            raise StoreError(f"{store.shown_url} holds tables of another program ({tables[0]}): name another file")
