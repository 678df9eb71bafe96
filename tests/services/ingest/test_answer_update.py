"""Corrected answers of a benchmark: the scores and labels that move with them, and those that stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_quiz
from profiling import add_expert, prompt_plans
from store_content import content, differences

from benchcoe_jobs.domain import Query
from benchcoe_jobs.services.ingest.answer_update import AnswerUpdate, CorrectedAnswer, MovedScore, is_correction
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.import_summary import ImportSummary
from benchcoe_jobs.services.label_flips import Flip
from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.services.rescore import rescore
from benchcoe_jobs.store.results import aggregates, prompt_inputs, responses
from benchcoe_jobs.store.results.experts import ExpertRow
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store


@pytest.fixture
def folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """30 questions. ann has a right response to each; bob has half a point for each, imported without responses."""
    tiny_quiz.install(tmp_path, monkeypatch)
    folder = tiny_quiz.write_quiz(tmp_path / "quiz", 30)
    add_benchmark(store, "quiz", folder)
    ann, bob = (add_expert(store, ExpertRow(name, "recorded", cost=1.0)) for name in ("ann", "bob"))
    [plan] = prompt_plans(store)
    with store.writing() as connection:
        contents = prompt_inputs.contents(connection, [query.id for query in plan.queries])
        for expert in (ann, bob):
            run_id = responses.ensure_run(connection, expert, plan.benchmark_id, {"by": "hand"})
            scores = []
            for query in plan.queries:
                letter = contents[query.id].answer
                of_ann = (1.0, letter, "answer is", f"the answer is ({letter})")
                scores.append(NewScore(query.id, query.stratum_id, *(of_ann if expert == ann else (0.5,))))
            responses.write_scores(connection, expert, run_id, scores)
            aggregates.refresh(connection, [plan.benchmark_id], {(expert, q.stratum_id) for q in plan.queries})
    return folder


def corrected(folder: Path, subject: str) -> list[CorrectedAnswer]:
    """Change the answers of a subject in the file of the benchmark."""
    [file] = folder.glob("*test*")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    answers = []
    for row in rows:
        if row["category"] == subject:
            before, row["answer"] = row["answer"], "A" if row["answer"] != "A" else "B"
            answers.append(CorrectedAnswer(str(row["question_id"]), before, row["answer"]))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return answers


def updated(store: Store, folder: Path, *, dry_run: bool = False) -> tuple[ImportSummary, AnswerUpdate]:
    summary = add_benchmark(store, "quiz", folder, update=True, dry_run=dry_run)
    assert summary.update is not None
    return summary, summary.update


def test_scores_and_labels_move_with_the_answers(store: Store, folder: Path) -> None:
    answers = corrected(folder, "law")
    before = content(store)
    _, forecast = updated(store, folder, dry_run=True)
    assert content(store) == before

    summary, update = updated(store, folder)
    assert update == AnswerUpdate(False, **{name: value for name, value in vars(forecast).items() if name != "dry_run"})
    assert sorted(update.answers) == sorted(answers)
    assert update.scored == len(answers)
    assert sorted(update.scores) == sorted(MovedScore(key, "ann", 1.0, 0.0) for key, _, _ in answers)
    assert update.kept == {"bob": len(answers)}
    assert {flip.split for flip in update.subject_flips} >= {"train"}
    assert set(update.subject_flips) == {
        Flip("all", split, "law", "ann", "bob") for split in {flip.split for flip in update.subject_flips}
    }
    assert update.query_flips == {"all": len(answers)}
    assert (summary.unchanged, summary.skipped) == (30 - len(answers), [])
    assert rescore(store, "quiz").changed == 0
    assert summary.import_name is not None
    remove(store, Path("none"), "import", summary.import_name)
    assert differences(content(store), before) == []


def test_the_same_answers_again_change_nothing(store: Store, folder: Path) -> None:
    corrected(folder, "law")
    updated(store, folder)
    before = content(store)
    summary, update = updated(store, folder)
    assert update == AnswerUpdate(False)
    assert (summary.unchanged, summary.import_name) == (30, None)
    assert content(store) == before


def test_without_update_other_answers_are_skipped(store: Store, folder: Path) -> None:
    answers = corrected(folder, "law")
    summary = add_benchmark(store, "quiz", folder)
    assert summary.update is None
    assert len(summary.skipped) == len(answers)


@pytest.mark.parametrize(
    ("row", "is_one"),
    [
        (Query("1", "law", "Which?", ("a", "b"), "B"), True),
        (Query("1", "law", "Which?", ("a", "b"), "A"), False),
        (Query("1", "law", "Which?", ("a", "b")), False),
        (Query("1", "law", "Which one?", ("a", "b"), "B"), False),
        (Query("1", "law", "Which?", ("a", "c"), "B"), False),
        (Query("1", "law", "Which?", ("a", "b"), "B", images=(b"png",)), False),
        (Query("1", "math", "Which?", ("a", "b"), "B"), False),
    ],
)
def test_only_another_answer_is_a_correction(row: Query, is_one: bool) -> None:
    assert is_correction(Query("1", "law", "Which?", ("a", "b"), "A"), row) is is_one
    assert not is_correction(Query("1", "law", "Which?", ("a", "b")), row)
