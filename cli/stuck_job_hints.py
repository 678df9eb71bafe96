"""Hints on why an open job makes no progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchcoe_jobs.wording import counted

from .command import Session

if TYPE_CHECKING:
    from benchcoe_jobs.settings import Settings
    from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow
    from benchcoe_jobs.store.job_queue.workers import WorkerRow


def note_hints(session: Session, job_id: int) -> None:
    """Print the hints on a job of the store as notes."""
    from benchcoe_jobs.store.job_queue import jobs, workers

    with session.store.reading() as connection:
        job, shard_groups = jobs.read_job(connection, job_id), jobs.shard_groups(connection, [job_id])
        all_workers = workers.workers(connection)
    for hint in hints(job, shard_groups, all_workers, session.settings):
        session.note(f"note: {hint}")


def hints(
    job: JobRow, shard_groups: Sequence[ShardGroupRow], workers: Sequence[WorkerRow], settings: Settings
) -> Iterator[str]:
    """One line for each resource that an open job waits for and that is not available."""
    if not job.is_open:
        return
    if settings.broker_url is None:
        yield "no broker is configured: repeat the command that started the job to continue it"
        return
    waiting = [group for group in shard_groups if group.waiting]
    alive = [worker for worker in workers if worker.seen_s_ago < settings.lease_s]  # four heartbeats in a lease
    for queue in sorted({group.queue for group in waiting}):
        serving = [worker for worker in alive if worker.serves(queue)]
        gpus = max(group.gpus for group in waiting if group.queue == queue)
        if not serving:
            yield f"no worker serves queue {queue}: start one with `benchcoe-jobs worker --queues {queue}`"
        elif not any(_has(worker, gpus) for worker in serving):
            yield (
                f"no worker of queue {queue} has the {counted(gpus, 'GPU')} that an expert of the job needs: "
                f"start one, for example with `benchcoe-jobs worker --queues {queue} --gpus "
                f"{'+'.join(map(str, range(gpus)))}`"
            )


def _has(worker: WorkerRow, gpus: int) -> bool:
    """Whether a worker has a number of GPUs. A worker started without --gpus may use all GPUs of its machine."""
    return worker.gpus is None or len([gpu for gpu in worker.gpus.split(",") if gpu]) >= gpus
