"""What an audit says about answers and equal scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tables import add_experts, bring

from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import audit
from benchcoe_jobs.services.audit.findings import Severity
from benchcoe_jobs.services.audit.repair import repair_order
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store


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
    assert constant.what == "it answers 'A' to 100 % of the questions; this is the right answer to 50 %"
    scorer = findings["scorer", "bob"]
    assert scorer.what == (
        "its file extracts a different answer for 2 of 40 responses; 2 scores differ: "
        "mean 100.0 % in the file, 95.0 % in the store"
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


def test_retired_experts_are_not_reported(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None)
    bring(store, tmp_path, "ann", *({"key": f"k{i}", "subject": "maps", "score": 1} for i in range(30)))
    assert [found.expert for found in audit(store, None)] == ["ann"]
    with store.writing() as connection:
        experts.set_retired(connection, "ann", True)
    assert audit(store, None) == []
