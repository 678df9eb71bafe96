"""Transitions of many shards."""

from __future__ import annotations

import pytest
from queue_rows import add_job, claim, group_of, shards
from sqlalchemy import select, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.job_queue import jobs, leases, transitions
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, Tally
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.session import Store


def test_a_hopeless_error_fails_the_waiting_shards_of_the_group(store: Store) -> None:
    with store.writing() as connection:
        job_id, other = add_job(connection, "x", 3), add_job(connection, "y", 1)
        held = claim(connection, job_ids=[job_id])
        transitions.fail_group(connection, held.shard_group_id, "no such model")
        assert leases.finish(connection, held, ShardState.FAILED, "no such model")
        group = group_of(connection, job_id)
        assert (group.failed, group.waiting, group.running) == (3, 0, 0)
        assert transitions.failures(connection, job_id, 2) == [(1, "no such model"), (2, "no such model")]
        assert group_of(connection, other).waiting == 1


def test_stalled_shards_wait_again_until_their_last_attempt(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 1)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            assert claim(connection, "killed").attempts == attempt
            transitions.reclaim_stalled(connection)
            assert shards(connection)[0][0] == "running", "its lease has not expired"
            assert transitions.running_owners(connection) == {"killed"}
            transitions.reclaim_stalled(connection, ["killed"])
        [(state, attempts, error)] = shards(connection)
        assert (state, attempts) == ("failed", MAX_ATTEMPTS)
        assert error == f"its worker was killed or stopped responding {MAX_ATTEMPTS} times"
        assert group_of(connection, job_id).failed == 1


def test_an_expired_lease_is_reclaimed_and_its_owner_can_write_no_more(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        late, punctual = claim(connection, "late"), claim(connection, "punctual")
        connection.execute(update(Shard).where(Shard.id == late.shard_id).values(lease_until=1.0))
        transitions.reclaim_stalled(connection)
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
        transitions.reclaim_stalled(connection, ["killed"])
        assert [state for state, *_ in shards(connection)] == ["cancelled", "cancelled"]
        assert group_of(connection, job_id).cancelled == 2


def test_retry_takes_failed_shards_and_those_with_errors(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 3)
        failed, partly, done = (claim(connection) for _ in range(3))
        leases.finish(connection, failed, ShardState.FAILED, "a reason")
        for held, errors in ((partly, 1), (done, 0)):
            tally = Tally(answered=3 - errors, errors=errors)
            leases.record(connection, held, leases.hold(connection, held), tally, lease_s=60)
            leases.finish(connection, held, ShardState.DONE)
        assert transitions.retry_failed(connection, job_id) == 2
        assert [(state, attempts) for state, attempts, _ in shards(connection)] == [
            ("waiting", 0),
            ("waiting", 0),
            ("done", 1),
        ]
        group = group_of(connection, job_id)
        assert (group.waiting, group.done, group.failed) == (2, 1, 0)


def test_only_the_waiting_shards_of_one_job_are_cancelled(store: Store) -> None:
    with store.writing() as connection:
        job_id, other = add_job(connection, "x", 3), add_job(connection, "y", 1)
        claim(connection, job_ids=[job_id])
        leases.finish(connection, claim(connection, job_ids=[job_id]), ShardState.DONE)
        transitions.cancel_waiting(connection, job_id)
        assert [state for state, *_ in shards(connection)] == ["running", "done", "cancelled", "waiting"]
        group = group_of(connection, job_id)
        assert (group.running, group.done, group.cancelled, group.waiting) == (1, 1, 1, 0)
        assert group_of(connection, other).waiting == 1


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
            transitions.reclaim_stalled(connection, ["killed"])
            assert [state for state, *_ in shards(connection)] == ["running", "waiting"]
    with store.writing() as connection:
        transitions.reclaim_stalled(connection, ["killed"])
        assert [state for state, *_ in shards(connection)] == ["waiting", "waiting"]
