"""Profiling with a real engine in its host, and judging anew without one, on both databases."""

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
from sqlalchemy import select, text

from benchcoe_jobs.benchmarks.hellaswag import HellaSwag
from benchcoe_jobs.dispatch.inline import InlineDispatcher
from benchcoe_jobs.engines.engine_client import EngineClient
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.services.inference import plan
from benchcoe_jobs.services.inference.job import profile_request
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.rescore import Flip, rescore
from benchcoe_jobs.settings import Settings
from benchcoe_jobs.store.job_queue import leases
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import aggregates, catalog, experts, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Query, Response, Run, Score
from benchcoe_jobs.store.views import query_label

N_QUIZ, N_SWAG = 90, 30


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny_quiz.require_engine()
    import tiny

    return tiny.save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_quiz.install(tmp_path, monkeypatch)
    return tmp_path


def add(store: Store, row: ExpertRow) -> int:
    with store.writing() as connection:
        experts.add_expert(connection, row)
        return experts.find_expert(connection, row.name)


def start(store: Store, row: ExpertRow, **options: bool) -> int:
    """Submit the profiling of an expert that is registered if need be."""
    add(store, row)
    with store.writing() as connection:
        return submit(connection, "profile", profile_request(row.name, **options))[0]


def run(store: Store, row: ExpertRow, heard: list[int] | None = None, **options: bool) -> dict[str, Any]:
    """Profile an expert in the foreground; its counts over all benchmarks, how often it was loaded, and the report."""
    job_id = start(store, row, **options)
    job = InlineDispatcher(store, Settings()).follow(job_id, (heard if heard is not None else []).append)
    assert job.report is not None, job.error
    totals = {name: sum(of[name] for of in job.report["benchmarks"]) for name in ("reused", "answered", "errors")}
    return totals | {"loads": job.report["loads"], "benchmarks": job.report["benchmarks"]}


def plans_of(store: Store, **options: Any) -> list[plan.PromptPlan]:
    with store.reading() as connection:
        return plan.prompt_plans(connection, **options)


def said(store: Store, expert: str) -> Counter[tuple[str, str | None, str | None, float | None]]:
    """(query, text, error, score) of every response of an expert."""
    with store.reading() as connection:
        rows = connection.execute(
            select(Query.key, Response.text, Response.error, Score.value)
            .join(Response, Response.query_id == Query.id)
            .join(Run, Run.id == Response.run_id)
            .outerjoin(Score, (Score.query_id == Query.id) & (Score.expert_id == Run.expert_id))
            .where(Run.expert_id == experts.find_expert(connection, expert))
        )
        return Counter(tuple(row) for row in rows)


def test_an_expert_is_asked_judged_and_ranked(store: Store, llama: Path, folder: Path) -> None:
    summary = add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", N_QUIZ))
    assert summary.notes == ["worked examples for 3 subjects"]
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", str(llama))
    expert_id = add(store, ann)
    with store.reading() as connection:
        plans = plan.prompt_plans(connection)
    before = plan.forecast(store, expert_id, ann, plans[1])
    assert (before.benchmark, before.queries, before.reused, before.to_ask) == ("quiz", N_QUIZ, 0, N_QUIZ)
    assert (before.batches, before.seconds) == (2, None)
    assert before.prompt_tokens > N_QUIZ * 100, "the worked examples count"
    assert tiny_quiz.engine_pids(folder) == []

    bar: list[int] = []
    done = run(store, ann, bar)
    assert [step for step in bar if step] == [N_SWAG, 64, N_QUIZ - 64]
    assert done["loads"] == len(tiny_quiz.engine_pids(folder)) == 1
    assert [(row["benchmark"], row["answered"], row["errors"]) for row in done["benchmarks"]] == [
        ("hellaswag", N_SWAG, 0),
        ("quiz", N_QUIZ, 0),
    ]

    questions = [question for batch in tiny_quiz.batches(folder) for question in batch]
    assert len(questions) == N_QUIZ + N_SWAG
    again = run(store, ann)
    assert (again["reused"], again["answered"]) == (N_QUIZ + N_SWAG, 0)
    assert len(tiny_quiz.batches(folder)) == 3, "nothing was asked twice"
    after = plan.forecast(store, expert_id, ann, plans[1])
    assert (after.reused, after.to_ask, after.seconds) == (N_QUIZ, 0, 0)

    # Every stored score is what the scorer says of the stored text, and some beginnings ended well.
    with store.reading() as connection:
        swag, _ = catalog.find_benchmark(connection, "hellaswag")
        queries = prompt_inputs.askable(connection, swag, None, None)
        contents = prompt_inputs.contents(connection, [query.id for query in queries])
        by_key = {content.key: content for content in contents.values()}
        pools = connection.execute(select(query_label.c.expert, query_label.c.pool)).all()
    rows = said(store, "ann")
    assert set(rows.values()) == {1}
    assert len(rows) == N_QUIZ + N_SWAG
    of_swag = [row for row in rows if row[0] in by_key]
    assert all(
        HellaSwag().score(chat_history or "", by_key[key]).score == score for key, chat_history, _, score in of_swag
    )
    assert 0 < sum(score or 0 for *_, score in of_swag) < N_SWAG
    assert set(pools) == {("ann", "all")}, "the labels are there at once"


