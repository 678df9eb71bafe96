"""Jobs and their shard groups."""

from __future__ import annotations

from datetime import timedelta

import pytest
from queue_rows import add_job, group_of

from benchcoe_jobs.domain import JobState, Queue
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import now


def test_an_open_job_is_the_job_for_its_request(store: Store) -> None:
    with store.writing() as connection:
        first, is_new = jobs.open_job(connection, "empty", {"a": 1, "b": 2})
        assert is_new
        assert jobs.open_job(connection, "empty", {"b": 2, "a": 1}) == (first, False)
        assert jobs.open_job(connection, "other", {"a": 1, "b": 2})[1]
        assert jobs.newest_job(connection, "empty", {"a": 1}) is None
        jobs.close_job(connection, first, JobState.DONE, {"found": 1})
        newest = jobs.newest_job(connection, "empty", {"a": 1, "b": 2})
        assert newest is not None
        assert (newest.id, newest.state) == (first, JobState.DONE)
        second, is_new = jobs.open_job(connection, "empty", {"a": 1, "b": 2}, parent_id=first)
        assert is_new
        third, _ = jobs.open_job(connection, "empty", {"a": 3}, parent_id=second)
        assert jobs.followers(connection, first) == [second, third]
        assert [job.id for job in jobs.list_jobs(connection, only_open=True)][:2] == [third, second]
        closed = jobs.read_job(connection, first)
    assert (closed.is_open, closed.report, closed.finished_at is None) == (False, {"found": 1}, False)


def test_a_cancelled_job_is_not_the_job_for_its_request(store: Store) -> None:
    with store.writing() as connection:
        first, _ = jobs.open_job(connection, "empty", {"a": 1})
        jobs.flag_cancelled(connection, first)
        cancelled_at = jobs.read_job(connection, first).cancelled_at
        jobs.flag_cancelled(connection, first)
        assert jobs.read_job(connection, first).cancelled_at == cancelled_at is not None
        newest = jobs.newest_job(connection, "empty", {"a": 1})
        assert newest is not None
        assert newest.id == first
        second, is_new = jobs.open_job(connection, "empty", {"a": 1})
        newest = jobs.newest_job(connection, "empty", {"a": 1})
        assert newest is not None
        assert newest.id == second
    assert (is_new, second != first) == (True, True)


def test_a_reopened_job_is_the_job_for_its_request_again(store: Store) -> None:
    with store.writing() as connection:
        first, _ = jobs.open_job(connection, "empty", {"a": 1})
        jobs.flag_cancelled(connection, first)
        jobs.close_job(connection, first, JobState.CANCELLED, None)
        jobs.reopen(connection, first, {"a": 1, "again": True})
        assert jobs.read_job(connection, first).cancelled_at is None
        assert jobs.open_job(connection, "empty", {"a": 1}) == (first, False)


def test_jobs_that_ended_before_a_time(store: Store) -> None:
    with store.writing() as connection:
        ended, other, _ = (jobs.open_job(connection, kind, {"a": kind})[0] for kind in ("x", "y", "x"))
        jobs.close_job(connection, ended, JobState.DONE, None)
        jobs.close_job(connection, other, JobState.DONE, None)
        soon = now() + timedelta(minutes=1)
        assert [job.id for job in jobs.ended_before(connection, "x", soon)] == [ended]
        assert jobs.ended_before(connection, "x", soon - timedelta(hours=1)) == []


def test_a_finished_job_is_reopened_unless_a_new_one_is_open(store: Store) -> None:
    with store.writing() as connection:
        first, _ = jobs.open_job(connection, "empty", {"a": 1})
        jobs.note_error(connection, first, "the first error", 3)
        jobs.note_error(connection, first, "a later error", 1)
        jobs.close_job(connection, first, JobState.FAILED, None)
        failed = jobs.read_job(connection, first)
        assert (failed.error, failed.exit_code) == ("the first error", 3)
        jobs.reopen(connection, first, {"a": 1, "again": True})
        again = jobs.read_job(connection, first)
        assert (again.state, again.error, again.exit_code, again.finished_at) == (JobState.OPEN, None, None, None)
        jobs.close_job(connection, first, JobState.FAILED, None)
        jobs.open_job(connection, "empty", {"a": 1})
        with pytest.raises(UsageError, match="the same work is open already"):
            jobs.reopen(connection, first, {"a": 1})
        assert not jobs.read_job(connection, first).is_open


def test_later_stages_are_deleted_and_earlier_ones_stay(store: Store) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x", 2)
        for stage in (1, 2):
            jobs.add_shard_groups(connection, job_id, stage, [NewShardGroup(Queue.CPU, [({}, 1)])])
        jobs.set_stage(connection, job_id, 2)
        assert [group.stage for group in jobs.shard_groups(connection, [job_id])] == [0, 1, 2]
        assert [group.items for group in jobs.shard_groups(connection, [job_id], stage=0)] == [6]
        jobs.forget_stages_after(connection, job_id, 0)
        assert group_of(connection, job_id).waiting == 2
        assert jobs.read_job(connection, job_id).stage == 2


def test_an_unknown_job(store: Store) -> None:
    with store.reading() as connection, pytest.raises(UsageError, match="there is no job 7: `benchcoe-jobs jobs`"):
        jobs.read_job(connection, 7)
