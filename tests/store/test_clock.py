"""The clock of the database."""

from __future__ import annotations

import time

from sqlalchemy import select

from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.session import Store


def test_it_goes_on_within_a_transaction(store: Store) -> None:
    """A long transaction must not extend a lease from the time at which it began."""
    with store.writing() as connection:
        first = connection.scalars(select(database_time())).one()
        time.sleep(0.02)
        second = connection.scalars(select(database_time())).one()
    assert isinstance(first, float)
    assert first < second
    assert first > 1.7e9, "seconds since 1970"
