"""Shards whose lease expired or whose owner exited: they wait again, or fail after their last attempt without progress.

Counts and locks follow the rules of `leases`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.leases import MAX_ATTEMPTS, add_counts
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.tables import Expert


@dataclass(frozen=True, slots=True)
class ReclaimedShard:
    """A shard that was taken from its owner, its new state, and the error if it failed."""

    shard_id: int
    job_id: int
    expert: str | None
    state: ShardState
    error: str | None


def reclaim_stalled(connection: Connection, gone: Collection[str] = ()) -> list[ReclaimedShard]:
    """Let shards whose lease expired, or whose owner is in `gone`, wait again.

    After MAX_ATTEMPTS claims that stored no progress they fail.

    Shards locked by another transaction are skipped; a later call reclaims them.
    """
    late = or_(Shard.lease_until < database_time(), Shard.owner.in_(gone))
    rows = connection.execute(
        select(Shard.id, Shard.shard_group_id, Shard.attempts, ShardGroup.job_id, Expert.name, Job.cancelled_at)
        .join(ShardGroup, ShardGroup.id == Shard.shard_group_id)
        .join(Job, Job.id == ShardGroup.job_id)
        .outerjoin(Expert, Expert.id == ShardGroup.expert_id)
        .where(Shard.state == ShardState.RUNNING, late)
        .order_by(Shard.id)
        .with_for_update(skip_locked=True, of=Shard)
    ).all()
    reclaimed = []
    counts: Counter[tuple[int, ShardState]] = Counter()
    for row in rows:
        error = None
        if row.cancelled_at is not None:
            state = ShardState.CANCELLED
        elif row.attempts >= MAX_ATTEMPTS:
            state, error = ShardState.FAILED, f"its worker was killed or stopped responding {row.attempts} times"
        else:
            state = ShardState.WAITING
        values = {"state": state, "owner": None, "lease_until": None, "error": error}
        connection.execute(update(Shard).where(Shard.id == row.id).values(**values))
        counts[row.shard_group_id, state] += 1
        reclaimed.append(ReclaimedShard(row.id, row.job_id, row.name, state, error))
    for (shard_group_id, state), n in sorted(counts.items()):
        add_counts(connection, shard_group_id, {ShardState.RUNNING: -n, state: n})
    return reclaimed


def running_owners(connection: Connection) -> set[str]:
    """The owners of the running shards."""
    return set(connection.scalars(select(Shard.owner).where(Shard.state == ShardState.RUNNING).distinct()))
