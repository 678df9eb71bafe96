"""Repairs restore what was wrong: scores, labels and splits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from audit_worlds import N, correlated, gathered, interleaved, kinds, rows, scores_of, store_scores
from sqlalchemy import select, text
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import Severity, audit
from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order
from benchcoe_jobs.services.audit.row_order import Order
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Response, Run


def labels(store: Store) -> tuple[Any, ...]:
    built = [build_labels(store, level, pool="all", benchmark=None, split="train") for level in Level]
    return built[0].subjects, built[0].counts, built[1].subjects, built[1].counts


@pytest.mark.parametrize(("workers", "layout"), [(4, "gathered"), (8, "interleaved")])
def test_reordered_rows_are_found_and_repaired(store: Store, tmp_path: Path, workers: int, layout: str) -> None:
    true = correlated(ann=0.5, bob=0.6, cat=0.45)
    store_scores(store, tmp_path, true, tokens=7)
    assert kinds(audit(store, None)) == []
    correct_scores, correct_labels = scores_of(store), labels(store)

    log = {"gathered": gathered, "interleaved": interleaved}[layout](N, workers)
    wrong = [{**row, "score": true["cat"][log[i]], "tokens": log[i]} for i, row in enumerate(rows())]
    bring(store, tmp_path, "cat", *wrong, replace=True)
    assert scores_of(store) != correct_scores
    [finding] = [found for found in audit(store, None) if found.kind == "order"]
    assert (finding.severity, finding.expert) == (Severity.ERROR, "cat")
    assert f"log of {workers} workers, {layout}" in finding.what
    assert finding.command == "benchcoe-jobs audit --benchmark toy --repair order --expert cat"

    before = responses(store)
    done = repair_order(store, None, "cat")
    assert done.order == asdict(Order(workers, layout, "key", "own", "benchmark"))
    assert scores_of(store) == correct_scores
    assert labels(store) == correct_labels
    assert kinds(audit(store, None)) == []
    after = responses(store)
    assert {key: after[key] for key in before} == before, "responses are immutable"
    assert len(after) == len(before) + done.moved
    with store.reading() as connection:
        provenance = connection.scalars(select(Run.provenance).order_by(Run.id.desc())).first()
        runs = dict(connection.execute(select(Run.fingerprint, Run.id)).all())  # type: ignore[arg-type]
    assert provenance is not None
    assert provenance["repaired_order"] == done.order
    assert provenance["of_run"] in runs
    with pytest.raises(UsageError, match="its scores correlate with the others"):
        repair_order(store, None, "cat")


def responses(store: Store) -> dict[tuple[int, int], Any]:
    with store.reading() as connection:
        rows = connection.execute(
            select(Response.run_id, Response.query_id, Response.prompt_tokens, Response.completion_tokens)
        )
        return {(run, query): rest for run, query, *rest in rows}


def test_copies_are_moved_to_one_split(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    table = [
        {"key": "a", "text": "Which is  even?", "choices": ["one", "two"], "answer": "B", "split": "test"},
        {"key": "b", "text": "which is even?", "choices": ["Two", "one"], "answer": "A", "split": "validation"},
        {"key": "c", "text": "Which is odd?", "choices": ["one", "two"], "answer": "A", "split": "train"},
        {"key": "d", "text": "Which is odd?", "choices": ["one", "two"], "answer": "A", "split": "test"},
        {"key": "e", "text": "Which is odd?", "choices": ["one", "ten"], "answer": "A", "split": "test"},
    ]
    for expert, scores in (("ann", [1, 1, 0, 0, 0]), ("bob", [0, 0, 1, 1, 1])):
        bring(
            store,
            tmp_path,
            expert,
            *({**row, "subject": "s", "score": s} for row, s in zip(table, scores, strict=True)),
        )
    [finding] = [found for found in audit(store, "toy") if found.kind == "duplicates"]
    assert (finding.severity, finding.keys) == (Severity.ERROR, ["a", "d"])
    assert finding.what.startswith("more than one split has copies of 2 questions, 1 of them in train")

    assert repair_duplicates(store, None).moved == 2
    assert kinds(audit(store, None)) == []
    with store.reading() as connection:
        splits = connection.execute(
            text("SELECT q.key, st.split FROM query q JOIN stratum st ON st.id = q.stratum_id ORDER BY q.key")
        ).all()
        strata = connection.execute(text("SELECT split, n_queries FROM stratum ORDER BY split")).all()
        misplaced = connection.execute(
            text("SELECT COUNT(*) FROM score s JOIN query q ON q.id = s.query_id WHERE s.stratum_id <> q.stratum_id")
        ).scalar()
        best = connection.execute(
            text("SELECT split, key, expert FROM query_label WHERE pool = 'all' ORDER BY key")
        ).all()
    assert [tuple(row) for row in splits] == [
        ("a", "validation"),
        ("b", "validation"),
        ("c", "train"),
        ("d", "train"),
        ("e", "test"),
    ]
    assert [tuple(row) for row in strata] == [("test", 1), ("train", 2), ("validation", 2)]
    assert misplaced == 0
    assert [tuple(row) for row in best] == [
        ("validation", "a", "ann"),
        ("validation", "b", "ann"),
        ("train", "c", "bob"),
        ("train", "d", "bob"),
        ("test", "e", "bob"),
    ]
    with pytest.raises(UsageError, match="nothing to repair"):
        repair_duplicates(store, None)


def test_the_order_of_a_public_score_matrix(tmp_path: Path, sqlite_template: Path, mmlu_pro_files: list[Path]) -> None:
    """The order of a public score matrix, made from the real files, is found and repaired to the last score."""
    import shutil

    from benchcoe_jobs.domain import SkippedRow
    from benchcoe_jobs.importers.mmlu_pro import read
    from benchcoe_jobs.store.session import open_store

    names = ("gemma-7b", "mathstral-7B", "Yi-6b-Chat", "Phi-3-mini-4k-instruct")
    shutil.copy(sqlite_template, tmp_path / "real.db")
    store = open_store(f"sqlite:///{tmp_path}/real.db")
    add_experts(store, **dict.fromkeys(names))
    files = {name: path for path in mmlu_pro_files for name in names if f"outputs_{name}_5shots" in path.name}
    matrix: dict[str, list[dict[str, Any]]] = {}
    for name, path in files.items():
        found = [row for row in read(path) if not isinstance(row, SkippedRow)]
        found.sort(key=lambda row: int(row.query.key))
        matrix[name] = [
            {"key": row.query.key, "subject": row.query.subject, "split": ["train", "test"][int(row.query.key) % 2]}
            | {"score": float(row.claimed == row.query.answer)}
            for row in found[:4000]
        ]
    for name, table in matrix.items():
        bring(store, tmp_path, name, *table)
    assert kinds(audit(store, None)) == []
    correct_scores, oracle = scores_of(store), pool_oracle(store)

    for name, workers in (("mathstral-7B", 8), ("Yi-6b-Chat", 2)):
        table = matrix[name]
        log = gathered(len(table), workers)
        reordered = [{**row, "score": table[log[i]]["score"]} for i, row in enumerate(table)]
        bring(store, tmp_path, name, *reordered, replace=True)
    assert pool_oracle(store) > oracle + 0.03, "rows in another order overstate what routing can gain"
    found = [one for one in audit(store, None) if one.kind == "order"]
    assert [one.expert for one in found] == ["Yi-6b-Chat", "mathstral-7B"]
    for one in found:
        repair_order(store, one.benchmark, str(one.expert))
    assert kinds(audit(store, None)) == []
    assert scores_of(store) == correct_scores
    assert pool_oracle(store) == oracle
    store.close()


def pool_oracle(store: Store) -> float:
    with store.reading() as connection:
        return float(
            connection.execute(
                text("SELECT oracle FROM pool_summary WHERE pool = 'all' AND split = 'test'")
            ).scalar_one()
        )
