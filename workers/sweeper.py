"""The sweeper in the parent process of every worker: reclaims stalled shards and replaces lost tickets.

Any number of sweepers may run at the same time: the first one locks a row. They use the clock of the database.

Celery forks a new child after one was killed. The store must not be open at that moment: in the child, SQLite would
take its parent's locks for its own, and lose commits when the parent exits.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError

from benchcoe_jobs.dispatch.celery import MOST_TICKETS, make_tickets
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.job_queue.lifecycle import sweep
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import unfinished, workers
from benchcoe_jobs.store.session import Store, open_store

from . import process

log = logging.getLogger(__name__)

SWEEPS_PER_LEASE = 4
_SILENT_LEASES = 10
"""After this many leases without a heartbeat, a worker is no longer listed."""


_no_fork = threading.Lock()
os.register_at_fork(before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_no_fork.release)


class Sweeper(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """A step of Celery's worker: a thread that sweeps immediately, and then four times per lease."""

    requires = frozenset({"celery.worker.components:Pool"})  # the pool forks before this step starts

    def __init__(self, worker: Any, **_: Any) -> None:
        self._settings = Settings.load()
        self._app = worker.app
        self._name = worker.hostname
        self._queues = sorted(worker.app.amqp.queues.consume_from)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self, _worker: Any) -> None:
        """Start sweeping. Celery calls it."""
        self._thread.start()

    def stop(self, _worker: Any) -> None:
        """Stop sweeping. Celery calls it."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    terminate = stop

    def _run(self) -> None:
        while not self._over.is_set():
            self._try(self._sweep)
            self._over.wait(self._settings.lease_s / SWEEPS_PER_LEASE)
        self._try(self._unregister)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (BenchcoeError, OperationalError) as error:
            log.warning("%s", error)  # the next sweep may succeed
        except Exception:
            log.exception("the sweep failed")

    def _sweep(self) -> None:
        with self._open_store() as store:
            sweep(store)
            self._heartbeat(store)
            with store.reading() as connection:
                waiting = unfinished.waiting_shards(connection, MOST_TICKETS)
        make_tickets(self._app, waiting)

    def _heartbeat(self, store: Store) -> None:
        devices = process.gpus()
        with store.writing() as connection:
            workers.heartbeat(connection, self._name, self._queues, None if devices is None else ",".join(devices))
            workers.forget_silent(connection, _SILENT_LEASES * self._settings.lease_s)

    def _unregister(self) -> None:
        with self._open_store() as store, store.writing() as connection:
            workers.unregister(connection, self._name)

    @contextmanager
    def _open_store(self) -> Iterator[Store]:
        with _no_fork, closing(open_store(self._settings.database_url)) as store:
            yield store
