"""Jobs from submission to their end, with a kind whose shards do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fake_plugins
import pytest
from fake_plugins import EmptyJob
from queue_rows import claim
from sqlalchemy import Connection

from benchcoe_jobs.domain import JobState, ShardState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue import lifecycle, process_identity
from benchcoe_jobs.store.job_queue import expired_leases, jobs, leases
from benchcoe_jobs.store.session import Store


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins.install(tmp_path, monkeypatch)


def submit(store: Store, *stages: list[int]) -> int:
    with store.writing() as connection:
        job_id, _ = lifecycle.submit(connection, "empty", {"stages": list(stages)})
    return job_id


def finish_all(store: Store, state: ShardState = ShardState.DONE) -> None:
    with store.writing() as connection:
        held = claim(connection)
        if leases.finish(connection, held, state, "a reason" if state is ShardState.FAILED else None):
            lifecycle.settle(connection, held.job_id)


def read(store: Store, job_id: int) -> jobs.JobRow:
    with store.reading() as connection:
        return jobs.read_job(connection, job_id)


def test_stages_follow_each_other_and_the_last_one_ends_the_job(store: Store) -> None:
    job_id = submit(store, [1, 1], [1])
    assert submit(store, [1, 1], [1]) == job_id, "the same work is one job"
    finish_all(store)
    assert read(store, job_id).stage == 0
    finish_all(store)
    assert read(store, job_id).stage == 1
    finish_all(store)
    ended = read(store, job_id)
    assert (ended.state, ended.report, ended.error) == (JobState.DONE, {"stage": 1}, None)


def test_a_job_without_shards_is_over_at_once(store: Store) -> None:
    assert read(store, submit(store, [], [])).state is JobState.DONE


def test_some_failed_shards_make_a_partial_job_which_can_be_retried(store: Store) -> None:
    job_id = submit(store, [2], [])
    finish_all(store, ShardState.FAILED)
    with pytest.raises(UsageError, match=f"job {job_id} is still open"):
        lifecycle.retry(store, job_id)
    finish_all(store)
    ended = read(store, job_id)
    assert (ended.state, ended.exit_code) == (JobState.PARTIAL, 3)
    assert lifecycle.retry(store, job_id) == 1
    assert read(store, job_id).request["retry_errors"] is True
    finish_all(store)
    assert read(store, job_id).state is JobState.DONE
    with pytest.raises(UsageError, match="no failed shards or items"):
        lifecycle.retry(store, job_id)


def test_a_stage_that_failed_as_a_whole_fails_the_job(store: Store) -> None:
    job_id = submit(store, [1], [1])
    finish_all(store, ShardState.FAILED)
    ended = read(store, job_id)
    assert (ended.state, ended.stage, ended.error, ended.report) == (JobState.FAILED, 0, "a reason", None)


def test_a_cancelled_job_ends_when_its_running_shards_do(store: Store) -> None:
    job_id = submit(store, [2], [1])
    with store.writing() as connection:
        held = claim(connection)
    assert lifecycle.cancel(store, job_id).is_open
    with store.writing() as connection:
        assert leases.give_back(connection, held), "it is cancelled with its job"
        lifecycle.settle(connection, job_id)
    assert read(store, job_id).state is JobState.CANCELLED
    with pytest.raises(UsageError, match="there is nothing to cancel"):
        lifecycle.cancel(store, job_id)
    assert lifecycle.retry(store, job_id) == 2, "all shards of the stage, also the one that was running"
    resumed = read(store, job_id)
    assert (resumed.state, resumed.cancelled_at) == (JobState.OPEN, None)
    assert submit(store, [2], [1]) == job_id, "it is the job for its request again"
    for _ in range(3):
        finish_all(store)
    assert read(store, job_id).state is JobState.DONE


def test_a_job_that_was_cancelled_after_its_last_shard_of_a_stage_goes_on_with_the_next(store: Store) -> None:
    job_id = submit(store, [1], [1])
    with store.writing() as connection:
        held = claim(connection)
    lifecycle.cancel(store, job_id)
    with store.writing() as connection:
        leases.finish(connection, held, ShardState.DONE)
        lifecycle.settle(connection, job_id)
    assert read(store, job_id).state is JobState.CANCELLED
    assert lifecycle.retry(store, job_id) == 1
    assert read(store, job_id).stage == 1


def test_a_cancelled_job_does_not_continue_beside_a_new_one(store: Store) -> None:
    job_id = submit(store, [1], [])
    lifecycle.cancel(store, job_id)
    assert submit(store, [1], []) != job_id
    with pytest.raises(UsageError, match="a job for the same work is open already"):
        lifecycle.retry(store, job_id)
    assert read(store, job_id).state is JobState.CANCELLED


def test_a_sweep_completes_a_cancel_that_was_interrupted(store: Store) -> None:
    job_id = submit(store, [2], [])
    with store.writing() as connection:
        jobs.flag_cancelled(connection, job_id)
    lifecycle.sweep(store)
    assert read(store, job_id).state is JobState.CANCELLED


def test_the_family_of_a_job_is_open_while_a_follow_up_is(store: Store) -> None:
    job_id = submit(store, [], [])
    with store.writing() as connection:
        follower, _ = lifecycle.submit(connection, "empty", {"stages": [[1], []]}, parent_id=job_id)
    job, ids, is_open = lifecycle.family(store, job_id)
    assert (job.id, ids, is_open) == (job_id, [job_id, follower], True)
    finish_all(store)
    assert lifecycle.family(store, job_id)[2] is False


def test_an_unknown_kind_is_refused_and_leaves_no_job(store: Store) -> None:
    with pytest.raises(UsageError, match="'nothing'"), store.writing() as connection:
        lifecycle.submit(connection, "nothing", {})
    with store.reading() as connection:
        assert jobs.list_jobs(connection) == []


def test_a_later_stage_that_cannot_be_planned_fails_the_job(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = EmptyJob.plan

    def plan_only_the_first(kind: EmptyJob, connection: Connection, job: jobs.JobRow) -> Sequence[jobs.NewShardGroup]:
        if job.stage == 1:
            raise UsageError("the router is gone")
        return plan(kind, connection, job)

    monkeypatch.setattr(EmptyJob, "plan", plan_only_the_first)
    job_id = submit(store, [1], [1])
    finish_all(store)
    ended = read(store, job_id)
    assert (ended.state, ended.error, ended.exit_code) == (JobState.FAILED, "the router is gone", 2)
    assert lifecycle.retry(store, job_id) == 0, "it cannot be planned yet"
    assert read(store, job_id).error == "the router is gone"
    monkeypatch.setattr(EmptyJob, "plan", plan)
    assert lifecycle.retry(store, job_id) == 1
    assert read(store, job_id).stage == 1


@pytest.mark.parametrize(
    ("ends", "state", "n"),
    [
        ([ShardState.DONE, ShardState.DONE], JobState.DONE, 1),
        ([ShardState.DONE, ShardState.FAILED], JobState.PARTIAL, 1),
        ([ShardState.FAILED, ShardState.FAILED], JobState.FAILED, 0),
    ],
)
def test_follow_ups_are_submitted_unless_the_job_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch, ends: list[ShardState], state: JobState, n: int
) -> None:
    def follow_ups(_: EmptyJob, __: Connection, job: jobs.JobRow) -> list[tuple[str, dict[str, object]]]:
        return [] if job.parent_id else [("empty", {"stages": [[5], []]})]

    monkeypatch.setattr(EmptyJob, "follow_ups", follow_ups)
    job_id = submit(store, [2], [])
    for end in ends:
        finish_all(store, end)
    assert read(store, job_id).state is state
    with store.reading() as connection:
        followers = jobs.followers(connection, job_id)
        assert [group.waiting for group in jobs.shard_groups(connection, followers)] == [5] * n
        assert [jobs.read_job(connection, follower).parent_id for follower in followers] == [job_id] * n


def test_a_retry_plans_the_stages_after_the_failure_again(store: Store) -> None:
    job_id = submit(store, [2], [1])
    finish_all(store, ShardState.FAILED)
    for _ in range(2):
        finish_all(store)
    assert read(store, job_id).state is JobState.PARTIAL
    assert lifecycle.retry(store, job_id) == 1
    with store.reading() as connection:
        assert [(group.stage, group.waiting) for group in jobs.shard_groups(connection, [job_id])] == [(0, 1)]
    finish_all(store)
    with store.reading() as connection:
        assert [(group.stage, group.waiting) for group in jobs.shard_groups(connection, [job_id])] == [(0, 0), (1, 1)]


def test_a_retry_is_refused_if_a_new_job_for_the_same_work_is_open(store: Store) -> None:
    failed = submit(store, [1], [])
    finish_all(store, ShardState.FAILED)
    assert submit(store, [1], []) != failed
    with pytest.raises(UsageError, match="the same work is open already"):
        lifecycle.retry(store, failed)
    assert read(store, failed).state is JobState.FAILED


def test_a_sweep_reclaims_the_shards_of_processes_that_have_exited(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    mine = process_identity.signature()
    name, _, started = mine.rpartition(".")
    submit(store, [2], [])
    with store.writing() as connection:
        for owner in (f"{name}.{int(started) + 1}", mine):
            claim(connection, owner)
    with caplog.at_level("INFO", "benchcoe_jobs.job_queue.lifecycle"):
        lifecycle.sweep(store)
    assert caplog.messages == ["shard 1 of job 1: waiting: its worker was killed or stopped responding"]
    with store.reading() as connection:
        assert expired_leases.running_owners(connection) == {mine}
