"""Open jobs that a removal would break."""

from __future__ import annotations

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.job_kind import Needs
from benchcoe_jobs.job_queue.lifecycle import kind_of
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow

_EVERYTHING = Needs(None, None, None)


def require_no_job(connection: Connection, removed: Needs) -> None:
    """Raise UsageError if an open job needs one of the names. No other one opens before the transaction ends."""
    jobs.lock_submission(connection)
    for job in jobs.list_jobs(connection, only_open=True):
        if any(_meet(*pair) for pair in zip(_needs(job), removed, strict=True)):
            raise UsageError(
                f"job {job.id} ({job.kind}) is open and may need it: `benchcoe-jobs cancel {job.id}` goes first"
            )


def _needs(job: JobRow) -> Needs:
    """What a job needs. That of a plug-in which is not installed here may need everything."""
    return kind_of(job.kind).needs(job.request) if job.kind in registry.names("jobs") else _EVERYTHING


def _meet(needed: frozenset[str] | None, removed: frozenset[str] | None) -> bool:
    if removed is None or needed is None:
        return removed != frozenset() and needed != frozenset()
    return bool(needed & removed)
