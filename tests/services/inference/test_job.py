"""The job `profile`: asked, scored, labelled, reported; and the trainings that follow from it."""

from __future__ import annotations

from pathlib import Path

import fake_plugins
import installation
import pytest
import tiny_quiz
from installation import Site
from profiling import add_expert, prompt_plans, run_profile, stored_responses
from sqlalchemy import select

from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.domain import JobState, Level, ShardState
from benchcoe_jobs.job_queue.job_kind import Assignment
from benchcoe_jobs.job_queue.lease import Heartbeat, Lease
from benchcoe_jobs.job_queue.lifecycle import settle
from benchcoe_jobs.services.inference import plan
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.training.job import TrainJob
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.job_queue import claims, jobs, leases
from benchcoe_jobs.store.results import catalog, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.views import query_label

N_QUIZ, N_SWAG = 70, 30


def test_an_expert_is_asked_scored_and_labelled(store: Store, folder: Path, request: pytest.FixtureRequest) -> None:
    model = str(request.getfixturevalue("llama")) if store.is_sqlite else tiny_quiz.LIGHT  # one database is enough
    summary = add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", N_QUIZ))
    assert summary.notes == ["worked examples for 3 subjects"]
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", model)
    expert_id = add_expert(store, ann)
    plans = prompt_plans(store)
    before = plan.forecast(store, expert_id, ann, plans[1])
    assert (before.benchmark, before.queries, before.reused, before.to_ask) == ("quiz", N_QUIZ, 0, N_QUIZ)
    assert (before.batches, before.seconds) == (2, None)
    assert before.prompt_tokens > N_QUIZ * 100, "the worked examples count"
    assert tiny_quiz.engine_pids(folder) == []

    progress: list[int] = []
    done = run_profile(store, ann, progress)
    assert [step for step in progress if step] == [N_SWAG, 64, N_QUIZ - 64]
    assert done["loads"] == len(tiny_quiz.engine_pids(folder)) == 1
    assert [(row["benchmark"], row["answered"], row["errors"]) for row in done["benchmarks"]] == [
        ("hellaswag", N_SWAG, 0),
        ("quiz", N_QUIZ, 0),
    ]

    of_swag, of_quiz = (row["truncated"] for row in done["benchmarks"])
    assert of_swag == 0, "log-likelihoods have no limit"
    assert (of_quiz > N_QUIZ // 2) == store.is_sqlite, "the tiny Llama hardly ever ends an answer"

    questions = [question for batch in tiny_quiz.batches(folder) for question in batch]
    assert len(questions) == N_QUIZ + N_SWAG
    again = run_profile(store, ann)
    assert (again["reused"], again["answered"]) == (N_QUIZ + N_SWAG, 0)
    assert len(tiny_quiz.batches(folder)) == 3, "no question was asked twice"
    after = plan.forecast(store, expert_id, ann, plans[1])
    assert (after.reused, after.to_ask, after.seconds) == (N_QUIZ, 0, 0)

    # Every stored score is the scorer's score of the stored text, and some are above 0.
    with store.reading() as connection:
        swag, _ = catalog.find_benchmark(connection, "hellaswag")
        queries = prompt_inputs.promptable(connection, swag, None, None)
        contents = prompt_inputs.contents(connection, [query.id for query in queries])
        by_key = {content.key: content for content in contents.values()}
        pools = connection.execute(select(query_label.c.expert, query_label.c.pool)).all()
    rows = stored_responses(store, "ann")
    assert set(rows.values()) == {1}
    assert len(rows) == N_QUIZ + N_SWAG
    swag_rows = [row for row in rows if row[0] in by_key]
    assert all(HellaSwag().score(text or "", by_key[key]).score == score for key, text, _, score in swag_rows)
    assert 0 < sum(score or 0 for *_, score in swag_rows) < N_SWAG
    assert set(pools) == {("ann", "all")}, "the labels are written with the scores"


def unused(*_: object) -> None:
    """A training needs no engine."""


def test_an_expert_added_during_a_training_gets_its_head_in_a_training_after_it(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugins.install(tmp_path, monkeypatch)
    with installation.opened(Site(tmp_path, store_url)) as site:
        installation.prepare(site.store, tmp_path, 60)
        for name in ("ann", "bob"):
            site.add_expert(name, name)
            site.follow(site.profile(name))
        options = {"pool": "all", "benchmark": "fake", "split": "train", "kind": "tfidf", "head": None}
        train_router(site.store, site.settings.home, "guide", level=Level.QUERY, **options)

        training = site.submit("train-router", {"router": "guide", "extend": True})
        with site.store.writing() as connection:
            claim = claims.claim(connection, "elsewhere", ["train"], lease_s=60)
        assert claim is not None
        with Lease(site.store, claim, lease_s=60, heartbeat=Heartbeat()) as lease:
            TrainJob().run(Assignment(site.store, site.settings.home, claim, lease, unused, unused))
        site.add_expert("late", "late")
        profile = site.profile("late")
        assert site.follow(profile).state is JobState.DONE
        with site.store.reading() as connection:
            assert jobs.followers(connection, profile) == [], "the open training is the job for its request"

        with site.store.writing() as connection:
            leases.finish(connection, claim, ShardState.DONE)
            settle(connection, training)
        job = site.follow(training)
        with site.store.reading() as connection:
            [follower] = jobs.followers(connection, training)
            after = jobs.read_job(connection, follower)
        assert (job.state, after.state) == (JobState.DONE, JobState.DONE)
        assert after.report is not None
        assert after.report["new_outputs"] == ["late"]


def test_an_expert_whose_results_are_all_imported_is_asked_nothing(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 5))
    ann = ExpertRow("ann", "logged", tiny_quiz.LIGHT)
    expert_id = add_expert(store, ann)
    with store.writing() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "quiz")
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"format": "table", "sha256": "f" * 64})
        stored = catalog.stored_queries(connection, benchmark_id).values()
        scores = [NewScore(query.id, query.stratum_id, 1.0) for query in stored]
        responses.write_scores(connection, expert_id, run_id, scores)
    done = run_profile(store, ann)
    assert (done["reused"], done["answered"], done["loads"]) == (0, 0, 0)
    assert [row["queries"] for row in done["benchmarks"]] == [0]
    with store.reading() as connection:
        assert set(responses.scored_by(connection, expert_id, benchmark_id).values()) == {run_id}
