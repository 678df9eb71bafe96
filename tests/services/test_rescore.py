"""Scoring stored responses again, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_quiz
from profiling import add_expert, prompt_plans
from sqlalchemy import text

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.label_flips import Flip
from benchcoe_jobs.services.rescore import rescore
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import aggregates, catalog, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store


@pytest.fixture
def scored(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An expert ann with 30 right answers, and an expert bob with 30 wrong ones."""
    tiny_quiz.install(tmp_path, monkeypatch)
    add_benchmark(store, "quiz", tiny_quiz.write_quiz(tmp_path / "quiz", 30))
    ann, bob = (add_expert(store, ExpertRow(name, "recorded", cost=1.0)) for name in ("ann", "bob"))
    [plan] = prompt_plans(store)
    with store.writing() as connection:
        contents = prompt_inputs.contents(connection, [query.id for query in plan.queries])
        for expert, right in ((ann, True), (bob, False)):
            run_id = responses.ensure_run(connection, expert, plan.benchmark_id, {"by": "hand"})
            scores = []
            for query in plan.queries:
                letter = contents[query.id].answer if right else "Z"
                rule = "answer is" if right else "none"
                extracted = letter if right else None
                response = f"the answer is ({letter})" if right else "no idea"
                scores.append(NewScore(query.id, query.stratum_id, float(right), extracted, rule, response))
            responses.write_scores(connection, expert, run_id, scores)
            aggregates.refresh(connection, [plan.benchmark_id], {(expert, q.stratum_id) for q in plan.queries})
    return store


def test_rescoring_correct_scores_changes_nothing(scored: Store) -> None:
    report = rescore(scored, "quiz")
    assert (report.scored, report.changed, report.subject_flips, report.query_flips) == (60, 0, [], {})


def test_rescoring_finds_altered_scores_and_names_the_labels(scored: Store) -> None:
    with scored.reading() as connection:
        benchmark_id, _ = catalog.find_benchmark(connection, "quiz")
        right = live_labels.all_labels(connection, benchmark_id)
        strata = {
            stratum: (subject, split)
            for stratum, subject, split in connection.execute(
                text("SELECT st.id, su.name, st.split FROM stratum st JOIN subject su ON su.id = st.subject_id")
            )
        }
        [stratum] = [id_ for id_, about in strata.items() if about == ("law", "train")]
    ann, bob = (add_expert(scored, ExpertRow(name, "recorded", cost=1.0)) for name in ("ann", "bob"))
    with scored.writing() as connection:
        swap = text("UPDATE score SET value = :value WHERE expert_id = :expert AND stratum_id = :stratum")
        connection.execute(swap, {"value": 0.0, "expert": ann, "stratum": stratum})
        n = connection.execute(swap, {"value": 0.5, "expert": bob, "stratum": stratum}).rowcount
        aggregates.refresh(connection, [benchmark_id], {(ann, stratum), (bob, stratum)})
        assert live_labels.all_labels(connection, benchmark_id) != right

    for dry_run in (True, False):
        report = rescore(scored, "quiz", dry_run=dry_run)
        assert report.changed == 2 * n
        assert report.subject_flips == [Flip("all", "train", "law", "bob", "ann")]
        assert report.query_flips == {"all": n}
        with scored.reading() as connection:
            assert (live_labels.all_labels(connection, benchmark_id) == right) is not dry_run
    assert rescore(scored, "quiz").changed == 0


def test_a_benchmark_without_a_scorer_cannot_be_rescored(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,subject\nwhat?,things\n")
    add_benchmark(store, "own", tmp_path / "own.csv")
    with pytest.raises(UsageError, match="has no scorer"):
        rescore(store, "own")
