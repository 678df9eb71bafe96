"""What is not finished: the waiting shards of each queue, and the open jobs to settle."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, or_, select

from benchcoe_jobs.domain import JobState, Queue
from benchcoe_jobs.store.job_queue.tables import Job, ShardGroup


def waiting_shards(connection: Connection, at_most: int) -> dict[str, int]:
    """Queue -> number of waiting shards, at most `at_most`. Queues without waiting shards are left out."""
    found = {}
    for queue in Queue:
        shard_groups = (
            select(ShardGroup.waiting)
            .join(Job, Job.id == ShardGroup.job_id)
            .where(
                ShardGroup.queue == queue,
                ShardGroup.waiting > 0,
                Job.state == JobState.OPEN,
                Job.cancelled_at.is_(None),
            )
            .order_by(ShardGroup.id)
            .limit(at_most)
            .subquery()
        )
        if n := connection.scalar(select(func.sum(shard_groups.c.waiting))):
            found[queue.value] = min(int(n), at_most)
    return found


def n_unfinished(connection: Connection, job_id: int) -> int:
    """The number of shards of a job that wait or run."""
    return (
        connection.scalar(select(func.sum(ShardGroup.waiting + ShardGroup.running)).where(ShardGroup.job_id == job_id))
        or 0
    )


def left_open(connection: Connection) -> list[int]:
    """Ids of open jobs that should be settled: all their shards ended, or they are cancelled and shards still wait."""
    of_job = select(ShardGroup.id).where(ShardGroup.job_id == Job.id)
    waits = of_job.where(ShardGroup.waiting > 0).exists()
    # EXISTS stops at the first such shard group.
    is_unfinished = of_job.where(or_(ShardGroup.waiting > 0, ShardGroup.running > 0)).exists()
    left = or_(~is_unfinished, and_(Job.cancelled_at.is_not(None), waits))
    return list(connection.scalars(select(Job.id).where(Job.state == JobState.OPEN, left).order_by(Job.id)))
