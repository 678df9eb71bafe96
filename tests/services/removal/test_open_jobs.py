"""What an open job needs is not removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from released_store import released_store

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.job_kind import Needs
from benchcoe_jobs.job_queue.lifecycle import kind_of
from benchcoe_jobs.services.batch.removal import finished_files
from benchcoe_jobs.services.removal.open_jobs import require_no_job
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.session import Store

EXPERT, BENCHMARK, ROUTER = (
    Needs(experts=frozenset({"a"})),
    Needs(benchmarks=frozenset({"b"})),
    Needs(routers=frozenset({"r"})),
)
TRAINING = {"router": "r", "pool": "all", "benchmark": "b"}
EVALUATION = {"router": "r", "snapshot": "0", "benchmark": "other"}


@pytest.mark.parametrize("dialect", ["sqlite"])
@pytest.mark.parametrize(
    ("kind", "request_", "needed"),
    [
        ("profile", {"expert": "a", "benchmarks": ["b"]}, {EXPERT, BENCHMARK}),
        ("profile", {"expert": "other", "benchmarks": []}, {BENCHMARK}),
        ("profile", {"expert": "other", "benchmarks": ["other"]}, set()),
        ("train-router", TRAINING, {EXPERT, BENCHMARK, ROUTER}),
        ("train-router", {"router": "other", "extend": True}, {EXPERT, BENCHMARK}),
        ("train-router", {"router": "other", "pool": "all", "benchmark": None}, {EXPERT, BENCHMARK}),
        ("evaluate", EVALUATION, {EXPERT, ROUTER}),
        ("batch", {"router": "r", "snapshot": "0", "lines": 1}, {EXPERT, ROUTER}),
        ("of a plug-in that is not installed", {}, {EXPERT, BENCHMARK, ROUTER}),
    ],
)
def test_what_a_job_needs(store: Store, kind: str, request_: dict[str, Any], needed: set[Needs]) -> None:
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, kind, request_)
        for removed in (EXPERT, BENCHMARK, ROUTER):
            if removed in needed:
                with pytest.raises(UsageError, match=rf"job {job_id} .* `benchcoe-jobs cancel {job_id}` goes first"):
                    require_no_job(connection, removed)
            else:
                require_no_job(connection, removed)


def test_jobs_of_release_0_1_0_tell_what_they_need(tmp_path: Path) -> None:
    store = released_store(tmp_path)
    with store.reading() as connection:
        needed = {job.id: kind_of(job.kind).needs(job.request) for job in jobs.list_jobs(connection)}
    assert needed[11] == Needs(None, None, frozenset({"by-subject"})), "its evaluation names no benchmark"
    assert needed[20] == Needs(None, frozenset({"garden"}), frozenset({"later"}))
    assert needed[21] == Needs(None, frozenset(), frozenset({"by-skill"}))
    assert [(file.job, file.lines) for file in finished_files(store, [16])] == [(16, 3)]
    store.close()
