"""An evaluation small enough to be done by hand: what is left out, what it costs, what was seen before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.evaluate import Report, evaluate
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.session import Store

APPLES, BRICKS = "apples", "bricks"  # each subject's questions hold its own word: every router tells them apart


def question(subject: str, number: int, split: str, score: float, **more: Any) -> dict[str, Any]:
    """A row of its own, though another split may hold the very same question."""
    text, choices = f"how many {subject} in case {number}", ["few", "many"]
    key = f"{split}-{subject}-{number}"
    return {"key": key, "text": text, "choices": choices, "subject": subject, "split": split, "score": score} | more


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """ann is best at apples and costs 1, bob at bricks for 2; ann is best overall on train."""
    add_experts(store, ann=1.0, bob=2.0)
    train = [(subject, n) for subject in (APPLES, BRICKS) for n in range(20)]
    bring(store, tmp_path, "ann", *(question(s, n, "train", 1 if s == APPLES else 0.5) for s, n in train))
    bring(store, tmp_path, "bob", *(question(s, n, "train", 0 if s == APPLES else 1) for s, n in train))
    test = [(APPLES, 100), (APPLES, 101), (APPLES, 102), (BRICKS, 100), (BRICKS, 101), (BRICKS, 3)]
    bring(
        store,
        tmp_path,
        "ann",
        *(question(*at, "test", score) for at, score in zip(test, [1, 1, 0, 1, 0, 0], strict=True)),
        new_queries=True,
    )
    bob = [question(*at, "test", score) for at, score in zip(test, [0, 0, 1, 0, 1, 1], strict=True)]
    bring(store, tmp_path, "bob", *bob[:4], {**bob[4], "cost": 8}, bob[5])
    bring(store, tmp_path, "ann", question(BRICKS, 200, "test", 1))  # bob never answered it
    train_router(
        store, tmp_path, "r", level=Level.SUBJECT, kind="tfidf", head=None, pool="all", benchmark=None, split="train"
    )
    return store


def test_by_hand(toy: Store, tmp_path: Path) -> None:
    report = evaluate(toy, tmp_path, "r", benchmark=None, split="test")
    assert (report.n, report.without_scores) == (6, 1)
    assert report.calls == {"ann": 0.5, "bob": 0.5}
    assert report.accuracy == pytest.approx(4 / 6)
    assert report.best_single == {"expert": "ann", "accuracy": pytest.approx(3 / 6)}
    assert report.experts == pytest.approx({"ann": 3 / 6, "bob": 3 / 6})
    assert report.random == pytest.approx(1 / 2)
    assert report.subject_oracle == pytest.approx(4 / 6)
    assert report.oracle == 1.0
    assert report.gain["value"] == pytest.approx(1 / 6)
    assert report.gain["low"] < 0 < report.gain["high"], "six queries prove nothing"
    assert report.cost == pytest.approx(
        {"router": (3 + 2 + 8 + 2) / 6, "best_single": 1.0, "every_expert": (5 * 3 + 9) / 6}
    )


def test_queries_that_were_in_training_are_reported(toy: Store, tmp_path: Path) -> None:
    report = evaluate(toy, tmp_path, "r", benchmark=None, split="test")
    assert (report.distribution, report.in_sample, report.seen_in_training) == ("in distribution", False, 1)
    assert report.warnings == [
        "the content of 1 of 7 queries is that of a training query",
        "1 of 7 queries left out, because an expert has no score there: bob on 1 (bricks 1). "
        "To compare on all of them, leave it out: benchcoe-jobs retire bob",
    ]


def test_the_training_split_is_in_sample(toy: Store, tmp_path: Path) -> None:
    report = evaluate(toy, tmp_path, "r", benchmark=None, split="train")
    assert (report.distribution, report.in_sample, report.accuracy) == ("naive", True, 1.0)
    assert report.warnings[0].startswith("in-sample")


def other(store: Store, folder: Path, *names: str) -> Report:
    from benchcoe_jobs.importers.base import ReadOptions
    from benchcoe_jobs.services.ingest.result_import import import_results

    path = folder / "other.csv"
    for name in names:
        path.write_text(f"key,text,subject,split,score\n1,how many {BRICKS},{BRICKS},test,{int(name == 'bob')}\n")
        import_results(store, name, path, form="table", options=ReadOptions(benchmark="other"))
    return evaluate(store, folder, "r", benchmark="other", split="test")


def test_another_benchmark_is_out_of_distribution(toy: Store, tmp_path: Path) -> None:
    report = other(toy, tmp_path, "ann", "bob")
    assert (report.distribution, report.benchmark, report.n) == ("out of distribution", "other", 1)
    assert (report.accuracy, report.best_single["accuracy"]) == (1.0, 0.0)


def test_a_comparison_needs_the_scores_of_all(toy: Store, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no query of other, split test, has a score of every expert .* bob has 0 of 1"
    ):
        other(toy, tmp_path, "ann")
