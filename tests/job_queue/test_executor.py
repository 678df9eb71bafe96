"""How the executor stores the end of a shard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import fake_plugins
import pytest
from fake_plugins import EmptyJob
from queue_rows import add_expert_group, add_job, claim, shards

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.engines.base import ExpertSettings
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.engines.errors import AccessDeniedError, EndpointDownError, ModelNotFoundError
from benchcoe_jobs.errors import BenchcoeError, MissingError, StoreBusyError, StoreUnavailableError, UsageError
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import StoppedError
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.store.job_queue import expired_leases, jobs, workers
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, JobCancelledError, LostLeaseError, Tally
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


@pytest.mark.parametrize(
    ("outcome", "expected", "level"),
    [
        (None, "done", "INFO"),
        (Tally(answered=1, errors=2), "done, with 2 error rows", "INFO"),
        (BenchcoeError("out of\nluck"), "given back for another attempt: out of luck", "WARNING"),
        (UsageError("wrong"), "failed: wrong", "WARNING"),
        (ValueError("a bug"), "given back for another attempt: unexpected ValueError: a bug", "WARNING"),
        (StoppedError("asked to stop"), "given back: asked to stop", "INFO"),
        (JobCancelledError("cancelled"), "cancelled", "INFO"),
        (LostLeaseError("shard 1 has gone to another worker"), "lost: shard 1 has gone to another worker", "WARNING"),
    ],
)
def test_a_worker_logs_what_became_of_each_shard(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    outcome: Tally | Exception | None,
    expected: str,
    level: str,
) -> None:
    def run(_: EmptyJob, assignment: Assignment) -> None:
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            assignment.lease.commit(lambda connection: outcome)

    runs(monkeypatch, run)
    with store.writing() as connection:
        job_id = add_job(connection, "x")
        add_expert_group(connection, job_id, "ann", 1)
    with caplog.at_level("INFO", "benchcoe_jobs.job_queue.executor"):
        Executor(store, tmp_path, lease_s=60, worker="w").run_next(["cpu"])
    [record] = [record for record in caplog.records if record.exc_info is None]
    what = re.escape(f"shard 1 of job {job_id} (empty, expert ann), ") + r"\d+\.\d s: " + re.escape(expected)
    assert re.fullmatch(what, record.message)
    assert record.levelname == level


@pytest.mark.parametrize("kind", [UsageError, MissingError, ModelNotFoundError, AccessDeniedError, EndpointDownError])
def test_a_hopeless_error_fails_the_group_at_its_first_attempt(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BenchcoeError]
) -> None:
    runs(monkeypatch, raising(kind("wrong")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection) == [("failed", 1, "wrong"), ("failed", 0, "wrong")]
        job = jobs.read_job(connection, job_id)
    assert (job.state, job.exit_code) == (JobState.FAILED, kind.exit_code)


def test_a_bug_is_reported_in_one_line(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(monkeypatch, raising(ValueError("first line\nsecond line")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection)[0] == ("waiting", 1, "unexpected ValueError: first line second line")


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


@pytest.mark.parametrize("kind", [StoreUnavailableError, StoreBusyError])
def test_a_store_that_does_not_answer_does_not_fail_the_group(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BenchcoeError]
) -> None:
    """Although one of these is a MissingError."""
    runs(monkeypatch, raising(kind("the database restarts")))
    Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection) == [("waiting", 1, "the database restarts"), ("waiting", 0, None)]
        assert jobs.read_job(connection, job_id).error is None


def test_a_shard_that_another_worker_has_reclaimed_is_left_to_it(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: EmptyJob, assignment: Assignment) -> None:
        with store.writing() as connection:
            expired_leases.reclaim_stalled(connection, [assignment.claim.owner])
            claim(connection, "another worker")
        assignment.lease.commit(lambda connection: Tally(answered=3))

    runs(monkeypatch, run)
    assert Executor(store, tmp_path, lease_s=60).run_next(["cpu"])
    with store.reading() as connection:
        assert shards(connection) == [("running", 2, None), ("waiting", 0, None)]
        assert expired_leases.running_owners(connection) == {"another worker"}
        assert jobs.shard_groups(connection, [job_id])[0].answered == 0


def test_a_process_that_stops_finishes_its_shard_and_takes_no_other(
    store: Store, job_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    runs(monkeypatch, lambda _, assignment: ran.append(assignment.claim.shard_id))
    assert Executor(store, tmp_path, lease_s=60, stopping=lambda: bool(ran)).run_next(["cpu"], for_s=3600)
    with store.reading() as connection:
        assert [state for state, *_ in shards(connection)] == ["done", "waiting"]


def test_the_loaded_expert_stays_loaded_and_its_shards_come_first(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing() as connection:
        job_id = add_job(connection, "x")
        ann, bob = add_expert_group(connection, job_id, "ann", 3), add_expert_group(connection, job_id, "bob", 4)
        workers.heartbeat(connection, "w", ["cpu"], None)
    settings = {ann: ExpertSettings("fake", "ann"), bob: ExpertSettings("fake", "bob")}
    used: list[tuple[int, EngineClient, str | None]] = []

    def run(_: EmptyJob, assignment: Assignment) -> None:
        expert_id = assignment.claim.expert_id
        assert expert_id is not None
        client = assignment.engine_of(expert_id, settings[expert_id])
        with store.reading() as connection:
            [worker] = workers.workers(connection)
        used.append((expert_id, client, worker.expert))

    runs(monkeypatch, run)
    executor = Executor(store, tmp_path, lease_s=60, worker="w")
    while executor.run_next(["cpu"]):
        pass
    assert [(expert_id, name) for expert_id, _, name in used] == [(bob, "bob")] * 4 + [(ann, "ann")] * 3
    assert len({id(client) for _, client, _ in used}) == 2, "one engine for each expert"
    executor.unload()
    with store.reading() as connection:
        assert [worker.expert for worker in workers.workers(connection)] == [None]


def test_gpus_limit_the_shards_and_are_given_to_the_engine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[EngineClient] = []
    runs(monkeypatch, lambda _, assignment: clients.append(assignment.engine_of(1, ExpertSettings("fake", "ann"))))
    with store.writing() as connection:
        for name in ("x", "y"):
            add_job(connection, name, 1, gpus=2)
    assert not Executor(store, tmp_path, lease_s=60, gpus=["3"]).run_next(["cpu"])
    for gpus in (["3", "5"], None):
        assert Executor(store, tmp_path, lease_s=60, gpus=gpus).run_next(["cpu"])
    assert [client._gpus for client in clients] == ["3,5", None], "None: any number, as the environment says"
