"""The queue: tickets that say "there is work in this queue", progress Celery, for workers on any machine.

A ticket names no shard. A lost one costs time until the next sweep, a double one finds nothing to claim:
nothing here has to be exact, because the rows are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from benchcoe_jobs.dispatch.broker import broker_url, masked
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.lease import retry_until_available
from benchcoe_jobs.job_queue.lifecycle import family
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store

log = logging.getLogger(__name__)

TICKET = "benchcoe.ticket"
"""The name of the one Celery task that there is; its argument is the queue's name."""

MOST_TICKETS = 64
"""How many tickets wait in a queue at most; whoever has used one up makes new ones while shards wait."""

_POLL_S = 0.5

# Above the longest shard: a ticket that is worked on must not be dealt again. One that is, finds nothing to claim.
_VISIBILITY_S = 6 * 3600


def make_app(settings: Settings) -> Celery:
    """The Celery application for these settings. Raises UsageError for the broker's address."""
    app = Celery("benchcoe_jobs", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=Queue.CPU.value,
        # A ticket is not gone before its work is done. A worker that is killed in the middle loses it all the
        # same (a poison shard would come back for ever): the sweeper makes a new one.
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_pool="prefork",
        worker_concurrency=1,
        worker_enable_remote_control=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": _VISIBILITY_S,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "health_check_interval": 25,
            "socket_keepalive": True,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
        },
    )
    return app


def top_up(app: Celery, store: Store) -> None:
    """See to it that every queue in which shards wait has tickets. Raises kombu's OperationalError."""
    with store.reading() as connection:
        waiting = jobs.waiting_shards(connection, MOST_TICKETS)
    make_tickets(app, waiting)


def make_tickets(app: Celery, waiting: Mapping[str, int]) -> None:
    """The same for a known number of waiting shards in each queue, of which `MOST_TICKETS` count."""
    if not waiting:
        return
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        for queue, n_shards in waiting.items():
            try:
                n_tickets = connection.SimpleQueue(queue).qsize()
            except ChannelError:  # kombu's word for an empty list in Redis
                n_tickets = 0
            for _ in range(min(n_shards, MOST_TICKETS) - n_tickets):
                app.send_task(TICKET, args=[queue], queue=queue, connection=connection)


class CeleryDispatcher:
    """See `Dispatcher`: workers do the work, this process only tells of it and looks."""

    runs_here = False

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._app = make_app(settings)
        self._where = masked(settings.broker_url or "")

    def announce(self) -> None:
        """Make tickets. A broker that does not answer is no error: the job is stored, and workers sweep."""
        try:
            top_up(self._app, self._store)
        except OperationalError as error:
            log.warning("the broker at %s does not answer (%s): the work begins when it does", self._where, error)

    def follow(self, job_id: int, progress: Callable[[int], None]) -> JobRow:
        """See `Dispatcher`."""
        seen = 0
        while True:
            job, is_open, n_processed = retry_until_available(lambda: self._look(job_id))
            progress(n_processed - seen)
            seen = n_processed
            if not is_open:
                return job
            time.sleep(_POLL_S)

    def _look(self, job_id: int) -> tuple[JobRow, bool, int]:
        job, _, is_open = family(self._store, job_id)
        with self._store.reading() as connection:
            shard_groups = jobs.shard_groups(connection, [job_id])
        return (
            job,
            is_open,
            sum(shard_group.reused + shard_group.answered + shard_group.errors for shard_group in shard_groups),
        )
