"""The log of decisions: one thread writes what waits, in one transaction after the other.

A decision is committed before its request is sent. A transaction takes everything that waits, so a request waits for
the transaction under way and its own: no timer delays it. Outcomes are written with the next decisions, or after 0.2
seconds.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

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


class _Ticket:
    """A decision and the future that ends with its commit. `is_over`: its request has given up."""

    def __init__(self, row: NewServedDecision) -> None:
        self.row = row
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.is_over = False


_Entry: TypeAlias = _Ticket | NewServedOutcome | None


class DecisionLog:
    """Writes decisions and outcomes to a store until it is closed. `dropped(n)` is told of outcomes that were lost.

    While the database is away, outcomes wait in memory, at most 100,000.
    """

    def __init__(self, store: Store, dropped: Callable[[int], None]) -> None:
        self._store = store
        self._dropped = dropped
        self._entries: queue.SimpleQueue[_Entry] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="decision-log")
        self._thread.start()

    async def record(self, row: NewServedDecision) -> None:
        """Return when the decision is committed. Raises LogError if it is not within `LONGEST_WAIT_S`."""
        ticket = _Ticket(row)
        self._entries.put(ticket)
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await ticket.done
        except TimeoutError:
            raise LogError(f"no decision could be stored for {LONGEST_WAIT_S:g} s") from None
        finally:
            ticket.is_over = True

    def note(self, row: NewServedOutcome) -> None:
        """Store an outcome soon. Its decision was recorded before."""
        if self._entries.qsize() > _MOST_WAITING:
            self._dropped(1)
        else:
            self._entries.put(row)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._entries.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            entries = self._next()
            is_open = None not in entries
            self._write_all([entry for entry in entries if entry is not None], is_closing=not is_open)

    def _next(self) -> list[_Entry]:
        """What waits, at least one entry. Outcomes alone are waited with for the next decision, but not for long."""
        entries = [self._entries.get()]
        deadline = time.monotonic() + _OUTCOMES_WAIT_S
        while len(entries) < _MOST_TOGETHER:
            only_outcomes = all(isinstance(entry, NewServedOutcome) for entry in entries)
            try:
                entries.append(self._entries.get(only_outcomes, max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return entries

    def _write_all(self, entries: Sequence[_Ticket | NewServedOutcome], *, is_closing: bool) -> None:
        """Write some entries, again and again until the store takes them. When it closes, for `LONGEST_WAIT_S`."""
        deadline = time.monotonic() + LONGEST_WAIT_S
        while True:
            tickets = [entry for entry in entries if isinstance(entry, _Ticket) and not entry.is_over]
            outcomes = [entry for entry in entries if isinstance(entry, NewServedOutcome)]
            if not tickets and not outcomes:
                return
            try:
                with self._store.writing() as connection:
                    store_served(connection, [ticket.row for ticket in tickets], outcomes)
            except (StoreError, StoreUnavailableError) as error:  # the database is away, busy or full
                if is_closing and time.monotonic() > deadline:
                    _log.error("%s outcomes were not stored: %s", len(outcomes), first_line(error))
                    self._dropped(len(outcomes))
                    return
                time.sleep(_PAUSE_S)
            except Exception as error:  # one of the rows: its router was removed in the meantime
                if len(entries) > 1:
                    for entry in entries:
                        self._write_all([entry], is_closing=is_closing)
                    return
                self._give_up(tickets, outcomes, error)
                return
            else:
                _resolve(tickets, None)
                return

    def _give_up(self, tickets: Sequence[_Ticket], outcomes: Sequence[NewServedOutcome], error: Exception) -> None:
        _log.error("a decision or its outcome was not stored: %s", first_line(error))
        self._dropped(len(outcomes))
        _resolve(tickets, LogError("the decision could not be stored: the router was removed, or its rows"))


def _resolve(tickets: Sequence[_Ticket], error: LogError | None) -> None:
    """End the futures of some tickets, which may be of one event loop only."""

    def end() -> None:
        for ticket in tickets:
            if ticket.done.done():
                continue
            if error is None:
                ticket.done.set_result(None)
            else:
                ticket.done.set_exception(error)

    if tickets and not tickets[0].loop.is_closed():
        tickets[0].loop.call_soon_threadsafe(end)
