"""The job `evaluate`: the chosen experts are asked once, and the report is on the decisions that were stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import routing_world
import tiny_quiz
from sqlalchemy import Connection

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.evaluation import job as evaluate_job
from benchcoe_jobs.services.evaluation.decisions import decide, evaluate_request, read_decisions
from benchcoe_jobs.services.evaluation.evaluate import compare_all
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow, ShardGroupRow
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store

TRAIN = {"router": "r", "level": "subject", "kind": "tfidf", "head": None, "pool": "all", "benchmark": "quiz"}


def done(store: Store, settings: Settings, kind: str, request: Callable[[Connection], Any] | dict[str, Any]) -> JobRow:
    with store.writing() as connection:
        job_id, _ = submit(connection, kind, request(connection) if callable(request) else request)
    return InlineDispatcher(store, settings).follow(job_id, lambda _: None)


def groups_of(store: Store, job: JobRow) -> list[ShardGroupRow]:
    with store.reading() as connection:
        return jobs.shard_groups(connection, [job.id])


def profiled(store: Store, settings: Settings, folder: Path, n: int = 90) -> None:
    """A quiz, two experts that answered its training split, and a router between them."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", n))
    for name in ("ann", "bob"):
        with store.writing() as connection:
            experts.add_expert(connection, ExpertRow(name, "echo", name, cost=2.0))
        done(store, settings, "profile", profile_request(name, split="train"))
    trained = done(store, settings, "train-router", TRAIN | {"split": "train", "policy": "best"})
    assert trained.state is JobState.DONE, trained.error


def test_labels_that_move_between_the_stages_change_no_decision(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home")
    tiny_quiz.install(tmp_path, monkeypatch)
    profiled(store, settings, tmp_path)
    with store.writing() as connection:
        job_id, _ = submit(connection, "evaluate", evaluate_request(connection, "r", None, "test"))
    job = routing_world.run_shards(store, settings.home, job_id, ["cpu"], n=1)
    job = routing_world.run_shards(store, settings.home, job_id, ["gpu"])
    assert job.stage == 2
    n_items = {group.expert: group.items for group in groups_of(store, job) if group.stage == 1}
    with store.writing() as connection:
        experts.set_retired(connection, max(n_items, key=lambda name: n_items[name] or 0) or "", True)
    job = routing_world.run_shards(store, settings.home, job_id, ["cpu"])
    report = job.report or {}
    assert (job.state, report["without_scores"], report["n"]) == (JobState.DONE, 0, sum(n_items.values()))
    assert report["calls"] == pytest.approx({name: n / report["n"] for name, n in n_items.items()})


def test_a_retried_job_reports_on_its_first_decisions(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE expert SET engine = 'recorded'")
        job_id, _ = submit(connection, "evaluate", evaluate_request(connection, "r", None, "train", max_cost=9.0))
    job = routing_world.run_shards(store, tmp_path, job_id, ["cpu"])
    assert (job.state, job.stage) == (JobState.DONE, 2), "nothing to ask: the first stage reported"
    with store.reading() as connection:
        decided = read_decisions(store, job.request)
    assert (len(decided.decisions), decided.seconds) == (40, job.request["seconds"])
    assert compare_all(store, tmp_path, decided).as_json() == job.report, "the same from the stored decisions"


def test_an_open_job_of_an_earlier_release_fails_with_the_command_that_helps(store: Store, tmp_path: Path) -> None:
    routing_world.fill(store, tmp_path)
    request = {"router": None, "benchmark": None, "split": "train", "falls_back": True}
    request |= {"max_cost": None, "quality_weight": 1.0, "second_price": 0.0}
    job = routing_world.run_shards(store, tmp_path, routing_world.open_old_job(store, "evaluate", request), ["cpu"])
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.endswith("submit it again with `benchcoe-jobs evaluate`")
    with store.writing() as connection, pytest.raises(UsageError, match="no routing snapshot"):
        submit(connection, "evaluate", request)


def test_only_the_chosen_are_asked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path / "home")
    tiny_quiz.install(tmp_path, monkeypatch)
    profiled(store, settings, tmp_path)

    request = partial(evaluate_request, router="r", benchmark=None, split="test")
    job = done(store, settings, "evaluate", request)
    assert (job.state, job.stage) == (JobState.DONE, 2), job.error
    report = job.report or {}
    n = report["n"]
    assert n == report["inference"]["queries"] > 10
    assert (report["without_scores"], report["in_sample"], report["gain"]) == (0, False, None)
    assert sum(report["calls"].values()) == pytest.approx(1)
    assert report["cost"] == {"router": 2.0, "every_expert": 4.0}
    assert report["interval"]["low"] <= report["accuracy"] <= report["interval"]["high"]
    inference = [shard_group for shard_group in groups_of(store, job) if shard_group.stage == 1]
    assert {shard_group.expert: shard_group.loads for shard_group in inference} == dict.fromkeys(report["calls"], 1), (
        "each is loaded once"
    )

    again = done(store, settings, "evaluate", request)
    assert again.id != job.id
    assert again.report == report | {"inference": {"queries": 0, "errors": 0, "loads": 0, "seconds": 0}}, (
        "nothing twice"
    )

    # With every expert's answers there is everything to compare, and nothing to decide twice.
    for name in ("ann", "bob"):
        done(store, settings, "profile", profile_request(name))
    seconds = iter([5.0, 7.0])
    monkeypatch.setattr(evaluate_job, "decide", lambda *a, **k: replace(decide(*a, **k), seconds=next(seconds)))
    whole = done(store, settings, "evaluate", request).report or {}
    assert (whole["n"], whole["accuracy"], whole["costs"]["router_seconds"]) == (n, report["accuracy"], 5.0)
    assert whole["gain"]["value"] == pytest.approx(whole["accuracy"] - whole["best_single"]["accuracy"])

    # A few new queries: they are asked, and what deciding took is what it took before.
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(tmp_path / "more", 100))
    for name in ("ann", "bob"):
        done(store, settings, "profile", profile_request(name, split="train"))
    job = done(store, settings, "evaluate", request)
    inference = [shard_group for shard_group in groups_of(store, job) if shard_group.stage == 1]
    assert 0 < sum(shard_group.answered for shard_group in inference) < 10
    assert ((job.report or {})["n"], (job.report or {})["costs"]["router_seconds"]) == (n, 7.0)
    assert next(seconds, None) is None
