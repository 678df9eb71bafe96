"""The job `train-router`: a training, its report, and the extension that follows if an expert became eligible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import routing_world
import tables

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.training.job import TrainJob
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.session import Store

REQUEST: dict[str, Any] = {"router": "q", "level": "query", "kind": "tfidf", "head": None, "pool": "all"}
REQUEST |= {"benchmark": None, "split": "train", "policy": "best", "max_fallback": 0.0}


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


def submitted(store: Store, request: dict[str, Any]) -> int:
    with store.writing() as connection:
        return submit(connection, "train-router", request)[0]


def test_a_training_reports_and_nothing_follows(world: Store, tmp_path: Path) -> None:
    job_id = submitted(world, REQUEST)
    job = routing_world.run_shards(world, tmp_path, job_id, ["train"])
    assert job.report is not None, job.error
    assert (job.state, job.report["outputs"], job.report["n"]) == (JobState.DONE, ["ann", "bob"], 40)
    with world.reading() as connection:
        assert jobs.followers(connection, job_id) == []


def test_an_expert_that_became_eligible_meanwhile_gets_its_head(world: Store, tmp_path: Path) -> None:
    job_id = submitted(world, REQUEST)
    job = routing_world.run_shards(world, tmp_path, job_id, ["train"])
    tables.add_experts(world, cat=1.0)
    routing_world.bring(world, tmp_path, "cat", 0.5, 0.5)
    with world.reading() as connection:
        follow_ups = TrainJob().follow_ups(connection, job)
    assert follow_ups == [("train-router", {"router": "q", "extend": True})]
    extended = routing_world.run_shards(world, tmp_path, submitted(world, dict(follow_ups[0][1])), ["train"])
    assert extended.report is not None, extended.error
    assert extended.report["new_outputs"] == ["cat"]
    with world.reading() as connection:
        assert TrainJob().follow_ups(connection, extended) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"router": "a/b"}, "router name 'a/b'"),
        ({"policy": "abstain"}, "policy abstain"),
        ({"pool": "none"}, "none"),
        ({"router": "none", "extend": True}, "unknown router 'none'; the store has r"),
    ],
)
def test_a_wrong_request_submits_no_job(world: Store, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        submitted(world, REQUEST | changes)
    with world.reading() as connection:
        assert jobs.list_jobs(connection) == []
