"""The interface of a dispatcher, and which one a command uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store


class Dispatcher(Protocol):
    """Gets submitted jobs done. The store holds all state; a dispatcher only makes a process look into it."""

    runs_here: bool
    """Whether `follow` runs the shards itself, in this process."""

    def announce(self) -> None:
        """Notify workers of new shards. Call it after the commit that added them."""

    def follow(self, job_id: int, progress: Callable[[int], None]) -> JobRow:
        """Return a job when it and its follow-up jobs are over. `progress` is called with counts of processed items."""


def dispatcher(store: Store, settings: Settings) -> Dispatcher:
    """The dispatcher for these settings: Celery if a broker is configured, else this process.

    Raises UsageError for an invalid broker address, MissingError if Celery is not installed.
    """
    if settings.broker_url is None:
        from benchcoe_jobs.dispatch.inline import InlineDispatcher

        return InlineDispatcher(store, settings)
    from benchcoe_jobs.dispatch.celery import CeleryDispatcher

    return CeleryDispatcher(store, settings)
