"""Why nothing may be going on with a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .command import Session

if TYPE_CHECKING:
    from benchcoe_jobs.settings import Settings
    from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow
    from benchcoe_jobs.store.job_queue.workers import WorkerRow


def note_hints(session: Session, job_id: int) -> None:
    """Say it, where a job waits for workers that are not there."""
    from benchcoe_jobs.store.job_queue import jobs, workers

    with session.store.reading() as connection:
        job, shard_groups = jobs.read_job(connection, job_id), jobs.shard_groups(connection, [job_id])
        crew = workers.workers(connection)
    for hint in hints(job, shard_groups, crew, session.settings):
        session.note(f"note: {hint}")


def hints(
    job: JobRow, shard_groups: Sequence[ShardGroupRow], crew: Sequence[WorkerRow], settings: Settings
) -> Iterator[str]:
    """One line for each thing that a job waits for in vain."""
    if not job.is_open:
        return
    if settings.broker_url is None:
        yield "no broker is configured: the command that began it goes on with it"
        return
    waiting = [shard_group for shard_group in shard_groups if shard_group.waiting]
    alive = [worker for worker in crew if worker.seen_s_ago < settings.lease_s]  # they say so four times in a lease
    for queue in sorted({shard_group.queue for shard_group in waiting}):
        serving = [worker for worker in alive if worker.serves(queue)]
        wanted = max(shard_group.gpus for shard_group in waiting if shard_group.queue == queue)
        if not serving:
            yield f"no worker serves queue {queue}: start one with `benchcoe-jobs worker --queues {queue}`"
        elif not any(_has(worker, wanted) for worker in serving):
            group = "+".join(map(str, range(wanted)))
            yield (
                f"no worker of queue {queue} has as many GPUs as an expert of the job needs ({wanted}): "
                f"start one with `benchcoe-jobs worker --queues {queue} --gpus {group}`, say"
            )


def _has(worker: WorkerRow, gpus: int) -> bool:
    """A worker that was given no GPUs takes what it finds."""
    return worker.gpus is None or len([gpu for gpu in worker.gpus.split(",") if gpu]) >= gpus
