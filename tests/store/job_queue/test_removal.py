"""Deleting jobs with everything that belongs to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from queue_rows import add_job
from sqlalchemy import func, select

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.store.job_queue import batch_lines, jobs, removal
from benchcoe_jobs.store.job_queue.tables import BatchLine, Job, Shard, ShardGroup
from benchcoe_jobs.store.session import Store


def counts(store: Store) -> list[int]:
    with store.reading() as connection:
        return [
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (Job, ShardGroup, Shard, BatchLine)
        ]


def test_jobs_are_deleted_with_their_shards_and_lines(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_AT_ONCE", 1)
    with store.writing() as connection:
        kept, *gone = (add_job(connection, name, 2) for name in "xyz")
        for job_id in (kept, *gone):
            batch_lines.add_lines(connection, job_id, [(1, "a", "/v1/completions", {"prompt": "secret"})])
        follower, _ = jobs.open_job(connection, "empty", {}, parent_id=gone[0])
        jobs.close_job(connection, follower, JobState.DONE, None)
    assert counts(store) == [4, 3, 6, 3]
    with store.writing() as connection:
        removal.remove_jobs(connection, gone)
        assert jobs.read_job(connection, follower).parent_id is None
        assert [line.body for line in batch_lines.lines(connection, kept)] == [{"prompt": "secret"}]
    assert counts(store) == [2, 1, 2, 1]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_removed_texts_are_not_left_in_the_file(store: Store) -> None:
    secrets = [f"confidential-{n}-" * 50 for n in range(200)]
    with store.writing() as connection:
        job_id = add_job(connection, "x", 1)
        lines = [(n, f"c{n}", "/v1/completions", {"prompt": text}) for n, text in enumerate(secrets)]
        batch_lines.add_lines(connection, job_id, lines)
    with store.writing() as connection:
        removal.remove_jobs(connection, [job_id])
    path = store.engine.url.database
    assert path is not None
    store.close()  # merges the write-ahead log into the file
    assert b"confidential" not in Path(path).read_bytes()
