"""Remove old served decisions, a part at a time: a running service writes to the store between two parts."""

from __future__ import annotations

from datetime import timedelta

from benchcoe_jobs.store.removal.served import n_served_before, remove_served_before
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import now

_AT_ONCE = 1000
"""Decisions of a transaction."""


def n_served(store: Store, older_than: timedelta) -> int:
    """The number of served decisions that are at least so old."""
    with store.reading() as connection:
        return n_served_before(connection, now() - older_than)


def remove_served(store: Store, older_than: timedelta) -> int:
    """Delete served decisions that are at least so old, with their outcomes and scores. Returns their number.

    If it is interrupted, the earliest ones are gone, and the same call removes the rest.
    """
    moment, total = now() - older_than, 0
    while True:
        with store.writing() as connection:
            n = remove_served_before(connection, moment, _AT_ONCE)
        total += n
        if n < _AT_ONCE:
            return total
