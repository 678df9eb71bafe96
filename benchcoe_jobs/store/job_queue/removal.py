"""Delete jobs with their shards and lines."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, update

from benchcoe_jobs.store.job_queue.tables import BatchLine, Job, Shard, ShardGroup
from benchcoe_jobs.store.results.settling import SettlingRound

_AT_ONCE = 500
"""Jobs of a statement: databases limit the number of its parameters."""


def remove_jobs(connection: Connection, job_ids: Sequence[int]) -> None:
    """Delete ended jobs and everything that belongs to them. Jobs that followed from them stay, without a parent."""
    if connection.dialect.name == "sqlite":  # deleted texts would stay readable in the file's free pages
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    for start in range(0, len(job_ids), _AT_ONCE):
        ids = job_ids[start : start + _AT_ONCE]
        groups = select(ShardGroup.id).where(ShardGroup.job_id.in_(ids))
        connection.execute(delete(SettlingRound).where(SettlingRound.job_id.in_(ids)))
        connection.execute(delete(BatchLine).where(BatchLine.job_id.in_(ids)))
        connection.execute(delete(Shard).where(Shard.shard_group_id.in_(groups)))
        connection.execute(delete(ShardGroup).where(ShardGroup.job_id.in_(ids)))
        connection.execute(update(Job).where(Job.parent_id.in_(ids)).values(parent_id=None))
        connection.execute(delete(Job).where(Job.id.in_(ids)))
