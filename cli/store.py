"""The command init: create or upgrade the result store."""

from __future__ import annotations

import click

from .command import Command, Session
from .output import echo


@click.command(cls=Command)
def init(session: Session) -> None:
    """Create the result store, or upgrade it.

    The command can be repeated. A store that is up to date is not changed.
    """
    from benchcoe_jobs.store.migrate import upgrade
    from benchcoe_jobs.store.session import HEAD_REVISION, connect

    store = connect(session.settings.database_url)
    before = upgrade(store)
    store.close()
    state = "created" if before is None else "unchanged" if before == HEAD_REVISION else "upgraded"
    data = {"database": store.shown_url, "state": state, "before": before, "schema": HEAD_REVISION}
    session.show(data, lambda: echo(f"{state}: {store.shown_url} (schema {HEAD_REVISION})"))
