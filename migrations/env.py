"""Alembic's environment: migrates the connection given by `store.migrate`, or the configured store."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

import benchcoe_jobs.store.job_queue.tables
import benchcoe_jobs.store.results.checks
import benchcoe_jobs.store.results.import_tables
import benchcoe_jobs.store.results.settling
import benchcoe_jobs.store.routing.tables  # noqa: F401  # all five add their tables to Base
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.session import connect
from benchcoe_jobs.store.tables import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:  # the `alembic` command of a developer
    with connect(Settings.load().database_url).writing() as connection:
        _run(connection)
