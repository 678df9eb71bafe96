"""Claim the best waiting shard: `turns` has the order, here are the statements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, text, update

from benchcoe_jobs.domain import ShardState
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.jobs import turn_from_now
from benchcoe_jobs.store.job_queue.leases import Claim, Tally, add_counts, release
from benchcoe_jobs.store.job_queue.tables import Job, Shard, ShardGroup
from benchcoe_jobs.store.job_queue.turns import LoadedExpert, WaitingGroup, in_order
from benchcoe_jobs.store.tables import Expert

_CONSIDERED = 200
"""How many shard groups a claim considers: those of the jobs that were served longest ago."""

_TRIED = 8
"""How many shard groups are tried. The shards of one may all be locked by other claims."""


def claim(
    connection: Connection,
    owner: str,
    queues: Sequence[str],
    *,
    lease_s: float,
    loaded: LoadedExpert | None = None,
    gpus: int = 0,
    job_ids: Collection[int] | None = None,
) -> Claim | None:
    """Claim a waiting shard of the job that is next for a worker with this expert loaded.

    `gpus` is the number of GPUs of the worker; `job_ids` limits the claim to some jobs. Returns None if no shard
    waits.
    """
    for group in in_order(_groups_to_claim(connection, queues, loaded, gpus, job_ids), loaded)[:_TRIED]:
        row = _claim_in(connection, owner, group.shard_group_id, lease_s)
        if row is not None:
            add_counts(connection, group.shard_group_id, {ShardState.WAITING: -1, ShardState.RUNNING: 1})
            job = connection.execute(
                update(Job)
                .where(Job.id == group.job_id)
                .values(turn_at=turn_from_now(Job.priority))
                .returning(Job.kind, Job.request)
            ).one()
            stage, expert = connection.execute(
                select(ShardGroup.stage, Expert.name)
                .outerjoin(Expert, Expert.id == ShardGroup.expert_id)
                .where(ShardGroup.id == group.shard_group_id)
            ).one()
            return Claim(
                shard_id=row.id,
                fence=row.fence,
                owner=owner,
                attempts=row.attempts,
                work=row.work,
                items=row.items,
                shard_group_id=group.shard_group_id,
                job_id=group.job_id,
                kind=job.kind,
                stage=stage,
                request=job.request,
                expert_id=group.expert_id,
                expert=expert,
                tally=Tally(row.reused, row.answered, row.errors),
            )
    return None


def finish_and_claim(connection: Connection, claim: Claim, *, lease_s: float) -> tuple[Claim | None, bool]:
    """Finish a shard. Returns the next shard of its group, already claimed, and whether the group is over.

    This takes half the round trips and commits of `finish` and `claim`. Raises LostLeaseError.
    """
    release(connection, claim, ShardState.DONE)
    # If a shard follows, the commit does not wait for PostgreSQL's disk: work that a crash of the server loses is
    # done again. The setting travels with the claiming statement, so it costs no round trip.
    lazily = [func.set_config("synchronous_commit", "off", True)] if connection.dialect.name == "postgresql" else []
    row = _claim_in(connection, claim.owner, claim.shard_group_id, lease_s, *lazily)
    if row is None:
        return None, add_counts(connection, claim.shard_group_id, {ShardState.RUNNING: -1, ShardState.DONE: 1})
    add_counts(connection, claim.shard_group_id, {ShardState.WAITING: -1, ShardState.DONE: 1})
    following = replace(
        claim,
        shard_id=row.id,
        fence=row.fence,
        attempts=row.attempts,
        work=row.work,
        items=row.items,
        tally=Tally(row.reused, row.answered, row.errors),
    )
    return following, False


def _groups_to_claim(
    connection: Connection,
    queues: Sequence[str],
    loaded: LoadedExpert | None,
    gpus: int,
    job_ids: Collection[int] | None,
) -> list[WaitingGroup]:
    """The shard groups to choose from. The cost does not grow with the number of waiting groups.

    The conditions of partial indexes are written as in the indexes: a planner must recognise them.
    """
    # For SQLite an expression: it would use the index of the column, and sort all groups of the queue.
    queue = ShardGroup.queue.concat("") if connection.dialect.name == "sqlite" else ShardGroup.queue
    claimable = (
        select(
            ShardGroup.id, ShardGroup.job_id, ShardGroup.queue, ShardGroup.expert_id, ShardGroup.waiting, Job.turn_at
        )
        .join(Job, Job.id == ShardGroup.job_id)
        .where(
            text("shard_group.waiting > 0"),
            queue.in_(queues),
            ShardGroup.gpus <= gpus,
            text("job.state = 'open'"),
            Job.cancelled_at.is_(None),
        )
    )
    if job_ids is not None:
        claimable = claimable.where(ShardGroup.job_id.in_(job_ids))
    first = claimable.order_by(Job.turn_at, ShardGroup.id).limit(_CONSIDERED)
    groups = [WaitingGroup(*row) for row in connection.execute(first)]
    if loaded is not None and all(group.expert_id != loaded.expert_id for group in groups):
        mine = claimable.where(ShardGroup.expert_id == loaded.expert_id).order_by(ShardGroup.id).limit(_TRIED)
        groups += [WaitingGroup(*row) for row in connection.execute(mine)]
    return groups


def _claim_in(
    connection: Connection, owner: str, shard_group_id: int, lease_s: float, *returning: ColumnElement[Any]
) -> Any:
    """Claim the first waiting shard of a shard group that no other transaction has locked. None if there is none."""
    first = (
        select(Shard.id)
        .where(Shard.shard_group_id == shard_group_id, Shard.state == ShardState.WAITING)
        .order_by(Shard.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(
        update(Shard)
        .where(Shard.id == first.scalar_subquery())
        .values(
            state=ShardState.RUNNING,
            owner=owner,
            lease_until=database_time() + lease_s,
            attempts=Shard.attempts + 1,
            fence=Shard.fence + 1,
        )
        .returning(
            Shard.id,
            Shard.fence,
            Shard.attempts,
            Shard.work,
            Shard.items,
            Shard.reused,
            Shard.answered,
            Shard.errors,
            *returning,
        )
    ).first()