def test_what_cannot_be_answered_is_an_error_until_it_is_retried(store: Store, llama: Path, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 20, unanswerable=(3, 8)))
    ann = ExpertRow("ann", "logged", str(llama))
    assert run(store, ann)["errors"] == 2
    failed = {key: (chat_history, error, score) for key, chat_history, error, score in said(store, "ann") if error}
    assert failed.keys() == {"3", "8"}
    assert set(failed.values()) == {(None, "nobody\N{REPLACEMENT CHARACTER} can answer this", None)}

    again = run(store, ann)
    assert (again["reused"], again["answered"], again["errors"]) == (18, 0, 2)
    assert run(store, ann, retry_errors=True)["errors"] == 2
    (folder / "healed").touch()
    healed = run(store, ann, retry_errors=True)
    assert (healed["reused"], healed["answered"], healed["errors"]) == (18, 2, 0)
    assert [len(batch) for batch in tiny_quiz.batches(folder)] == [20, 2, 2]
    assert {(error, score is None) for _, _, error, score in said(store, "ann")} == {(None, False)}
    assert set(said(store, "ann").values()) == {1}
    assert len(said(store, "ann")) == 20


def test_two_jobs_for_the_same_expert_store_one_response(store: Store, llama: Path, folder: Path) -> None:
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", str(llama))
    (folder / "slow").write_text("2")
    jobs = [start(store, ann), start(store, ann, retry_errors=True)]
    assert len(set(jobs)) == 2
    with ThreadPoolExecutor() as both:
        ended = list(both.map(lambda job: InlineDispatcher(store, Settings()).follow(job, lambda _: None), jobs))
    assert len(tiny_quiz.batches(folder)) == 2, "both were at it at once"
    counts = [job.report["benchmarks"][0] for job in ended if job.report]
    assert sum(count["answered"] for count in counts) == sum(count["reused"] for count in counts) == N_SWAG
    assert len(said(store, "ann")) == N_SWAG


@pytest.mark.parametrize("dialect", ["sqlite"])  # nothing in it is of a database's own
def test_a_host_that_is_killed_costs_its_open_batch(store: Store, llama: Path, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 140))
    ann, undisturbed = (ExpertRow(name, "logged", str(llama)) for name in ("ann", "undisturbed"))
    (folder / "slow").write_text("1.5")

    def kill() -> None:
        while len(tiny_quiz.batches(folder)) < 2:
            time.sleep(0.05)
        os.kill(tiny_quiz.engine_pids(folder)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done = run(store, ann)
    killer.join()
    assert (done["answered"], done["errors"], done["loads"]) == (140, 0, 2)
    batches = tiny_quiz.batches(folder)
    times = Counter(question for batch in batches for question in batch)
    assert {question for question, n in times.items() if n > 1} == set(batches[1])
    (folder / "slow").unlink()
    run(store, undisturbed)
    assert said(store, "ann") == said(store, "undisturbed")


@pytest.mark.parametrize("dialect", ["sqlite"])  # nothing in it is of a database's own
def test_an_interrupt_ends_the_engine_before_the_shard_is_given_back(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the last answer, when no batch is under way: somebody may have locked the shard."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 20))
    ended: list[str] = []
    close, give_back = EngineClient.close, leases.give_back

    def noted_close(host: EngineClient, **options: float) -> None:
        ended.append("engine")
        close(host, **options)

    def noted_give_back(*about: Any) -> bool:
        ended.append("shard")
        return give_back(*about)

    monkeypatch.setattr(EngineClient, "close", noted_close)
    monkeypatch.setattr(leases, "give_back", noted_give_back)
    heard: list[int] = []

    def press_ctrl_c(step: int) -> None:
        heard.append(step)
        if sum(heard) == 20:
            raise KeyboardInterrupt

    job_id = start(store, ExpertRow("ann", "echo", "ann"))
    with pytest.raises(KeyboardInterrupt):
        InlineDispatcher(store, Settings()).follow(job_id, press_ctrl_c)
    assert ended[:2] == ["engine", "shard"]


@pytest.mark.parametrize("dialect", ["sqlite"])  # nothing in it is of a database's own
def test_another_version_of_the_engine_is_another_run(store: Store, llama: Path, folder: Path) -> None:
    add_benchmark(store, "hellaswag", tiny_quiz.write_hellaswag(folder / "swag", N_SWAG))
    ann = ExpertRow("ann", "logged", str(llama))
    for version in ("1", "2"):
        (folder / "version").write_text(version)
        assert run(store, ann)["answered"] == N_SWAG
    with store.reading() as connection:
        [newest, _] = connection.scalars(select(Run.id).order_by(Run.id.desc())).all()
        assert set(connection.scalars(select(Score.run_id))) == {newest}, "its scores have replaced the others"


# --- without an engine -------------------------------------------------------------------------------------------


def test_a_limit_is_a_stable_sample(store: Store, folder: Path) -> None:
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 60))
    chosen = [{query.id for query in plans_of(store, limit=n)[0].queries} for n in (5, 20, 100)]
    assert [len(ids) for ids in chosen] == [5, 20, 60]
    assert chosen[0] < chosen[1] < chosen[2]
    [some] = plans_of(store, limit=20)
    assert [(query.subject, query.id) for query in some.queries] == sorted((q.subject, q.id) for q in some.queries)
    assert {query.subject for query in some.queries} == set(tiny_quiz.SUBJECTS)
    [of_test] = plans_of(store, split="test")
    assert 0 < len(of_test.queries) < 60


