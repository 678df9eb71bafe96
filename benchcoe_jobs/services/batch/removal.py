"""Remove finished batch files: their jobs with all prompts and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.training.registration import remove_unused
from benchcoe_jobs.store.job_queue import jobs, removal
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.routing import snapshots
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import now


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A submitted file whose job has ended."""

    job: int
    state: str
    lines: int
    finished_at: datetime | None


def finished_files(store: Store, job_ids: Sequence[int], older_than: timedelta | None = None) -> list[FinishedFile]:
    """The named files, or those whose jobs ended at least `older_than` ago, by job.

    Raises UsageError if a named job is no submitted file, or has not ended.
    """
    with store.reading() as connection:
        if older_than is None:
            found = [_require_finished(jobs.read_job(connection, job_id)) for job_id in sorted(set(job_ids))]
        else:
            found = jobs.ended_before(connection, "batch", now() - older_than)
    return [FinishedFile(job.id, str(job.state), job.request["lines"], job.finished_at) for job in found]


def remove_files(store: Store, home: Path, job_ids: Sequence[int]) -> None:
    """Remove files, and the routing snapshots that no other job and no evaluation needs.

    Artifacts under `home` that were kept for them go first, because the snapshots are what names them. Raises
    UsageError, and removes nothing, if one of the jobs is no submitted file or has not ended.
    """
    with store.writing() as connection:
        for job_id in job_ids:
            _require_finished(jobs.read_job(connection, job_id, lock=True))
        removal.remove_jobs(connection, job_ids)
        names = snapshots.routers_of_unused(connection)
    for name in names:
        remove_unused(store, home, name)
    with store.writing() as connection:
        snapshots.remove_unused(connection)


def _require_finished(job: JobRow) -> JobRow:
    if job.kind != "batch":
        raise UsageError(f"job {job.id} is not a submitted file: `benchcoe-jobs jobs` shows the kind of each job")
    if job.is_open:
        raise UsageError(f"job {job.id} is still open: `benchcoe-jobs cancel {job.id}` ends it")
    return job
