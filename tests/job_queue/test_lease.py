"""The lease of a running shard: fenced commits, heartbeats, and retries while the store is unavailable."""

from __future__ import annotations

import threading

import pytest
from installation import wait_for
from queue_rows import add_job, claim, group_of
from sqlalchemy import Connection, event, select, update

from benchcoe_jobs.errors import StoreBusyError, StoreUnavailableError
from benchcoe_jobs.job_queue.lease import HEARTBEATS_PER_LEASE, Heartbeat, Lease, StoppedError, retry_until_available
from benchcoe_jobs.store.job_queue import expired_leases, jobs, leases
from benchcoe_jobs.store.job_queue.leases import Claim, JobCancelledError, LostLeaseError, Tally
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.session import Store


@pytest.fixture
def held(store: Store) -> Claim:
    with store.writing() as connection:
        add_job(connection, "x", 1)
        return claim(connection, "me")


def lease_of(store: Store, held: Claim, **options: object) -> Lease:
    return Lease(store, held, lease_s=60, heartbeat=Heartbeat(), **options)  # type: ignore[arg-type]


def test_commits_add_to_the_tally_of_shard_and_group(store: Store, held: Claim) -> None:
    steps: list[Tally] = []
    with lease_of(store, held, progress=steps.append) as lease:
        lease.commit(lambda connection: Tally(reused=1, answered=1), seconds=0.5, loads=1)
        lease.commit(lambda connection: Tally(errors=1), seconds=0.25)
        assert lease.tally == Tally(1, 1, 1)
    with store.reading() as connection:
        group = group_of(connection, held.job_id)
    assert steps == [Tally(1, 1, 0), Tally(0, 0, 1)]
    assert (group.reused, group.answered, group.errors, group.seconds, group.loads) == (1, 1, 1, 0.75, 1)


def test_a_commit_locks_the_shard_once(store: Store, held: Claim) -> None:
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(store.engine, "before_cursor_execute", note)
    with lease_of(store, held) as lease:
        lease.commit(lambda connection: Tally(answered=1))
    reads = [statement for statement in statements if statement.startswith("SELECT") and "FROM shard" in statement]
    assert len(reads) == 1, statements


def test_a_step_whose_commit_was_not_confirmed_is_not_repeated(store: Store, held: Claim) -> None:
    calls = 0

    def write(connection: Connection) -> Tally:
        nonlocal calls
        calls += 1
        return Tally(answered=1)

    with lease_of(store, held) as lease, pytest.MonkeyPatch.context() as patch:
        original = store.writing

        def once() -> object:
            patch.setattr(store, "writing", original)
            return _fails_after_its_commit(store)

        patch.setattr(store, "writing", once)
        lease.commit(write)
        assert lease.tally == Tally(answered=1)
    assert calls == 1
    with store.reading() as connection:
        assert group_of(connection, held.job_id).answered == 1


class _fails_after_its_commit:  # noqa: N801  (used like a context manager function)
    def __init__(self, store: Store) -> None:
        self._block = store.writing()

    def __enter__(self) -> Connection:
        return self._block.__enter__()

    def __exit__(self, *error: object) -> None:
        self._block.__exit__(*error)  # type: ignore[arg-type]
        raise StoreUnavailableError("the reply to the commit was lost")


def test_a_lost_or_cancelled_shard_is_not_written(store: Store, held: Claim) -> None:
    def unwanted(connection: Connection) -> Tally:
        raise AssertionError("it must not be called")

    lease = lease_of(store, held)
    with store.writing() as connection:
        jobs.flag_cancelled(connection, held.job_id)
    with pytest.raises(JobCancelledError):
        lease.commit(unwanted)
    with store.writing() as connection:
        expired_leases.reclaim_stalled(connection, ["me"])
    with pytest.raises(LostLeaseError):
        lease.commit(unwanted)


def test_a_heartbeat_notices_a_lost_lease(store: Store, held: Claim) -> None:
    with Lease(store, held, lease_s=0.02 * HEARTBEATS_PER_LEASE, heartbeat=Heartbeat()) as lease:
        lease.check()
        with store.writing() as connection:
            expired_leases.reclaim_stalled(connection, ["me"])
        wait_for(lambda: lease.is_over, "the lease is over")
        with pytest.raises(LostLeaseError):
            lease.check()


def test_a_commit_extends_the_lease(store: Store, held: Claim) -> None:
    def until() -> float:
        with store.reading() as connection:
            return connection.scalars(select(Shard.lease_until)).one() or 0.0

    before = until()
    with Lease(store, held, lease_s=3600, heartbeat=Heartbeat()) as lease:
        lease.commit(lambda connection: Tally())
        assert until() > before + 3000


def test_a_process_that_stops_begins_no_step(store: Store, held: Claim) -> None:
    lease = lease_of(store, held, stopping=lambda: True)
    assert lease.is_over
    with pytest.raises(StoppedError):
        lease.check()


@pytest.mark.parametrize("error", [StoreBusyError, StoreUnavailableError])
def test_a_step_is_repeated_while_the_store_is_unavailable(error: type[Exception]) -> None:
    failures = [error("first"), error("second")]

    def step() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert retry_until_available(step) == "done"
    assert failures == []
    with pytest.raises(error, match="again"):
        retry_until_available(lambda: (_ for _ in ()).throw(error("again")), stopping=lambda: True)
    with pytest.raises(ZeroDivisionError):
        retry_until_available(lambda: 1 // 0)


def test_a_heartbeat_extends_the_lease_also_after_one_that_failed(
    store: Store, held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    extend, failed = leases.extend, threading.Event()

    def fail_first(connection: Connection, claim: Claim, lease_s: float) -> bool:
        if not failed.is_set():
            failed.set()
            raise StoreUnavailableError("the database restarts")
        return extend(connection, claim, lease_s)

    def until() -> float:
        with store.reading() as connection:
            return connection.scalars(select(Shard.lease_until)).one() or 0.0

    monkeypatch.setattr(leases, "extend", fail_first)
    with store.writing() as connection:
        connection.execute(update(Shard).values(lease_until=1.0))
    with Lease(store, held, lease_s=0.02 * HEARTBEATS_PER_LEASE, heartbeat=Heartbeat()) as lease:
        wait_for(lambda: until() > 1.0, "the lease is extended")
        assert failed.is_set()
        lease.check()


def test_heartbeats_end_with_the_lease_and_their_thread_serves_the_next(store: Store, held: Claim) -> None:
    heartbeat, next_call = Heartbeat(), threading.Event()
    with Lease(store, held, lease_s=3600 * HEARTBEATS_PER_LEASE, heartbeat=heartbeat):
        heartbeat.submit(next_call.set)
        assert not next_call.is_set(), "the thread still has this lease"
    assert next_call.wait(60)
    thread = heartbeat._thread
    assert thread is not None
    del heartbeat
    wait_for(lambda: not thread.is_alive(), "the thread has ended")
