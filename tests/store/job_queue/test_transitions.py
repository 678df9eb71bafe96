"""Transitions of many shards."""

from __future__ import annotations

from queue_rows import add_job, claim, group_of, shards

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.job_queue import leases, transitions
from benchcoe_jobs.store.job_queue.leases import Tally
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


def test_retry_takes_failed_shards_and_those_with_errors(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 3)
        failed, partly, done = (claim(connection) for _ in range(3))
        leases.finish(connection, failed, ShardState.FAILED, "a reason")
        for held, errors in ((partly, 1), (done, 0)):
            tally = Tally(answered=3 - errors, errors=errors)
            leases.record(connection, held, leases.hold(connection, held), tally, lease_s=60)
            leases.finish(connection, held, ShardState.DONE)
        assert [(stage, work) for stage, work, error in transitions.failed_work(connection, job_id) if error] == [
            (0, {"number": 0})
        ]
        assert transitions.resume(connection, job_id) == 2
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
        assert transitions.resume(connection, job_id) == 1
        assert group_of(connection, job_id).waiting == 1


def test_a_renewed_job_has_all_its_attempts(store: Store) -> None:
    with store.writing() as connection:
        job_id, other = add_job(connection, "x", 3), add_job(connection, "y", 1)
        for state in (ShardState.FAILED, ShardState.WAITING):
            held = claim(connection, job_ids=[job_id])
            if state is ShardState.FAILED:
                leases.finish(connection, held, state, "a reason")
        claim(connection, job_ids=[other])
        transitions.renew_attempts(connection, job_id)
        assert [(state, attempts) for state, attempts, _ in shards(connection)] == [
            ("failed", 1),
            ("running", 0),
            ("waiting", 0),
            ("running", 1),
        ]
