"""Hints on stuck jobs, as printed by the command status."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from console import Cli
from sqlalchemy import update

from benchcoe_jobs.domain import Queue
from benchcoe_jobs.store.job_queue import jobs, workers
from benchcoe_jobs.store.job_queue.jobs import NewShardGroup
from benchcoe_jobs.store.job_queue.tables import Worker
from benchcoe_jobs.store.session import connect


@pytest.mark.parametrize(
    ("gpus", "registered", "hint"),
    [
        (0, [], "no worker serves queue gpu: start one with `benchcoe-jobs worker --queues gpu`"),
        (0, [("w", ["cpu", "train"], None, 0)], "no worker serves queue gpu"),
        (0, [("w", ["gpu"], None, 61)], "no worker serves queue gpu"),
        (0, [("w", ["gpu"], None, 61), ("v", ["gpu"], "", 0)], None),
        (1, [("w", ["gpu"], "", 0)], "no worker of queue gpu has the 1 GPU that an expert of the job needs"),
        (2, [("w", ["gpu"], "0", 0), ("v", ["cpu"], "0,1", 0)], "benchcoe-jobs worker --queues gpu --gpus 0+1"),
        (2, [("w", ["gpu"], "0", 0), ("v", ["gpu", "cpu"], "2,3", 0)], None),
        (2, [("w", ["gpu"], None, 0)], None),
    ],
)
def test_status_hints_at_missing_workers(
    gpus: int,
    registered: Sequence[tuple[str, list[str], str | None, int]],
    hint: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cli: Cli,
    broker: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHCOE_BROKER_URL", broker)
    cli("init")
    store = connect("sqlite:///benchcoe.db")
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, "profile", {})
        jobs.add_shard_groups(connection, job_id, 0, [NewShardGroup(Queue.GPU, [({}, 1)] * 2, gpus=gpus)])
        for name, queues, of_worker, seen_s_ago in registered:
            workers.heartbeat(connection, name, queues, of_worker)
            connection.execute(update(Worker).where(Worker.name == name).values(seen_at=Worker.seen_at - seen_s_ago))
    store.close()
    ended = cli(f"status {job_id}")
    assert ended.code == 0
    if hint is None:
        assert not ended.err
    else:
        assert hint in ended.err
        assert ended.err.count("\n") == 1
