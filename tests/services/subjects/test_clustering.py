"""Questions with one subject get clusters, everything at subject level follows, and it can be undone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tables import BENCHMARK, add_experts, bring

from benchcoe_jobs.domain import ALL_POOL, Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.evaluation.evaluate import evaluate
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.services.subjects.clustering import cluster, undo
from benchcoe_jobs.services.training.train import train_router
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import catalog, prompt_inputs
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Subject

TOPICS = {"law": "the court and the contract of case", "soup": "salt for the soup of pot", "star": "the planet of star"}


def rows(good_at: str, n: int = 60) -> list[dict[str, Any]]:
    """Questions on all topics under the subject `all`; the expert is right about one topic, and half right else."""
    return [
        {
            "key": f"{topic}-{number}",
            "text": f"{words} {number}",
            "subject": "all",
            "split": "test" if number % 4 == 3 else "train",
            "score": 1.0 if topic == good_at else 0.25,
        }
        for topic, words in TOPICS.items()
        for number in range(n)
    ]


def fill(store: Store, folder: Path) -> None:
    add_experts(store, ann=1.0, bob=1.0, cat=1.0)
    for expert, topic in zip(("ann", "bob", "cat"), TOPICS, strict=True):
        bring(store, folder, expert, *rows(topic))


def content(store: Store) -> tuple[Any, ...]:
    with store.reading() as connection:
        labels = live_labels.all_labels(connection, 1)
        prompted = [(query.id, query.subject) for query in prompt_inputs.promptable(connection, 1, None, None)]
        return labels, catalog.benchmarks(connection), prompted


def test_clusters_are_subjects_everywhere_and_undo_restores_all(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    before = content(store)
    found = cluster(store, BENCHMARK, None, encoder=None, revision=None)
    assert found.choice is not None
    assert (len(found.clusters), found.choice.accuracies[found.choice.k], found.left) == (3, 1.0, 0)
    assert sorted((row["train"], row["test"]) for row in found.clusters) == [(45, 15)] * 3
    built = build_labels(store, Level.SUBJECT, pool=ALL_POOL, benchmark=BENCHMARK, split="train")
    assert sorted((label.expert, label.mean) for label in built.subjects) == [("ann", 1), ("bob", 1), ("cat", 1)]
    remove(store, tmp_path, "label-set", built.frozen.fingerprint)
    assert content(store)[2] == before[2], "prompts are those of the one subject"
    back = undo(store, BENCHMARK)
    assert (back.origin, back.n_queries, back.kept) == ("all", 180, [])
    assert content(store) == before


def test_a_router_on_clusters_gains(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    cluster(store, BENCHMARK, 3, encoder=None, revision=None)
    train_router(
        store, tmp_path, "r", level=Level.SUBJECT, kind="tfidf", head=None, pool="all", benchmark=None, split="train"
    )
    report = evaluate(store, tmp_path, "r", benchmark=None, split="test")
    assert report.accuracy == 1.0
    assert undo(store, BENCHMARK).kept, "the label set of the router names the clusters"


def test_files_are_still_known_by_the_one_subject(store: Store, tmp_path: Path) -> None:
    fill(store, tmp_path)
    cluster(store, BENCHMARK, 3, encoder=None, revision=None)
    add_experts(store, dan=1.0)
    again = bring(store, tmp_path, "dan", *rows("law"), {"key": "new", "text": "why?", "subject": "all", "score": 1})
    assert (again.scored["dan"], again.new_queries, again.skipped) == (181, 1, [])
    path = tmp_path / "benchmark.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows("law")))
    assert add_benchmark(store, BENCHMARK, path).unchanged == 180
    undo(store, BENCHMARK)
    assert cluster(store, BENCHMARK, 3, encoder=None, revision=None).left == 0


def test_an_import_is_removed_with_its_clusters(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=1.0)
    bring(store, tmp_path, "ann", *rows("law"))
    cluster(store, BENCHMARK, 3, encoder=None, revision=None)
    remove(store, tmp_path, "import", "import-1")
    with store.reading() as connection:
        assert connection.execute(Subject.__table__.select()).all() == []
        assert catalog.benchmarks(connection) == []


def test_questions_without_a_text_stay(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=1.0)
    bring(store, tmp_path, "ann", *rows("law"), {"key": "bare", "subject": "all", "score": 1})
    assert cluster(store, BENCHMARK, 2, encoder=None, revision=None).left == 1


def test_what_cannot_be_divided(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=1.0)
    bring(store, tmp_path, "ann", *rows("law", 10))
    with pytest.raises(UsageError, match="needs 80: give one, as in --cluster 2"):
        cluster(store, BENCHMARK, None, encoder=None, revision=None)
    with pytest.raises(UsageError, match="too few for 50 clusters"):
        cluster(store, BENCHMARK, 50, encoder=None, revision=None)
    bring(store, tmp_path, "ann", *rows("law"))
    with pytest.raises(UsageError, match="two or more experts on toy, split train, and the store has those of 1"):
        cluster(store, BENCHMARK, None, encoder=None, revision=None)
    with pytest.raises(UsageError, match="made no subject of toy"):
        undo(store, BENCHMARK)
    cluster(store, BENCHMARK, 2, encoder=None, revision=None)
    with pytest.raises(UsageError, match="`benchcoe-jobs add-subjects toy --undo` goes first"):
        cluster(store, BENCHMARK, 2, encoder=None, revision=None)
    with store.writing() as connection:
        jobs.open_job(connection, "evaluate", {"router": "r", "benchmark": BENCHMARK, "split": "test"})
    with pytest.raises(UsageError, match="may need it: `benchcoe-jobs cancel 1` goes first"):
        undo(store, BENCHMARK)


def test_a_benchmark_with_subjects_is_refused(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=1.0)
    bring(store, tmp_path, "ann", *rows("law"), rows("law")[0] | {"key": "z", "subject": "other", "text": "else"})
    with pytest.raises(UsageError, match="toy has 2 subjects"):
        cluster(store, BENCHMARK, 2, encoder=None, revision=None)
