"""Findings on the order of rows: which experts are trusted in a store, and what is reported of the others."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from audit_worlds import N, correlated, gathered, matrix_of
from tables import add_experts

from benchcoe_jobs.importers.base import ReadOptions
from benchcoe_jobs.services.audit.checks import audit
from benchcoe_jobs.services.audit.findings import Severity
from benchcoe_jobs.services.audit.order_checks import order_findings, unrelated_of
from benchcoe_jobs.services.audit.repair import repair_order
from benchcoe_jobs.services.audit.row_order import UnrelatedExpert
from benchcoe_jobs.services.ingest.result_import import import_results
from benchcoe_jobs.store.session import Store


def test_answers_show_which_order_is_right(store: Store, tmp_path: Path) -> None:
    """The scores of two experts are in the order of four workers. The third expert's file has questions and answers."""
    right = correlated(harder=0.0, ann=0.75, bob=0.55, cat=0.6)
    add_experts(store, **dict.fromkeys(right))
    archive = [
        {"question_id": i, "question": f"{i}?", "options": ["yes", "no"], "answer": "AB"[i % 2], "category": "law"}
        | {"src": "made-up", "pred": None, "model_outputs": f"The answer is ({'AB'[i % 2] if score else 'BA'[i % 2]})."}
        for i, score in enumerate(right["ann"])
    ]
    (tmp_path / "ann.json").write_text(json.dumps(archive))
    import_results(store, "ann", tmp_path / "ann.json", form="mmlu-pro")
    log = gathered(N, 4)
    for name in ("bob", "cat"):
        rows = [{"key": str(i), "subject": "law", "score": right[name][log[i]]} for i in range(N)]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        import_results(store, name, tmp_path / "rows.jsonl", form="table", options=ReadOptions(benchmark="mmlu-pro"))
    found = [finding for finding in audit(store, None) if finding.kind in ("order", "unrelated")]
    assert [(finding.severity, finding.expert) for finding in found] == [
        (Severity.ERROR, "bob"),
        (Severity.ERROR, "cat"),
    ]
    assert found[0].what.startswith("its scores do not correlate with those of ann (")
    for name in ("bob", "cat"):
        repair_order(store, None, name)
    assert [finding.kind for finding in audit(store, None) if finding.expert] == []


def test_a_finding_without_a_certain_order_names_no_repair() -> None:
    """Only files with questions and responses show which of two orders is right."""
    unknown = UnrelatedExpert("cat", ("ann", "bob", "dan", "eve"), 0.01, 0.5, share=0.02, is_certain=False)
    [finding] = order_findings("toy", [unknown])
    assert finding.severity is Severity.WARNING
    assert finding.what == (
        "its scores do not correlate with those of ann, bob, dan and 1 more (+0.01; theirs correlate by 0.50). "
        "It answers at random, or the rows of one of the two are in an unknown order: import files with the questions, "
        "choices and responses"
    )
    assert finding.command == "benchcoe-jobs import-results cat FILE --benchmark toy --replace"


def test_a_few_answers_among_imported_scores_are_not_trusted() -> None:
    """The answers of ann cover all of its scores or 40 of them; the others are in the order of four workers."""
    right = correlated(harder=0.0, ann=0.75, bob=0.55, cat=0.6)
    log = gathered(N, 4)
    matrix = matrix_of(ann=right["ann"], bob=[right["bob"][i] for i in log], cat=[right["cat"][i] for i in log])
    answers = [
        SimpleNamespace(expert_id=1, query_id=i, value=score, answer=f"{i}" if score else "", right=f"{i}")
        for i, score in enumerate(right["ann"])
    ]
    names = {"ann": 1, "bob": 2, "cat": 3}
    assert [found.expert for found in unrelated_of(matrix, names, answers) if found.is_certain] == ["bob", "cat"]
    assert [found.expert for found in unrelated_of(matrix, names, answers[:40]) if found.is_certain] == []
