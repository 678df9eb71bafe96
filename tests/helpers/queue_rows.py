"""Jobs with shards in the store, for tests of the job queue."""

from __future__ import annotations

from sqlalchemy import Connection, select

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import claims, jobs
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup, ShardGroupRow, Submission
from benchcoe_jobs.store.job_queue.leases import Claim
from benchcoe_jobs.store.job_queue.tables import Shard
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow


def add_job(
    connection: Connection, name: str, *shards: int, queue: Queue = Queue.CPU, gpus: int = 0, priority: int = 0
) -> int:
    """A job of the fake kind `empty` with one group of `n` shards, of three items each, for every number given."""
    request = {"stages": [list(shards), []], "name": name}
    job_id, _ = jobs.open_job(connection, "empty", request, submission=Submission(priority=priority))
    groups = [NewShardGroup(queue, [({"number": i}, 3) for i in range(n)], gpus=gpus) for n in shards]
    jobs.add_shard_groups(connection, job_id, 0, groups)
    return job_id


def add_expert_group(connection: Connection, job_id: int, expert: str, n: int) -> int:
    """Add a group of `n` shards of an expert, which is registered; returns the expert's id."""
    experts.add_expert(connection, ExpertRow(expert, "vllm", expert))
    expert_id = experts.find_expert(connection, expert)
    jobs.add_shard_groups(connection, job_id, 0, [NewShardGroup(Queue.CPU, [({}, 1)] * n, expert_id)])
    return expert_id


def claim(connection: Connection, owner: str = "owner", **options: object) -> Claim:
    """Claim a shard, which must exist."""
    found = claims.claim(connection, owner, ["cpu"], lease_s=60, **options)  # type: ignore[arg-type]
    assert found is not None
    return found


def group_of(connection: Connection, job_id: int) -> ShardGroupRow:
    """The only shard group of a job."""
    [group] = jobs.shard_groups(connection, [job_id])
    return group


def shards(connection: Connection) -> list[tuple[str, int, str | None]]:
    """(state, attempts, error) of every shard."""
    rows = connection.execute(select(Shard.state, Shard.attempts, Shard.error).order_by(Shard.id))
    return [(row.state, row.attempts, row.error) for row in rows]
