"""The life of a job: submit it, plan its stages, cancel it, retry it, close it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import BenchcoeError, UnfinishedError, UsageError
from benchcoe_jobs.job_queue import process_identity
from benchcoe_jobs.job_queue.job_kind import JobKind
from benchcoe_jobs.store.job_queue import expired_leases, jobs, transitions, unfinished
from benchcoe_jobs.store.job_queue.jobs import JobRow, Submission
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.wording import counted

log = logging.getLogger(__name__)


def kind_of(name: str) -> JobKind:
    """The job kind of a name. Raises UsageError if there is none."""
    kind: JobKind = registry.load("jobs", name)()
    return kind


def new_submission(*, priority: int = 0, file: Path | None = None) -> Submission:
    """The submission of a job by the user of this process."""
    # A file's name may be invalid Unicode.
    path = None if file is None else os.fsencode(file.absolute()).decode("utf-8", "backslashreplace")
    return Submission(process_identity.user(), path, priority)


def submit(
    connection: Connection,
    kind: str,
    request: Mapping[str, Any],
    *,
    parent_id: int | None = None,
    submission: Submission | None = None,
) -> tuple[int, bool]:
    """Submit a job. Returns its id and whether it is new: an open job for the same request is returned instead.

    Without a `submission` it is that of this process, with the normal priority. Raises UsageError if the request is
    invalid; no job is stored then.
    """
    job_id, is_new = jobs.open_job(
        connection, kind, request, parent_id=parent_id, submission=submission or new_submission()
    )
    if is_new:
        jobs.add_shard_groups(connection, job_id, 0, kind_of(kind).plan(connection, jobs.read_job(connection, job_id)))
        settle(connection, job_id)
    return job_id, is_new


def settle(connection: Connection, job_id: int) -> None:
    """If no shard of a job waits or runs any more, plan its next stage or close it.

    Call it in the transaction that may have ended the last shard. The job's row is locked: if two transactions end
    the last two shards at the same time, exactly one of them finds the stage over.
    """
    job = jobs.read_job(connection, job_id, lock=True)
    while job.is_open and not unfinished.n_unfinished(connection, job_id):
        if job.cancelled_at is not None:
            _close(connection, job, JobState.CANCELLED)
        elif _stage_failed(connection, job):
            _close(connection, job, JobState.FAILED)
        elif job.stage + 1 < kind_of(job.kind).n_stages:
            jobs.set_stage(connection, job_id, job.stage + 1)
            _plan_stage(connection, jobs.read_job(connection, job_id))
        else:
            shard_groups = jobs.shard_groups(connection, [job_id])
            is_whole = not any(shard_group.failed or shard_group.errors for shard_group in shard_groups)
            _close(connection, job, JobState.DONE if is_whole else JobState.PARTIAL)
        job = jobs.read_job(connection, job_id)


def family(store: Store, job_id: int) -> tuple[JobRow, list[int], bool]:
    """A job, the ids of the job and of all its follow-up jobs, and whether any of them is open."""
    with store.reading() as connection:
        ids = [job_id, *jobs.followers(connection, job_id)]
        rows = [jobs.read_job(connection, id_) for id_ in ids]
    return rows[0], ids, any(row.is_open for row in rows)


def cancel(store: Store, job_id: int) -> JobRow:
    """Cancel a job: its waiting shards never run, running ones stop at the next micro-batch. Stored results stay.

    Raises UsageError if the job is over.
    """
    with store.writing() as connection:
        job = jobs.read_job(connection, job_id)
        if not job.is_open:
            raise UsageError(f"job {job_id} is over ({job.state}): there is nothing to cancel")
        jobs.flag_cancelled(connection, job_id)
    with store.writing() as connection:  # shards are locked before their job, so the flag has its own transaction
        transitions.cancel_waiting(connection, job_id)
        settle(connection, job_id)
        return jobs.read_job(connection, job_id)


def retry(store: Store, job_id: int) -> int:
    """Continue a job that failed, was cancelled or has failed items. Returns the number of shards that wait again.

    Raises UsageError if the job is open, or if nothing of it is left to do.
    """
    sweep(store)  # completes a cancel whose worker was killed
    with store.writing() as connection:
        return resume(connection, jobs.read_job(connection, job_id, lock=True))  # a second retry finds it open


def resume(connection: Connection, job: JobRow) -> int:
    """See `retry`. The row of the job is locked."""
    if job.is_open and job.cancelled_at is not None:
        raise UsageError(
            f"job {job.id} is being cancelled, and its workers stop after the current micro-batch: repeat the command "
            f"once `benchcoe-jobs status {job.id}` shows it as cancelled"
        )
    if job.is_open:
        raise UsageError(f"job {job.id} is still open: `benchcoe-jobs watch {job.id}` follows it")
    stages = [
        group.stage
        for group in jobs.shard_groups(connection, [job.id])
        if group.failed or group.cancelled or (group.done and group.errors)
    ]
    if not stages and job.state in (JobState.DONE, JobState.PARTIAL):
        raise UsageError(f"job {job.id} has no failed shards or items to retry")
    jobs.reopen(connection, job.id, job.request | {"retry_errors": True})
    if stages:
        jobs.forget_stages_after(connection, job.id, min(stages))
        transitions.resume(connection, job.id)
        jobs.set_stage(connection, job.id, min(stages))
    elif job.state is JobState.FAILED:
        _plan_stage(connection, job)  # that is what had failed
    settle(connection, job.id)
    return unfinished.n_unfinished(connection, job.id)


def sweep(store: Store) -> None:
    """Reclaim the shards of workers whose lease expired or whose process has exited; settle the jobs concerned.

    Any number of processes may sweep at the same time: the first one locks a shard. A sweep also completes a cancel
    that was interrupted, or that missed a shard given back at the same moment.
    """
    with store.writing() as connection:
        reclaimed = expired_leases.reclaim_stalled(
            connection,
            [owner for owner in expired_leases.running_owners(connection) if process_identity.is_gone(owner)],
        )
    for shard in reclaimed:
        what = f" (expert {shard.expert})" if shard.expert else ""
        reason = shard.error or "its worker was killed or stopped responding"
        level = logging.WARNING if shard.error else logging.INFO
        log.log(level, "shard %d of job %d%s: %s: %s", shard.shard_id, shard.job_id, what, shard.state, reason)
    with store.reading() as connection:
        left = unfinished.left_open(connection)
    for job_id in left:
        with store.writing() as connection:
            if jobs.read_job(connection, job_id).cancelled_at is not None:
                transitions.cancel_waiting(connection, job_id)
            settle(connection, job_id)


def _plan_stage(connection: Connection, job: JobRow) -> None:
    try:
        with connection.begin_nested():
            jobs.add_shard_groups(connection, job.id, job.stage, kind_of(job.kind).plan(connection, job))
    except BenchcoeError as error:
        jobs.note_error(connection, job.id, str(error), error.exit_code)
        _close(connection, job, JobState.FAILED)


def _stage_failed(connection: Connection, job: JobRow) -> bool:
    shard_groups = jobs.shard_groups(connection, [job.id], stage=job.stage)
    return any(shard_group.failed for shard_group in shard_groups) and not any(
        shard_group.done for shard_group in shard_groups
    )


def _close(connection: Connection, job: JobRow, state: JobState) -> None:
    kind = kind_of(job.kind)
    report = None if state is JobState.FAILED else kind.report(connection, job)
    if state is JobState.FAILED:
        first = next((error for _, error in transitions.failures(connection, job.id, 1)), "all its shards failed")
        jobs.note_error(connection, job.id, first, BenchcoeError.exit_code)
    elif state is JobState.PARTIAL:
        jobs.note_error(connection, job.id, _why_partial(connection, job), UnfinishedError.exit_code)
    jobs.close_job(connection, job.id, state, report)
    if state in (JobState.DONE, JobState.PARTIAL):
        for follow_up, request in kind.follow_ups(connection, job):
            inherited = Submission(job.submitted_by, job.file, job.priority)
            submit(connection, follow_up, request, parent_id=job.id, submission=inherited)


def _why_partial(connection: Connection, job: JobRow) -> str:
    for _, error in transitions.failures(connection, job.id, 1):
        return error
    n_errors = sum(group.errors for group in jobs.shard_groups(connection, [job.id]))
    return f"{counted(n_errors, 'item')} ended in an error"
