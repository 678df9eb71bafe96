"""The Celery dispatcher: tickets through a broker tell workers on any machine that shards wait in a queue.

A ticket names no shard. A lost ticket delays work until the next sweep, and a duplicate finds nothing to claim, so
tickets need not be exact: the rows of the store are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from celery import Celery
from kombu.exceptions import ChannelError, OperationalError

from benchcoe_jobs.dispatch.broker import broker_url
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.lease import retry_until_available
from benchcoe_jobs.job_queue.lifecycle import family
from benchcoe_jobs.masking import masked, masked_url
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store

log = logging.getLogger(__name__)

TICKET = "benchcoe.ticket"
"""The name of the only Celery task. Its argument is the name of the queue."""

MOST_TICKETS = 64
"""The most tickets that wait in a queue. A worker that has used one makes new ones while shards wait."""

_POLL_S = 0.5

# Longer than the longest shard, so that a ticket in use is not delivered again. A second delivery would do no harm.
_VISIBILITY_S = 6 * 3600


def make_app(settings: Settings) -> Celery:
    """The Celery application for these settings. Raises UsageError for an invalid broker address."""
    app = Celery("benchcoe_jobs", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=Queue.CPU.value,
        # A ticket is acknowledged when its work is done. If the worker is killed, the ticket is not redelivered,
        # because a shard that kills its worker would then be run for ever; the sweeper makes a new ticket.
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
    """Make tickets for every queue in which shards wait. Raises kombu's OperationalError."""
    with store.reading() as connection:
        waiting = jobs.waiting_shards(connection, MOST_TICKETS)
    make_tickets(app, waiting)


def make_tickets(app: Celery, waiting: Mapping[str, int]) -> None:
    """The same for known numbers of waiting shards, queue -> number. A queue gets at most MOST_TICKETS."""
    if not waiting:
        return
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        for queue, n_shards in waiting.items():
            try:
                n_tickets = connection.SimpleQueue(queue).qsize()
            except ChannelError:  # raised by kombu if the Redis list does not exist
                n_tickets = 0
            for _ in range(min(n_shards, MOST_TICKETS) - n_tickets):
                app.send_task(TICKET, args=[queue], queue=queue, connection=connection)


class CeleryDispatcher:
    """See `Dispatcher`. Workers run the shards; this process only notifies them and watches."""

    runs_here = False

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._app = make_app(settings)
        self._where = masked_url(settings.broker_url or "")

    def announce(self) -> None:
        """Make tickets. An unavailable broker is not an error: the job is stored, and workers sweep."""
        try:
            top_up(self._app, self._store)
        except OperationalError as error:
            log.warning(
                "the broker at %s does not answer (%s): the work begins when it does", self._where, masked(str(error))
            )

    def follow(self, job_id: int, progress: Callable[[int], None]) -> JobRow:
        """See `Dispatcher`."""
        reported = 0
        while True:
            job, is_open, n_processed = retry_until_available(lambda: self._read(job_id))
            progress(n_processed - reported)
            reported = n_processed
            if not is_open:
                return job
            time.sleep(_POLL_S)

    def _read(self, job_id: int) -> tuple[JobRow, bool, int]:
        job, _, is_open = family(self._store, job_id)
        with self._store.reading() as connection:
            shard_groups = jobs.shard_groups(connection, [job_id])
        return job, is_open, sum(group.reused + group.answered + group.errors for group in shard_groups)
