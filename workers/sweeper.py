"""Beside each worker, in its parent process: takes back what the dead left, and makes lost tickets anew.

Any number of sweepers may be at it: rows are locked by the one that comes first. It uses the database's time.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from kombu.exceptions import OperationalError

from benchcoe_jobs.dispatch.celery import top_up
from benchcoe_jobs.errors import BenchcoeError
from benchcoe_jobs.jobs.lifecycle import sweep
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store import workers
from benchcoe_jobs.store.session import Store, open_store

from . import process

log = logging.getLogger(__name__)

SWEEPS_PER_LEASE = 4
_SILENT_LEASES = 10
"""A worker that has not been seen for so long is not listed any more."""


class Sweeper(bootsteps.StartStopStep):  # type: ignore[misc]  (Celery has no types)
    """A step of Celery's worker: a thread that sweeps at once, and then every quarter of a lease."""

    requires = frozenset({"celery.worker.components:Pool"})  # it forks first

    def __init__(self, worker: Any, **_: Any) -> None:
        self._settings = Settings.load()
        self._app = worker.app
        self._name = worker.hostname
        self._queues = sorted(worker.app.amqp.queues.consume_from)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self, _worker: Any) -> None:
        """Celery's word for: begin."""
        self._thread.start()

    def stop(self, _worker: Any) -> None:
        """Celery's word for: end."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    terminate = stop

    def _run(self) -> None:
        store: Store | None = None
        while True:
            try:
                store = store or open_store(self._settings.database_url)
                self._sweep(store)
            except (BenchcoeError, OperationalError) as error:
                log.warning("%s", error)  # the next sweep may fare better
            except Exception:
                log.exception("the sweep failed")
            if self._over.wait(self._settings.lease_s / SWEEPS_PER_LEASE):
                break
        if store is not None:
            self._say_goodbye(store)

    def _sweep(self, store: Store) -> None:
        sweep(store)
        devices = process.gpus()
        with store.writing() as connection:
            workers.greet(connection, self._name, self._queues, None if devices is None else ",".join(devices))
            workers.forget_silent(connection, _SILENT_LEASES * self._settings.lease_s)
        top_up(self._app, store)

    def _say_goodbye(self, store: Store) -> None:
        try:
            with store.writing() as connection:
                workers.leave(connection, self._name)
        except BenchcoeError as error:
            log.warning("%s", error)
        store.close()
