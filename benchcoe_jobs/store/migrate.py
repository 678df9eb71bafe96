"""Create or upgrade a store. The only module of the store that imports Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from benchcoe_jobs.errors import StoreError
from benchcoe_jobs.store.session import HEAD_REVISION, Store


def alembic_config() -> Config:
    """Alembic's configuration for the scripts that ship with the package."""
    config = Config()
    config.set_main_option("script_location", "benchcoe_jobs.migrations:")
    config.set_main_option("path_separator", "os")
    return config


def upgrade(store: Store) -> str | None:
    """Bring a store to HEAD_REVISION in one transaction; safe to repeat.

    Returns the revision that it had before (None: it was empty).
    Raises StoreError where the store is newer than this program, or its folder is missing.
    """
    if store.is_sqlite and (path := store.engine.url.database) and not Path(path).resolve().parent.is_dir():
        raise StoreError(f"the folder {Path(path).resolve().parent} does not exist: create it first")
    before = store.revision()
    if before is not None and before > HEAD_REVISION:
        raise StoreError(
            f"the store has schema {before}, newer than this program's {HEAD_REVISION}: upgrade benchcoe-jobs"
        )
    if before != HEAD_REVISION:
        config = alembic_config()
        with store.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before
