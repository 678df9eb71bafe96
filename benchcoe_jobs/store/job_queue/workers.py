"""Who runs shards, as workers tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.tables import Worker
from benchcoe_jobs.store.tables import Expert


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker: the queues that it serves, the GPUs that it has, what it has loaded, when it was last seen."""

    name: str
    queues: str
    gpus: str | None
    expert: str | None
    seen_s_ago: float

    def serves(self, queue: str) -> bool:
        """Whether it takes shards of a queue."""
        return queue in self.queues.split(",")


def heartbeat(connection: Connection, name: str, queues: Sequence[str], gpus: str | None) -> None:
    """A worker is there, or still there."""
    seen = {"queues": ",".join(queues), "gpus": gpus, "seen_at": database_time()}
    if connection.execute(update(Worker).where(Worker.name == name).values(**seen)).rowcount == 0:
        connection.execute(insert(Worker).values(name=name, **seen))


def note_resident(connection: Connection, name: str, expert_id: int | None) -> None:
    """What a worker has loaded now."""
    connection.execute(update(Worker).where(Worker.name == name).values(expert_id=expert_id))


def unregister(connection: Connection, name: str) -> None:
    """A worker is gone."""
    connection.execute(delete(Worker).where(Worker.name == name))


def forget_silent(connection: Connection, after_s: float) -> None:
    """Workers that have not been seen for so long are not listed any more."""
    connection.execute(delete(Worker).where(Worker.seen_at < database_time() - after_s))


def n_serving(connection: Connection, queue: str) -> int:
    """How many workers serve a queue."""
    return sum(worker.serves(queue) for worker in workers(connection))


def workers(connection: Connection) -> list[WorkerRow]:
    """Every worker, by name."""
    rows = connection.execute(
        select(Worker.name, Worker.queues, Worker.gpus, Expert.name, database_time() - Worker.seen_at)
        .outerjoin(Expert, Expert.id == Worker.expert_id)
        .order_by(Worker.name)
    )
    return [WorkerRow(*row) for row in rows]
