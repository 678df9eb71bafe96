"""The inline dispatcher: the same executor, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.job_queue.lease import retry_until_available
from benchcoe_jobs.job_queue.lifecycle import family, sweep
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.job_queue.leases import Tally
from benchcoe_jobs.store.session import Store

_QUEUES = [queue.value for queue in Queue]
_POLL_S = 0.5


class InlineDispatcher:
    """See `Dispatcher`. Other processes may run shards of the same job at the same time."""

    runs_here = True

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def announce(self) -> None:
        """Do nothing: there are no workers to notify."""

    def follow(self, job_id: int, progress: Callable[[int], None]) -> JobRow:
        """See `Dispatcher`. KeyboardInterrupt gives back the running shard and is raised again."""

        def report(step: Tally) -> None:
            progress(step.reused + step.answered + step.errors)

        executor = Executor(self._store, self._settings.home, lease_s=self._settings.lease_s, progress=report)
        retry_until_available(lambda: sweep(self._store))  # a process that was killed may have left a shard
        try:
            while True:
                job, ids, is_open = retry_until_available(lambda: family(self._store, job_id))
                if not is_open:
                    return job
                if not executor.run_next(_QUEUES, job_ids=ids):
                    time.sleep(_POLL_S)
                    retry_until_available(lambda: sweep(self._store))
        finally:
            executor.unload()
