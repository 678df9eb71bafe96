"""The log of decisions: the thread that decides commits decisions, and another one outcomes, a little later.

A decision is committed before its request is sent: no timer delays it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from benchcoe_jobs.errors import StoreError, StoreUnavailableError
from benchcoe_jobs.masking import first_line
from benchcoe_jobs.store.routing.served import NewServedDecision, NewServedOutcome, store_served
from benchcoe_jobs.store.session import Store

_MOST_TOGETHER = 256
_MOST_WAITING = 100_000
_PAUSE_S = 0.2
_OUTCOMES_WAIT_S = 0.2

LONGEST_WAIT_S = 30.0
"""After this time without a commit, a request is refused: the database is away, or another process writes to it."""

_log = logging.getLogger(__name__)


class LogError(Exception):
    """A decision could not be stored."""


class DecisionLog:
    """Writes decisions and outcomes to a store until it is closed. `dropped(n)` is told of outcomes that were lost.

    While the database is away, outcomes wait in memory, at most 100,000.
    """

    def __init__(self, store: Store, dropped: Callable[[int], None]) -> None:
        self._store = store
        self._dropped = dropped
        self._outcomes: queue.SimpleQueue[NewServedOutcome] = queue.SimpleQueue()
        self._one_at_a_time = threading.Lock()  # two writers of a SQLite file would wait in steps of milliseconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log")
        self._thread.start()

    def store(self, rows: Sequence[NewServedDecision], are_over: Sequence[Callable[[], bool]]) -> list[LogError | None]:
        """Commit decisions, in one transaction if it can be; it blocks until the store takes them.

        For each row, `are_over` tells whether its request has given up: it is not stored then. Returns what is wrong
        with each row, None if nothing is.
        """
        while waiting := [row for row, is_over in zip(rows, are_over, strict=True) if not is_over()]:
            try:
                self._write(waiting, ())
            except (StoreError, StoreUnavailableError):  # the database is away, busy or full
                time.sleep(_PAUSE_S)
            except Exception as error:  # one of the rows: its router was removed in the meantime
                if len(rows) > 1:
                    pairs = zip(rows, are_over, strict=True)
                    return [self.store([row], [is_over])[0] for row, is_over in pairs]
                _log.error("a decision was not stored: %s", first_line(error))
                return [LogError("the decision could not be stored: the router was removed, or its rows")]
            else:
                break
        return [None] * len(rows)

    def note(self, row: NewServedOutcome) -> None:
        """Store an outcome soon. Its decision was stored before."""
        if self._outcomes.qsize() > _MOST_WAITING:
            self._dropped(1)
        else:
            self._outcomes.put(row)

    def close(self) -> None:
        """Write the outcomes that wait, and end the thread."""
        self._closing.set()
        self._thread.join()

    def _write(self, decisions: Sequence[NewServedDecision], outcomes: Sequence[NewServedOutcome]) -> None:
        with self._one_at_a_time, self._store.writing() as connection:
            store_served(connection, decisions, outcomes)

    def _run(self) -> None:
        while True:
            is_closing = self._closing.wait(_OUTCOMES_WAIT_S)
            while outcomes := self._some_outcomes():
                self._write_outcomes(outcomes)
            if is_closing:
                return

    def _some_outcomes(self) -> list[NewServedOutcome]:
        n = min(self._outcomes.qsize(), _MOST_TOGETHER)
        return [self._outcomes.get() for _ in range(n)]

    def _write_outcomes(self, outcomes: Sequence[NewServedOutcome]) -> None:
        """Write some outcomes, again and again until the store takes them; after the end, for `LONGEST_WAIT_S`."""
        deadline = None
        while True:
            try:
                self._write((), outcomes)
            except (StoreError, StoreUnavailableError) as error:
                if deadline is None and self._closing.is_set():
                    deadline = time.monotonic() + LONGEST_WAIT_S
                if deadline is not None and time.monotonic() > deadline:
                    _log.error("%s outcomes were not stored: %s", len(outcomes), first_line(error))
                    self._dropped(len(outcomes))
                    return
                time.sleep(_PAUSE_S)
            except Exception as error:  # the decision of one of them was removed in the meantime
                if len(outcomes) > 1:
                    for outcome in outcomes:
                        self._write_outcomes([outcome])
                    return
                _log.error("an outcome was not stored: %s", first_line(error))
                self._dropped(1)
                return
            else:
                return
