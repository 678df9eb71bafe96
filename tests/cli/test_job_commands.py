"""The functions that the commands share to run jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from benchcoe_jobs.cli.command import Session
from benchcoe_jobs.cli.job_commands import require_complete, require_success, run_job, show_queued
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError, UnfinishedError, UsageError
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.session import connect


def job(state: JobState, *, kind: str = "profile", error: str | None = None, exit_code: int | None = None) -> JobRow:
    now = datetime.now(UTC)
    return JobRow(7, kind, {}, None, 0, state, None, error, exit_code, now, None, now)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session with an empty store and no broker."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = connect(url)
    upgrade(store)
    store.close()
    return Session(Settings(database_url=url), as_json=True, quiet=False)


@pytest.mark.parametrize("state", [JobState.DONE, JobState.PARTIAL])
def test_require_success_accepts_a_job_with_results(state: JobState) -> None:
    require_success(job(state))


def test_require_success_raises_the_error_of_a_failed_job() -> None:
    with pytest.raises(BenchcoeError, match="unknown model") as raised:
        require_success(job(JobState.FAILED, error="unknown model", exit_code=4))
    assert raised.value.exit_code == 4


def test_require_success_names_a_failed_job_without_an_error() -> None:
    with pytest.raises(BenchcoeError, match="job 7 failed") as raised:
        require_success(job(JobState.FAILED))
    assert raised.value.exit_code == 1


def test_require_success_rejects_a_cancelled_job() -> None:
    with pytest.raises(BenchcoeError, match="job 7 was cancelled; the results that it had stored are kept"):
        require_success(job(JobState.CANCELLED))


def test_require_complete_accepts_a_complete_job() -> None:
    require_complete(job(JobState.DONE))


@pytest.mark.parametrize(
    ("kind", "where"),
    [("profile", "`benchcoe-jobs status 7` counts them"), ("batch", "the error file has the reasons")],
)
def test_require_complete_names_the_command_that_repeats_failed_items(kind: str, where: str) -> None:
    with pytest.raises(UnfinishedError) as raised:
        require_complete(job(JobState.PARTIAL, kind=kind))
    assert where in str(raised.value)
    assert "`benchcoe-jobs retry 7`" in str(raised.value)


def test_show_queued_prints_only_the_number_on_stdout(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    with session.store.writing() as connection:
        job_id, is_new = jobs.open_job(connection, "profile", {})
    session.as_json = False
    show_queued(session, job_id, is_new=is_new)
    shown = capsys.readouterr()
    assert shown.out == f"{job_id}\n"
    assert f"job {job_id} is queued: `benchcoe-jobs watch {job_id}` follows it" in shown.err
    show_queued(session, job_id, is_new=False)
    assert "was already queued" in capsys.readouterr().err
    session.close()


def test_a_failing_before_submits_no_job(session: Session) -> None:
    def before(connection: Connection) -> None:
        raise UsageError("taken")

    with pytest.raises(UsageError, match="taken"):
        run_job(session, "profile", {}, what="profiling", wait=False, priority=0, before=before)
    with session.store.reading() as connection:
        assert jobs.list_jobs(connection, limit=1, only_open=False) == []
    session.close()
