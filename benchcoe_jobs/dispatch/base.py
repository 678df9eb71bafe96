"""What both dispatchers offer, and which of them a command uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store


class Dispatcher(Protocol):
    """Gets submitted jobs done. The rows are the truth; a dispatcher only sees to it that somebody looks."""

    runs_here: bool
    """Whether the work is done by `follow` itself, in this process."""

    def announce(self) -> None:
        """Say that there is work; called after the commit that brought it."""

    def follow(self, job_id: int, progress: Callable[[int], None]) -> JobRow:
        """Return when a job and all that followed from it are over; `progress` hears how many items are through."""


def dispatcher(store: Store, settings: Settings) -> Dispatcher:
    """The foreground, or with a broker configured the queue. Raises MissingError, UsageError for its address."""
    if settings.broker_url is None:
        from benchcoe_jobs.dispatch.inline import InlineDispatcher

        return InlineDispatcher(store, settings)
    from benchcoe_jobs.dispatch.celery import CeleryDispatcher

    return CeleryDispatcher(store, settings)
