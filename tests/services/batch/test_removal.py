"""Removing finished batch files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import routing_world
from prompt_files import chat, write
from sqlalchemy import select, update

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel, submit
from benchcoe_jobs.services.batch.job import submit_file
from benchcoe_jobs.services.batch.removal import finished_files, remove_files
from benchcoe_jobs.services.evaluation.decisions import evaluate_request
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.tables import Job
from benchcoe_jobs.store.routing.tables import RoutingSnapshot
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import now


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def submitted(store: Store, folder: Path, *texts: str) -> int:
    lines = [chat(number, text) for number, text in enumerate(texts)]
    return submit_file(store, write(folder / "p.jsonl", *lines), None)[0]


def snapshots(store: Store) -> int:
    with store.reading() as connection:
        return len(connection.scalars(select(RoutingSnapshot.id)).all())


def test_only_ended_files_of_an_age_are_found(world: Store, tmp_path: Path) -> None:
    old, young, running = (submitted(world, tmp_path, text, "x") for text in "abc")
    for job_id in (old, young):
        cancel(world, job_id)
    with world.writing() as connection:
        connection.execute(update(Job).where(Job.id == old).values(finished_at=now() - timedelta(days=31)))
        submit(connection, "evaluate", evaluate_request(connection, "r", None, "train"))
    assert [file.job for file in finished_files(world, (), timedelta(days=30))] == [old]
    found = finished_files(world, (), timedelta(0))
    assert [(file.job, file.state, file.lines) for file in found] == [(old, "cancelled", 2), (young, "cancelled", 2)]
    assert [file.job for file in finished_files(world, [young, old, young])] == [old, young]
    with pytest.raises(UsageError, match=f"job {running} is still open: `benchcoe-jobs cancel {running}`"):
        finished_files(world, [running])
    with pytest.raises(UsageError, match=f"job {running + 1} is not a submitted file"):
        finished_files(world, [running + 1])
    with pytest.raises(UsageError, match="there is no job 99"):
        finished_files(world, [99])


def test_a_snapshot_goes_with_the_last_job_that_names_it(world: Store, tmp_path: Path) -> None:
    first, second = (submitted(world, tmp_path, text) for text in "ab")
    for job_id in (first, second):
        cancel(world, job_id)
    assert snapshots(world) == 1
    with pytest.raises(UsageError, match="there is no job 99"):
        remove_files(world, tmp_path, [first, 99])
    with world.reading() as connection:
        assert len(jobs.list_jobs(connection)) == 2, "all or nothing"
    remove_files(world, tmp_path, [first])
    assert snapshots(world) == 1
    remove_files(world, tmp_path, [second])
    assert snapshots(world) == 0
    assert submit_file(world, tmp_path / "p.jsonl", None)[1], "the file is new again"


def test_an_artifact_that_was_kept_for_a_file_goes_with_it(world: Store, tmp_path: Path) -> None:
    folder = tmp_path / "routers" / "r"
    first = submitted(world, tmp_path, "a")
    [kept] = folder.iterdir()
    routing_world.train_on_more(world, tmp_path)
    assert kept in folder.iterdir()
    cancel(world, first)
    remove_files(world, tmp_path, [first])
    [current] = folder.iterdir()
    assert current != kept
    assert snapshots(world) == 0
    assert submitted(world, tmp_path, "b") > 0, "the router decides as before"
