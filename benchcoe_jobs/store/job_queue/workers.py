"""The workers that run shards, as their heartbeats report them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.clock import database_time
from benchcoe_jobs.store.job_queue.tables import Worker
from benchcoe_jobs.store.tables import Expert


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker: the queues it serves, its GPUs, the expert it has loaded, and the seconds since its heartbeat."""

    name: str
    queues: str
    gpus: str | None
    expert: str | None
    seen_s_ago: float

    def serves(self, queue: str) -> bool:
        """Whether it takes shards of a queue."""
        return queue in self.queues.split(",")


def heartbeat(connection: Connection, name: str, queues: Sequence[str], gpus: str | None) -> None:
    """Register a worker, or renew its registration."""
    seen = {"queues": ",".join(queues), "gpus": gpus, "seen_at": database_time()}
    if connection.execute(update(Worker).where(Worker.name == name).values(**seen)).rowcount == 0:
        bulk.insert_new(connection, Worker, name=name, **seen)


def note_resident(connection: Connection, name: str, expert_id: int | None) -> None:
    """Store which expert a worker has loaded; None for no expert."""
    connection.execute(update(Worker).where(Worker.name == name).values(expert_id=expert_id))


def unregister(connection: Connection, name: str) -> None:
    """Remove a worker that shuts down."""
    connection.execute(delete(Worker).where(Worker.name == name))


def forget_silent(connection: Connection, after_s: float) -> None:
    """Remove workers that have sent no heartbeat for `after_s` seconds."""
    connection.execute(delete(Worker).where(Worker.seen_at < database_time() - after_s))


def n_serving(connection: Connection, queue: str) -> int:
    """The number of workers that serve a queue."""
    return sum(worker.serves(queue) for worker in workers(connection))


def workers(connection: Connection) -> list[WorkerRow]:
    """All workers, sorted by name."""
    rows = connection.execute(
        select(Worker.name, Worker.queues, Worker.gpus, Expert.name, database_time() - Worker.seen_at)
        .outerjoin(Expert, Expert.id == Worker.expert_id)
        .order_by(Worker.name)
    )
    return [WorkerRow(*row) for row in rows]
