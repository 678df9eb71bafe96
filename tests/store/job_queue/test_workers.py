"""The registered workers."""

from __future__ import annotations

from sqlalchemy import update

from benchcoe_jobs.store.job_queue import workers
from benchcoe_jobs.store.job_queue.tables import Worker
from benchcoe_jobs.store.session import Store


def test_a_worker_from_its_first_heartbeat_to_its_end(filled: Store) -> None:
    with filled.writing() as connection:
        workers.heartbeat(connection, "one", ["gpu"], "0,1")
        workers.heartbeat(connection, "one", ["gpu", "cpu"], "0")
        workers.heartbeat(connection, "two", ["cpu"], None)
        workers.note_resident(connection, "one", 1)
        first, second = workers.workers(connection)
        assert (first.name, first.queues, first.gpus, first.expert) == ("one", "gpu,cpu", "0", "a")
        assert (second.name, second.gpus, second.expert) == ("two", None, None)
        assert [workers.n_serving(connection, queue) for queue in ("cpu", "gpu", "train")] == [2, 1, 0]
        assert not second.serves("c"), "queues are compared whole"
        workers.note_resident(connection, "one", None)
        workers.unregister(connection, "two")
        [left] = workers.workers(connection)
    assert (left.name, left.expert) == ("one", None)


def test_silent_workers_are_removed(store: Store) -> None:
    with store.writing() as connection:
        for name in ("silent", "lively"):
            workers.heartbeat(connection, name, ["cpu"], None)
        connection.execute(update(Worker).where(Worker.name == "silent").values(seen_at=Worker.seen_at - 1000))
        workers.forget_silent(connection, 900)
        assert [worker.name for worker in workers.workers(connection)] == ["lively"]
