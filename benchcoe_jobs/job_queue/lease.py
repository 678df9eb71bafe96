"""The lease of the shard that this process runs: heartbeats and fenced writes."""

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

HEARTBEATS_PER_LEASE = 6
"""Five heartbeats may be lost before the lease expires."""

GIVE_UP_AFTER_S = 300.0
"""How long a process waits for a database that restarts, or that is locked by other writers."""

Result = TypeVar("Result")


class StoppedError(BenchcoeError):
    """This process was asked to stop; the shard is given back."""


def retry_until_available(step: Callable[[], Result], stopping: Callable[[], bool] = lambda: False) -> Result:
    """Run `step`, and repeat it while the store is unavailable or busy. Returns its result.

    After GIVE_UP_AFTER_S seconds, or when `stopping` returns True, the last StoreUnavailableError or StoreBusyError is
    raised.
    """
    return Retrying(
        retry=retry_if_exception_type((StoreUnavailableError, StoreBusyError)),
        wait=wait_exponential_jitter(multiplier=0.1, max=5.0),
        stop=lambda state: stopping() or stop_after_delay(GIVE_UP_AFTER_S)(state),
        reraise=True,
    )(step)


class Heartbeat:
    """The thread that extends the leases of an executor, one after the other.

    All leases share one thread: starting a thread for every shard would double the overhead of a short shard. It is a
    daemon, unlike the threads of concurrent.futures, because a heartbeat may wait for a locked row and must not keep
    the process from exiting.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], object]) -> None:
        """Run `call` in the thread, after those submitted before it."""
        self._waiting.put(call)
        if self._thread is None:  # not earlier: threads do not survive a fork
            self._thread = threading.Thread(target=_call_each, args=[self._waiting], name="lease", daemon=True)
            self._thread.start()

    def __del__(self) -> None:
        self._waiting.put(None)


def _call_each(waiting: SimpleQueue[Callable[[], object] | None]) -> None:
    while (call := waiting.get()) is not None:
        call()


class Lease:
    """Extends the lease of a claim while the `with` block runs. The caller finishes or gives back the shard.

    `tally` is what is recorded so far; `progress` is called with every addition to it. Heartbeats run in the thread
    of `heartbeat`.
    """

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        lease_s: float,
        heartbeat: Heartbeat,
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
        self._heartbeat = heartbeat

    def __enter__(self) -> Self:
        self._heartbeat.submit(self._extend)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()  # a heartbeat in progress is harmless: the fence is checked

    @property
    def is_over(self) -> bool:
        """Whether `check` would raise."""
        return self._lost.is_set() or self._stopping()

    def check(self) -> None:
        """Call it between two steps: raises StoppedError or LostLeaseError if the next one must not begin."""
        if self._lost.is_set():
            raise LostLeaseError(f"shard {self.claim.shard_id} has gone to another worker")
        if self._stopping():
            raise StoppedError("asked to stop")

    def commit(self, write: Callable[[Connection], Tally], *, seconds: float = 0.0, loads: int = 0) -> None:
        """Run one step in one fenced transaction; `write` returns what the step adds to the tally.

        If the connection is lost, the step is repeated. If only the reply to its commit was lost, the recorded tally
        shows that, and the step is not repeated. Raises LostLeaseError and JobCancelledError.
        """

        def attempt() -> Tally:
            with self.store.writing() as connection:
                recorded = leases.hold(connection, self.claim)
                leases.require_not_cancelled(connection, self.claim)
                if recorded != self.tally:
                    return recorded
                tally = self.tally + write(connection)
                leases.record(
                    connection, self.claim, recorded, tally, lease_s=self._lease_s, seconds=seconds, loads=loads
                )
                return tally

        before, self.tally = self.tally, retry_until_available(attempt, self._stopping)
        self._progress(self.tally - before)

    def _extend(self) -> None:
        while not self._over.wait(self._lease_s / HEARTBEATS_PER_LEASE):
            try:
                with self.store.writing() as connection:
                    is_held = leases.extend(connection, self.claim, self._lease_s)
            except Exception:  # noqa: S112  (a lasting fault also shows in the next heartbeat or write)
                continue
            if not is_held:
                self._lost.set()
                return
