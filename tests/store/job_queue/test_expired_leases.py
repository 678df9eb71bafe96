"""Shards whose lease expired or whose owner exited."""

from __future__ import annotations

import pytest
from queue_rows import add_job, claim, group_of, shards
from sqlalchemy import select, update

from benchcoe_jobs.store.job_queue import expired_leases, jobs, leases, transitions
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.session import Store


def test_stalled_shards_wait_again_until_their_last_attempt(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 1)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert claim(connection, "killed").attempts == attempt
            expired_leases.reclaim_stalled(connection)
            assert shards(connection)[0][0] == "running", "its lease has not expired"
            assert expired_leases.running_owners(connection) == {"killed"}
            expired_leases.reclaim_stalled(connection, ["killed"])
        [(state, attempts, error)] = shards(connection)
        assert (state, attempts) == ("failed", MAX_ATTEMPTS)
        assert error == f"its worker was killed or stopped responding {MAX_ATTEMPTS} times"
        assert group_of(connection, job_id).failed == 1


def test_an_expired_lease_is_reclaimed_and_its_owner_can_write_no_more(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        late, punctual = claim(connection, "late"), claim(connection, "punctual")
        connection.execute(update(Shard).where(Shard.id == late.shard_id).values(lease_until=1.0))
        expired_leases.reclaim_stalled(connection)
        assert not leases.extend(connection, late, 60)
        assert leases.extend(connection, punctual, 60)
        group = group_of(connection, job_id)
        assert (group.waiting, group.running) == (1, 1)


def test_a_stalled_shard_of_a_cancelled_job_is_cancelled(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        claim(connection, "killed")
        jobs.flag_cancelled(connection, job_id)
        transitions.cancel_waiting(connection, job_id)
        expired_leases.reclaim_stalled(connection, ["killed"])
        assert [state for state, *_ in shards(connection)] == ["cancelled", "cancelled"]
        assert group_of(connection, job_id).cancelled == 2


@pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer at a time
def test_a_shard_that_its_owner_is_writing_is_not_reclaimed(store: Store) -> None:
    with store.writing() as connection:
        add_job(connection, "x", 2)
        for _ in range(2):
            claim(connection, "killed")
        first, _ = connection.scalars(select(Shard.id).order_by(Shard.id))
    with store.writing() as owner:
        owner.execute(select(Shard.id).where(Shard.id == first).with_for_update())
        with store.writing() as connection:
            expired_leases.reclaim_stalled(connection, ["killed"])
            assert [state for state, *_ in shards(connection)] == ["running", "waiting"]
    with store.writing() as connection:
        expired_leases.reclaim_stalled(connection, ["killed"])
        assert [state for state, *_ in shards(connection)] == ["waiting", "waiting"]
