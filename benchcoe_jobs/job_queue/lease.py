"""A claimed shard in the hands of this process: its beats, and its fenced writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from benchcoe_jobs.errors import BenchcoeError, StoreBusyError, StoreUnavailableError
from benchcoe_jobs.store.job_queue import leases
from benchcoe_jobs.store.job_queue.leases import Claim, LostLeaseError, Tally
from benchcoe_jobs.store.session import Store

BEATS_PER_LEASE = 6
"""Five beats may be lost before the lease is."""

PATIENCE_S = 300.0
"""How long a shard waits for a database that restarts, or that others write to."""

Answer = TypeVar("Answer")


class StoppedError(BenchcoeError):
    """This process was told to stop; the shard is given back."""


def retry_until_available(step: Callable[[], Answer], stopping: Callable[[], bool] = lambda: False) -> Answer:
    """Do something with the store, again and again while it does not answer or others are writing."""
    return Retrying(
        retry=retry_if_exception_type((StoreUnavailableError, StoreBusyError)),
        wait=wait_exponential_jitter(multiplier=0.1, max=5.0),
        stop=lambda state: stopping() or stop_after_delay(PATIENCE_S)(state),
        reraise=True,
    )(step)


class Heartbeat:
    """The thread in which the leases of an executor beat, one after the other.

    One for all: to start a thread for every shard takes as long as all else between two short ones. A daemon, which
    the threads of concurrent.futures are not: a beat may wait for a row that somebody has locked, and must not keep a
    process from ending.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, beat: Callable[[], object]) -> None:
        """Call `beat` once those before it are over."""
        self._waiting.put(beat)
        if self._thread is None:  # not before: a thread does not outlive a fork
            self._thread = threading.Thread(target=_call_each, args=[self._waiting], name="lease", daemon=True)
            self._thread.start()

    def __del__(self) -> None:
        self._waiting.put(None)


def _call_each(waiting: SimpleQueue[Callable[[], object] | None]) -> None:
    while (beat := waiting.get()) is not None:
        beat()


class Lease:
    """Holds a claim while its block runs; leaves it to the caller to finish or give back the shard.

    `tally` is what was recorded so far, `progress` hears of every step. It beats in the thread of `beats`.
    """

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        lease_s: float,
        beats: Heartbeat,
        stopping: Callable[[], bool] = lambda: False,
        progress: Callable[[Tally], None] = lambda step: None,
    ) -> None:
        self.store = store
        self.claim = claim
        self.tally = claim.tally
        self._lease_s = lease_s
        self._stopping = stopping
        self._progress = progress
        self._lost = threading.Event()
        self._over = threading.Event()
        self._beats = beats

    def __enter__(self) -> Self:
        self._beats.submit(self._beat)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()  # a beat that is under way changes nothing any more: the shard is let go by its fence

    @property
    def is_over(self) -> bool:
        """Whether `check` would raise."""
        return self._lost.is_set() or self._stopping()

    def check(self) -> None:
        """Between two steps: raise StoppedError or LostLeaseError where there should be no other."""
        if self._lost.is_set():
            raise LostLeaseError(f"shard {self.claim.shard_id} has gone to another worker")
        if self._stopping():
            raise StoppedError("told to stop")

    def commit(self, write: Callable[[Connection], Tally], *, seconds: float = 0.0, loads: int = 0) -> None:
        """One step in one fenced transaction; `write` says what it adds to the tally.

        Where the connection is cut the step is tried again; where only the answer to its commit was lost, the
        recorded tally tells, and it is not done twice. Raises LostLeaseError and JobCancelledError.
        """

        def attempt() -> Tally:
            with self.store.writing() as connection:
                recorded = leases.hold(connection, self.claim)
                leases.require_not_cancelled(connection, self.claim)
                if recorded != self.tally:
                    return recorded
                tally = self.tally + write(connection)
                leases.record(connection, self.claim, tally, lease_s=self._lease_s, seconds=seconds, loads=loads)
                return tally

        before, self.tally = self.tally, retry_until_available(attempt, self._stopping)
        self._progress(self.tally - before)

    def _beat(self) -> None:
        while not self._over.wait(self._lease_s / BEATS_PER_LEASE):
            try:
                with self.store.writing() as connection:
                    is_held = leases.extend(connection, self.claim, self._lease_s)
            except Exception:  # noqa: S112  (whatever it is, the next beat will tell, or the next write)
                continue
            if not is_held:
                self._lost.set()
                return