def test_worked_examples_that_are_missing_are_asked_for(store: Store, folder: Path) -> None:
    tiny_quiz.write_quiz(folder / "quiz", 10)
    summary = add_benchmark(store, "quiz", folder / "quiz" / "test.jsonl")
    assert "no worked examples" in summary.notes[0]
    with pytest.raises(UsageError, match="add-benchmark quiz FOLDER"):
        plans_of(store)
    again = add_benchmark(store, "quiz", folder / "quiz")
    assert (again.unchanged, again.notes) == (10, ["worked examples for 3 subjects"])
    [ready] = plans_of(store)
    assert {len(shots.blocks) for shots in ready.shots.values()} == {5}


def test_pictures_reach_the_request(store: Store, folder: Path) -> None:
    pictures = (b"\x89PNG one", b"\x89PNG two")
    with store.writing() as connection:
        benchmark = catalog.ensure_benchmark(connection, "mmmu")
        query = plan.Query("1", "Art", "What is <image 1> beside <image 2>?", ("a", "b"), "A", images=pictures)
        catalog.add_queries(connection, benchmark, [query])
    [ready] = plans_of(store)
    with store.reading() as connection:
        [content] = prompt_inputs.contents(connection, [ready.queries[0].id]).values()
    assert ready.request(content).images == pictures
    assert content.content_hash == query.content_hash


@pytest.fixture
def judged(store: Store, folder: Path) -> Store:
    """Experts ann, who is right everywhere, and bob, right nowhere; on 30 queries."""
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(folder / "quiz", 30))
    ann, bob = (add(store, ExpertRow(name, "recorded", cost=1.0)) for name in ("ann", "bob"))
    [ready] = plans_of(store)
    with store.writing() as connection:
        contents = prompt_inputs.contents(connection, [query.id for query in ready.queries])
        for expert, right in ((ann, True), (bob, False)):
            run_id = responses.ensure_run(connection, expert, ready.benchmark_id, {"by": "hand"})
            scores = []
            for query in ready.queries:
                letter = contents[query.id].answer if right else "Z"
                rule = "answer is" if right else "none"
                extracted = letter if right else None
                spoken = f"the answer is ({letter})" if right else "no idea"
                scores.append(NewScore(query.id, query.stratum_id, float(right), extracted, rule, spoken))
            responses.write_scores(connection, expert, run_id, scores)
            aggregates.refresh(connection, [ready.benchmark_id], {(expert, q.stratum_id) for q in ready.queries})
    return store


def test_rescoring_what_is_as_it_should_be_changes_nothing(judged: Store) -> None:
    report = rescore(judged, "quiz")
    assert (report.judged, report.changed, report.subject_flips, report.query_flips) == (60, 0, [], {})


def test_rescoring_finds_altered_scores_and_names_the_labels(judged: Store) -> None:
    with judged.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "quiz")
        right = live_labels.all_labels(connection, benchmark_id)
        strata = {
            stratum: (subject, split)
            for stratum, subject, split in connection.execute(
                text("SELECT st.id, su.name, st.split FROM stratum st JOIN subject su ON su.id = st.subject_id")
            )
        }
        [stratum] = [id_ for id_, about in strata.items() if about == ("law", "train")]
    ann, bob = (add(judged, ExpertRow(name, "recorded", cost=1.0)) for name in ("ann", "bob"))
    with judged.writing() as connection:
        swap = text("UPDATE score SET value = :value WHERE expert_id = :expert AND stratum_id = :stratum")
        connection.execute(swap, {"value": 0.0, "expert": ann, "stratum": stratum})
        n = connection.execute(swap, {"value": 0.5, "expert": bob, "stratum": stratum}).rowcount
        aggregates.refresh(connection, [benchmark_id], {(ann, stratum), (bob, stratum)})
        assert live_labels.all_labels(connection, benchmark_id) != right

    for dry_run in (True, False):
        report = rescore(judged, "quiz", dry_run=dry_run)
        assert report.changed == 2 * n
        assert report.subject_flips == [Flip("all", "train", "law", "bob", "ann")]
        assert report.query_flips == {"all": n}
        with judged.reading() as connection:
            assert (live_labels.all_labels(connection, benchmark_id) == right) is not dry_run
    assert rescore(judged, "quiz").changed == 0


def test_a_benchmark_without_a_scorer_cannot_be_rescored(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,subject\nwhat?,things\n")
    add_benchmark(store, "own", tmp_path / "own.csv")
    with pytest.raises(UsageError, match="ready-made"):
        rescore(store, "own")
