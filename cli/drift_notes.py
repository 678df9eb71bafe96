"""The note on experts that are marked as drifted."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from .command import Session


def note_drifted(session: Session, names: Collection[str]) -> None:
    """Print a note for each of the experts that `verify-expert` has marked."""
    from benchcoe_jobs.store.results import checks

    with session.store.reading() as connection:
        marked = checks.drifted(connection)
    for name in sorted(marked.keys() & set(names)):
        session.note(
            f"note: {name} is not the expert that was profiled, by a check on {marked[name]:%Y-%m-%d}, and its scores "
            f"are out of date: `benchcoe-jobs retire {shlex.quote(name)}` takes it out of routing"
        )


def note_drifted_of_pool(session: Session, pool: str) -> None:
    """The same for the experts of a pool. Raises UsageError if there is no such pool."""
    from benchcoe_jobs.store.results import experts

    with session.store.reading() as connection:
        members = experts.pool_members(connection, experts.find_pool(connection, pool).id)
    note_drifted(session, members)


def note_drifted_of_router(session: Session, router: str | None) -> None:
    """The same for the pool of a router. Raises UsageError if there is no such router."""
    from benchcoe_jobs.store.routing import routers

    with session.store.reading() as connection:
        pool = routers.find_router(connection, router).scope.pool.name
    note_drifted_of_pool(session, pool)
