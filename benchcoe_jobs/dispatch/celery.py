"""The Celery dispatcher: tickets through a broker tell workers on any machine that shards wait in a queue.

A ticket names no shard. A lost ticket delays work until the next sweep, and a duplicate finds nothing to claim, so
tickets need not be exact: the rows of the store are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader
from kombu.exceptions import OperationalError

from benchcoe_jobs.dispatch.broker import broker_url, tls_of
from benchcoe_jobs.dispatch.tickets import QUEUES, TICKET, TicketAMQP
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.lease import retry_until_available
from benchcoe_jobs.job_queue.lifecycle import family
from benchcoe_jobs.masking import masked, masked_url
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs, unfinished
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.session import Store

log = logging.getLogger(__name__)

MOST_TICKETS = 64
"""The most tickets that wait in a queue. A worker that has used one makes new ones while shards wait."""

_POLL_S = 0.5


class _Loader(AppLoader):  # type: ignore[misc]  # Celery has no types
    """Celery's loader, which puts the working folder on the path when it imports something."""

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> Any:
        return self.import_module(module, package=package)


class TicketApp(Celery):  # type: ignore[misc]
    """A Celery application that connects only to the broker of the settings.

    Celery prefers the address in CELERY_BROKER_URL and similar variables, which nothing has checked.
    Raises UsageError for an invalid broker address.
    """

    backend_cls = "disabled"  # not the one in CELERY_RESULT_BACKEND

    def __init__(self, settings: Settings) -> None:
        self._checked_url = broker_url(settings)
        # Without fix-ups: Celery's for Django also puts the working folder on the path.
        super().__init__(
            "benchcoe_jobs",
            broker=self._checked_url,
            amqp=TicketAMQP,
            loader=_Loader,
            fixups=[],
            set_as_current=False,
        )
        self.conf.update(_CONFIGURATION, broker_use_ssl=tls_of(self._checked_url))

    def connection_for_read(self, url: object = None, **options: Any) -> Any:
        """See `Celery`. A URL is ignored."""
        return super().connection_for_read(self._checked_url, **options)

    def connection_for_write(self, url: object = None, **options: Any) -> Any:
        """See `Celery`. A URL is ignored."""
        return super().connection_for_write(self._checked_url, **options)


_CONFIGURATION = {
    "accept_content": ["json"],
    "task_serializer": "json",
    "task_ignore_result": True,
    "task_queues": QUEUES,
    "task_default_queue": Queue.CPU.value,
    "task_create_missing_queues": False,
    # A ticket is acknowledged when its work is done. If the worker is killed, the ticket is not redelivered, because a
    # shard that kills its worker would then be run for ever; the sweeper makes a new ticket.
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "worker_prefetch_multiplier": 1,
    "worker_pool": "prefork",
    "worker_concurrency": 1,
    # Workers are stopped by signals and observed in the database.
    "worker_enable_remote_control": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_enable_prefetch_count_reduction": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # A broker that answers with an error (its disk is full, it has become a replica) may recover.
    "broker_channel_error_retry": True,
    "broker_transport_options": {
        # A ticket that a worker has taken leaves the broker; the sweeper replaces it if the worker is killed.
        "ack_emulation": False,
        "priority_steps": [0],
        "health_check_interval": 25,
        "socket_keepalive": True,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
    },
}


def top_up(app: Celery, store: Store) -> None:
    """Make tickets for every queue in which shards wait. Raises kombu's OperationalError."""
    with store.reading() as connection:
        waiting = unfinished.waiting_shards(connection, MOST_TICKETS)
    make_tickets(app, waiting)


def make_tickets(app: Celery, waiting: Mapping[str, int]) -> None:
    """The same for known numbers of waiting shards, queue -> number. A queue gets at most MOST_TICKETS."""
    if not waiting:
        return
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        try:
            for queue, n_shards in waiting.items():
                n_tickets = connection.default_channel.queue_declare(queue=queue).message_count
                for _ in range(min(n_shards, MOST_TICKETS) - n_tickets):
                    app.send_task(TICKET, args=[queue], queue=queue, connection=connection)
        except (*connection.connection_errors, *connection.channel_errors) as error:
            raise OperationalError(str(error)) from error


class CeleryDispatcher:
    """See `Dispatcher`. Workers run the shards; this process only notifies them and watches."""

    runs_here = False

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._app = TicketApp(settings)
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
