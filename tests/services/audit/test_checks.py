"""The findings of an audit: what they say, how severe they are, and the command that they name."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from audit_worlds import N, correlated, kinds, store_scores
from tables import add_experts, bring

from benchcoe_jobs.domain import Query, Split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import Severity, audit, duplicates_across_splits
from benchcoe_jobs.services.audit.repair import repair_order
from benchcoe_jobs.store.session import Store


def test_an_unknown_order_is_reported_and_not_repaired(store: Store, tmp_path: Path) -> None:
    scores = correlated(ann=0.5, bob=0.6, cat=0.45)
    random.Random(1).shuffle(scores["cat"])
    store_scores(store, tmp_path, scores)
    [finding] = [found for found in audit(store, None) if found.kind == "unrelated"]
    assert finding.what.startswith("its scores correlate with no other expert (")
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


def archive(path: Path, answers: list[str], claims: list[str | None]) -> Path:
    """An MMLU-Pro file whose right answers are A, B, A, B, ... `claims` are its extracted answers."""
    path.write_text(
        json.dumps(
            [
                {"question_id": i, "question": f"{i}?", "options": ["yes", "no"], "answer": "AB"[i % 2]}
                | {"category": "law", "src": "made-up", "model_outputs": f"The answer is ({answer}).", "pred": claimed}
                for i, (answer, claimed) in enumerate(zip(answers, claims, strict=True))
            ]
        )
    )
    return path


def test_answers_and_scores(store: Store, tmp_path: Path) -> None:
    """ann always answers A; bob's file extracts two answers differently; on question 1 all three wrongly answer A."""
    from benchcoe_jobs.services.ingest.result_import import import_results

    right = ["AB"[i % 2] for i in range(40)]
    bobs = ["A" if i in (1, 5) else answer for i, answer in enumerate(right)]
    cats = ["A" if i in (1, 7) else answer for i, answer in enumerate(right)]
    claims = ["B" if i in (1, 5) else answer for i, answer in enumerate(bobs)]
    add_experts(store, ann=None, bob=None, cat=None)
    for name, answers, claimed in (("ann", ["A"] * 40, [None] * 40), ("bob", bobs, claims), ("cat", cats, cats)):
        import_results(store, name, archive(tmp_path / f"{name}.json", answers, claimed), form="mmlu-pro")
    findings = {(found.kind, found.expert): found for found in audit(store, None)}
    constant = findings["constant", "ann"]
    assert (constant.severity, constant.command) == (Severity.ERROR, "benchcoe-jobs retire ann")
    assert constant.what == "it answers 'A' to 100% of the questions; this is the right answer to 50%"
    scorer = findings["scorer", "bob"]
    assert scorer.what == (
        "its file extracts a different answer for 2 of 40 responses; 2 scores differ: "
        "mean 100.0% in the file, 95.0% in the store"
    )
    assert scorer.command == "benchcoe-jobs rescore mmlu-pro"
    never = findings["never right", None]
    assert (never.severity, never.keys) == (Severity.NOTE, ["1"])
    assert never.what.startswith("none of 3 experts is right on 1 of 40 questions; on 1 of them")
    assert ("scorer", "cat") not in findings
    assert ("scorer", "ann") not in findings, "ann's file has no extracted answers"
    with pytest.raises(UsageError, match="cannot be moved"):
        repair_order(store, None, "bob")


def test_equal_scores_are_reported_once_there_are_enough(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    for name, n in (("ann", 30), ("bob", 29)):
        bring(store, tmp_path, name, *({"key": f"k{i}", "subject": "maps", "score": 1} for i in range(n)))
    [finding] = [found for found in audit(store, None) if found.kind == "constant"]
    assert (finding.severity, finding.expert) == (Severity.WARNING, "ann")
    assert finding.what == "all of its 30 scores are 1"


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
    assert duplicates_across_splits([a, b, c, d]) == [[a, b, d]]
    assert duplicates_across_splits([a, c, d]) == []


def test_queries_without_a_text_are_no_duplicates() -> None:
    assert duplicates_across_splits([query("a", "", split=Split.TRAIN), query("b", "", split=Split.TEST)]) == []
