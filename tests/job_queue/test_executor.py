"""How the executor stores the end of a shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fake_plugins
import pytest
from fake_plugins import EmptyJob
from queue_rows import shards

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError, UsageError
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import StoppedError
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, JobCancelledError, Tally
from benchcoe_jobs.store.session import Store


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugins.install(tmp_path, monkeypatch)


@pytest.fixture
def job_id(store: Store) -> int:
    with store.writing() as connection:
        return submit(connection, "empty", {"stages": [[2], []]})[0]


Run = Callable[[EmptyJob, Assignment], None]


def runs(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(EmptyJob, "run", run)


def raising(error: BaseException) -> Run:
    def run(_: EmptyJob, __: Assignment) -> None:
        raise error

    return run


@pytest.mark.parametrize(("for_s", "calls"), [(0.0, 2), (3600.0, 1)])
def test_a_call_runs_one_shard_or_those_of_its_group(
    store: Store, job_id: int, tmp_path: Path, for_s: float, calls: int
) -> None:
    executor = Executor(store, tmp_path, lease_s=60)
    assert executor.run_next(["cpu"], job_ids=[job_id + 1]) is False
    for _ in range(calls):
        assert executor.run_next(["cpu"], for_s=for_s)
    with store.reading() as connection:
        assert shards(connection) == [("done", 1, None)] * 2
        assert jobs.read_job(connection, job_id).state is JobState.DONE
    assert not executor.run_next(["cpu"])


def test_an_error_is_retried_until_the_last_attempt(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, raising(BenchcoeError("out of luck")))
    executor = Executor(store, tmp_path, lease_s=60)
    executor.run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection)[0] == ("waiting", 1, "out of luck")
    while executor.run_next(["cpu"]):
        pass
    with store.reading() as connection:
        assert shards(connection) == [("failed", MAX_ATTEMPTS, "out of luck")] * 2
        job = jobs.read_job(connection, job_id)
    assert (job.state, job.error, job.exit_code) == (JobState.FAILED, "out of luck", 1)


def test_a_hopeless_error_fails_the_group_at_its_first_attempt(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, raising(UsageError("wrong")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection) == [("failed", 1, "wrong"), ("failed", 0, "wrong")]
        job = jobs.read_job(connection, job_id)
    assert (job.state, job.exit_code) == (JobState.FAILED, 2)


def test_a_bug_is_reported_in_one_line(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, raising(ValueError("first line\nsecond line")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection)[0] == ("waiting", 1, "unexpected ValueError: first line")


@pytest.mark.parametrize("error", [StoppedError("asked to stop"), KeyboardInterrupt()])
def test_a_process_that_stops_gives_the_shard_back(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    runs(monkeypatch, raising(error))
    executor = Executor(store, tmp_path, lease_s=60)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            executor.run_next(["cpu"])
    else:
        assert executor.run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection)[0] == ("waiting", 0, None), "the attempt does not count"


def test_a_shard_of_a_cancelled_job_is_cancelled(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, raising(JobCancelledError("cancelled")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection)[0][0] == "cancelled"


def test_progress_is_reported_with_every_commit(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Tally] = []
    runs(monkeypatch, lambda _, assignment: assignment.lease.commit(lambda connection: Tally(answered=3)))
    Executor(store, tmp_path, lease_s=60, progress=steps.append).run_next(["cpu"])
    assert steps == [Tally(answered=3)]
