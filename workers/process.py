"""The process in which a worker runs shards: Celery's prefork child.

The parent imports no model library and runs no shard. It shares one byte with its child, which it sets when it is
asked to stop; the child then finishes its micro-batch and gives the shard back.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import time
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning
from kombu.exceptions import OperationalError

from benchcoe_jobs.dispatch.celery import top_up
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.safe_logging import make_safe
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.session import Store, open_store

log = logging.getLogger(__name__)

_TICKET_S = 5.0
"""A ticket runs further shards until it has taken this long."""

_stop = mmap.mmap(-1, 1)  # anonymous and shared; created before the fork
_name: str | None = None
_store: Store | None = None
_executor: Executor | None = None


def connect_signals() -> None:
    """Register the handlers of Celery's signals."""
    signals.celeryd_init.connect(_on_start)
    for configured in (signals.after_setup_logger, signals.after_setup_task_logger):
        configured.connect(_make_log_safe)
    signals.worker_init.connect(_limit)
    signals.celeryd_after_setup.connect(_after_setup)
    signals.worker_process_init.connect(_outlive_terminal)
    signals.worker_shutting_down.connect(_on_shutdown)
    signals.worker_process_shutdown.connect(_unregister)


def work(app: Celery, settings: Settings, queue: str) -> None:
    """Run shards of a queue for some seconds, then make tickets for the shards that still wait."""
    executor, store = _executor_and_store(settings)
    started = time.monotonic()
    while not is_stopping() and executor.run_next([queue], for_s=_TICKET_S) and time.monotonic() - started < _TICKET_S:
        pass
    try:
        top_up(app, store)
    except OperationalError as error:
        log.warning("the broker does not answer (%s): the sweeper makes tickets when it does", error)


def is_stopping() -> bool:
    """Whether this worker was asked to stop."""
    return _stop[0] != 0


def gpus() -> list[str] | None:
    """The GPUs that this worker may use; None if CUDA_VISIBLE_DEVICES is not set."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if given is None else [gpu for gpu in given.split(",") if gpu]


def _executor_and_store(settings: Settings) -> tuple[Executor, Store]:
    global _store, _executor
    if _store is None:
        _store = open_store(settings.database_url)
    if _executor is None:
        _executor = Executor(
            _store, settings.home, lease_s=settings.lease_s, worker=_name, gpus=gpus(), stopping=is_stopping
        )
    return _executor, _store


def _make_log_safe(logger: logging.Logger, **_: Any) -> None:
    make_safe(logger)


def _on_start(sender: str, **_: Any) -> None:
    global _name
    _name = sender
    # Celery reports a ticket as succeeded whatever became of the shards; the executor reports each shard.
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _after_setup(**_: Any) -> None:
    # At each lost connection Celery would announce a change of a default that does not apply here.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


def _limit(sender: Any, **_: Any) -> None:
    """Switch off what workers would tell each other through the broker: they use the database."""
    sender.options.update(without_gossip=True, without_mingle=True, without_heartbeat=True)


def _outlive_terminal(**_: Any) -> None:
    """Leave it to the parent to end this process, also when a terminal sends SIGHUP to both."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _on_shutdown(**_: Any) -> None:
    _stop[0] = 1


def _unregister(**_: Any) -> None:
    if _executor is not None:
        _executor.unload()
    if _store is not None:
        _store.close()
