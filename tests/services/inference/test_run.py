"""A shard of profiling: errors, concurrent jobs, lost engines, interrupts and versions."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny_quiz
from profiling import run_profile, stored_responses, submit_profile
from sqlalchemy import select

from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.domain import JobState
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import leases
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Run, Score

N_SWAG = 30


def test_a_query_without_an_answer_has_an_error_until_it_is_retried(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 20, unanswerable=(3, 8)))
    ann = ExpertRow("ann", "logged", tiny_quiz.LIGHT)
    assert run_profile(store, ann)["errors"] == 2
    failed = {key: rest for key, *rest in stored_responses(store, "ann") if rest[1]}
    assert failed.keys() == {"3", "8"}
    assert list(failed.values()) == [[None, "cannot\N{REPLACEMENT CHARACTER} answer this", None]] * 2

    again = run_profile(store, ann)
    assert (again["reused"], again["answered"], again["errors"]) == (18, 0, 2)
    assert run_profile(store, ann, retry_errors=True)["errors"] == 2
    (folder / "healed").touch()
    healed = run_profile(store, ann, retry_errors=True)
    assert (healed["reused"], healed["answered"], healed["errors"]) == (18, 2, 0)
    assert [len(batch) for batch in tiny_quiz.batches(folder)] == [20, 2, 2]
    assert {(error, score is None) for _, _, error, score in stored_responses(store, "ann")} == {(None, False)}
    assert set(stored_responses(store, "ann").values()) == {1}
    assert len(stored_responses(store, "ann")) == 20


def test_two_jobs_for_the_same_expert_store_one_response(store: Store, folder: Path) -> None:
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", tiny_quiz.LIGHT)
    (folder / "together").write_text("2")
    jobs = [submit_profile(store, ann), submit_profile(store, ann, retry_errors=True)]
    assert len(set(jobs)) == 2
    with ThreadPoolExecutor() as both:
        ended = list(both.map(lambda job: InlineDispatcher(store, Settings()).follow(job, lambda _: None), jobs))
    assert len(tiny_quiz.batches(folder)) == 2, "both jobs asked before either had stored a response"
    counts = [job.report["benchmarks"][0] for job in ended if job.report]
    assert sum(count["answered"] for count in counts) == sum(count["reused"] for count in counts) == N_SWAG
    assert len(stored_responses(store, "ann")) == N_SWAG


@pytest.mark.parametrize("dialect", ["sqlite"])  # it does not depend on the database
def test_answers_that_were_paid_for_are_stored_before_a_fault_ends_the_run(store: Store, folder: Path) -> None:
    """The others stay open: they are neither answers nor errors, and the same command asks them alone."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 20))
    ann = ExpertRow("ann", "logged", tiny_quiz.LIGHT)
    (folder / "revoked").write_text("13")
    job_id = submit_profile(store, ann)
    job = InlineDispatcher(store, Settings()).follow(job_id, lambda _: None)
    assert (job.state, job.error) == (JobState.FAILED, "no credit left")
    stored = stored_responses(store, "ann")
    assert (len(stored), [error for _, _, error, _ in stored if error]) == (13, [])
    (folder / "revoked").unlink()
    again = run_profile(store, ann)
    assert (again["reused"], again["answered"], again["errors"]) == (13, 7, 0)
    assert [len(batch) for batch in tiny_quiz.batches(folder)] == [20, 7]


@pytest.mark.parametrize("dialect", ["sqlite"])  # it does not depend on the database
def test_a_killed_engine_is_asked_only_its_open_queries_again(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 140))
    ann, undisturbed = (ExpertRow(name, "logged", tiny_quiz.LIGHT) for name in ("ann", "undisturbed"))
    (folder / "slow").write_text("1.5")

    def kill() -> None:
        while len(tiny_quiz.batches(folder)) < 2:
            time.sleep(0.05)
        os.kill(tiny_quiz.engine_pids(folder)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = run_profile(store, ann)
    killer.join()
    assert (done["answered"], done["errors"], done["loads"]) == (140, 0, 2)
    batches = tiny_quiz.batches(folder)
    times = Counter(question for batch in batches for question in batch)
    assert {question for question, n in times.items() if n > 1} == set(batches[1])
    (folder / "slow").unlink()
    run_profile(store, undisturbed)
    assert stored_responses(store, "ann") == stored_responses(store, "undisturbed")


@pytest.mark.parametrize("dialect", ["sqlite"])  # it does not depend on the database
def test_an_interrupt_ends_the_engine_before_the_shard_is_given_back(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the last answer, when no micro-batch is pending: another connection may have locked the shard."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 20))
    ended: list[str] = []
    close, give_back = EngineClient.close, leases.give_back

    def logged_close(client: EngineClient, **options: float) -> None:
        ended.append("engine")
        close(client, **options)

    def logged_give_back(*arguments: Any) -> bool:
        ended.append("shard")
        return give_back(*arguments)

    monkeypatch.setattr(EngineClient, "close", logged_close)
    monkeypatch.setattr(leases, "give_back", logged_give_back)
    steps: list[int] = []

    def press_ctrl_c(step: int) -> None:
        steps.append(step)
        if sum(steps) == 20:
            raise KeyboardInterrupt

    job_id = submit_profile(store, ExpertRow("ann", "echo", "ann"))
    with pytest.raises(KeyboardInterrupt):
        InlineDispatcher(store, Settings()).follow(job_id, press_ctrl_c)
    assert ended[:2] == ["engine", "shard"]


@pytest.mark.parametrize("dialect", ["sqlite"])  # it does not depend on the database
def test_another_version_of_the_engine_is_another_run(store: Store, folder: Path) -> None:
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", tiny_quiz.LIGHT)
    for version in ("1", "2"):
        (folder / "version").write_text(version)
        assert run_profile(store, ann)["answered"] == N_SWAG
    with store.reading() as connection:
        [newest, _] = connection.scalars(select(Run.id).order_by(Run.id.desc())).all()
        assert set(connection.scalars(select(Score.run_id))) == {newest}, (
            "its scores have replaced those of the first run"
        )
