"""The findings of an audit: what they say, how severe they are, and the command that they name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from audit_worlds import N, correlated, kinds, store_scores
from tables import add_experts, bring

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import audit, duplicates_across_splits
from benchcoe_jobs.services.audit.findings import Severity
from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.session import Store


def test_an_unknown_order_is_reported_and_not_repaired(store: Store, tmp_path: Path) -> None:
    scores = correlated(ann=0.6, bob=0.7, cat=0.55)
    random.Random(1).shuffle(scores["cat"])
    store_scores(store, tmp_path, scores)
    [finding] = [found for found in audit(store, None) if found.kind == "unrelated"]
    assert finding.what.startswith("its scores do not correlate with those of ann and bob (")
    assert (finding.severity, finding.expert, finding.command) == (Severity.WARNING, "cat", "benchcoe-jobs retire cat")
    with pytest.raises(UsageError, match="no known order restores the correlation"):
        repair_order(store, None, "cat")


def test_experts_that_all_answer_at_random_are_not_suspected(store: Store, tmp_path: Path) -> None:
    """If no two experts are related, no order can be recognised."""
    luck = random.Random(3)
    store_scores(
        store, tmp_path, {name: [float(luck.random() < 0.5) for _ in range(N)] for name in ("ann", "bob", "cat")}
    )
    assert kinds(audit(store, None)) == []


def test_a_benchmark_without_scores_has_no_findings(store: Store) -> None:
    assert audit(store, None) == []


def test_findings_are_sorted_by_severity(store: Store, tmp_path: Path) -> None:
    """Two copies in two splits are an error; a question that no expert is right on is a note."""
    add_experts(store, **dict.fromkeys(("ann", "bob", "cat")))
    for name in ("ann", "bob", "cat"):
        rows = [
            {"key": split, "text": "Which?", "subject": "maps", "split": split, "score": 0}
            for split in ("train", "test")
        ]
        bring(store, tmp_path, name, *rows)
    assert [found.severity for found in audit(store, None)] == [Severity.ERROR, Severity.NOTE]


def query(key: str, text: str, *choices: str, split: Split) -> tuple[int, Query]:
    return ord(key), Query(key, "maps", text, choices, split=split)


def test_case_blanks_and_the_order_of_choices_are_ignored() -> None:
    a = query("a", "Which is  EVEN?", "one", "two", split=Split.TRAIN)
    b = query("b", "which is even?", "Two", "one", split=Split.TEST)
    c = query("c", "which is even?", "two", "three", split=Split.TEST)
    d = query("d", "which is even?", "one", "two", split=Split.TRAIN)
    assert duplicates_across_splits([a, b, c, d], {}) == [[a, b, d]]
    assert duplicates_across_splits([a, c, d], {}) == []


def test_queries_without_a_text_are_duplicates_by_their_pictures() -> None:
    a, b, c = (query(key, "", split=split) for key, split in zip("abc", Split, strict=True))
    assert duplicates_across_splits([a, b, c], {}) == []
    assert duplicates_across_splits([a, b, c], {ord("a"): ("1", "2"), ord("b"): ("1",), ord("c"): ("1", "2")}) == [
        [a, c]
    ]


def test_the_same_question_about_another_picture_is_no_copy(store: Store) -> None:
    """Of four questions with one text, the first and the last are about the same picture."""
    pictures = (b"a", b"b", b"c", b"a")
    splits = (Split.TRAIN, Split.TEST, Split.TEST, Split.TEST)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "pictures")
        queries = [
            Query(f"q{i}", "maps", "What does <image 1> show?", ("a hill", "a lake"), "A", split, (picture,))
            for i, (picture, split) in enumerate(zip(pictures, splits, strict=True))
        ]
        catalog.add_queries(connection, benchmark_id, queries)
    [finding] = audit(store, "pictures")
    assert (finding.kind, finding.keys) == ("duplicates", ["q3"])
    assert repair_duplicates(store, "pictures").moved == 1
    assert audit(store, "pictures") == []
