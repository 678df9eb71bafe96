"""What is not finished."""

from __future__ import annotations

from queue_rows import add_job, claim

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import jobs, leases, unfinished
from benchcoe_jobs.store.session import Store


def test_waiting_shards_are_counted_up_to_a_limit(store: Store) -> None:
    with store.writing() as connection:
        add_job(connection, "x", 3, 4)
        add_job(connection, "y", 1, queue=Queue.TRAIN)
        jobs.flag_cancelled(connection, add_job(connection, "z", 1, queue=Queue.GPU))
        assert unfinished.waiting_shards(connection, 100) == {"cpu": 7, "train": 1}
        assert unfinished.waiting_shards(connection, 5) == {"cpu": 5, "train": 1}


def test_jobs_that_should_be_settled(store: Store) -> None:
    with store.writing() as connection:
        over, running, cancelled = (add_job(connection, name, 1) for name in ("over", "running", "cancelled"))
        claim(connection, job_ids=[running])
        leases.finish(connection, claim(connection, job_ids=[over]), leases.ShardState.DONE)
        jobs.flag_cancelled(connection, cancelled)
        assert unfinished.left_open(connection) == [over, cancelled]
        assert [unfinished.n_unfinished(connection, job_id) for job_id in (over, running, cancelled)] == [0, 1, 1]
