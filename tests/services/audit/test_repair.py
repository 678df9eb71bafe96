"""Repairs restore what was wrong: scores, labels and splits."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audit_worlds import N, correlated, gathered, interleaved, kinds, rows, scores_of, store_scores
from sqlalchemy import delete, select, text
from tables import add_experts, bring

from benchcoe_jobs.domain import Level, SkippedRow
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.importers.published.mmlu_pro import read
from benchcoe_jobs.services.audit.checks import audit
from benchcoe_jobs.services.audit.findings import Severity
from benchcoe_jobs.services.audit.log_order import Numbering, Order
from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order, undo_duplicates, undo_order
from benchcoe_jobs.services.audit.row_order import unrelated_experts
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store, open_store
from benchcoe_jobs.store.tables import Repair, Response, Run


def labels(store: Store) -> tuple[Any, ...]:
    built = [build_labels(store, level, pool="all", benchmark=None, split="train") for level in Level]
    return built[0].subjects, built[0].counts, built[1].subjects, built[1].counts


@pytest.mark.parametrize(("workers", "layout"), [(4, "gathered"), (8, "interleaved")])
def test_reordered_rows_are_found_and_repaired(store: Store, tmp_path: Path, workers: int, layout: str) -> None:
    true = correlated(ann=0.6, bob=0.7, cat=0.55)
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


def wrong_order(store: Store, folder: Path) -> list[Any]:
    """Import three experts, cat in the order of four workers; returns the scores."""
    true = correlated(ann=0.6, bob=0.7, cat=0.55)
    log = gathered(N, 4)
    store_scores(store, folder, {**true, "cat": [true["cat"][question] for question in log]}, tokens=7)
    return scores_with_runs(store)


def scores_with_runs(store: Store) -> list[Any]:
    query = "SELECT expert_id, query_id, stratum_id, value, run_id FROM score ORDER BY expert_id, query_id"
    with store.reading() as connection:
        return list(connection.execute(text(query)).all())


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "of an earlier release"])
def test_a_repair_of_the_order_is_undone(store: Store, tmp_path: Path, is_recorded: bool) -> None:
    """Releases before 0.3.0 stored no moves: they follow from the order in the provenance of the scores."""
    before, labels_before = wrong_order(store, tmp_path), labels(store)
    repaired = repair_order(store, None, "cat")
    after = scores_of(store)
    if not is_recorded:
        with store.writing() as connection:
            connection.execute(delete(Repair))
    undone = undo_order(store, None, "cat")
    assert (undone.moved, undone.undone) == (repaired.moved, True)
    assert scores_with_runs(store) == before
    assert labels(store) == labels_before
    with pytest.raises(UsageError, match="nothing to undo: the scores of cat on toy were not moved by a repair"):
        undo_order(store, None, "cat")
    repair_order(store, None, "cat")
    assert scores_of(store) == after, "it can be repaired again"
    undo_order(store, None, "cat")
    assert scores_with_runs(store) == before


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_repair_is_not_undone_over_later_imports(store: Store, tmp_path: Path, is_recorded: bool) -> None:
    wrong_order(store, tmp_path)
    repair_order(store, None, "cat")
    if not is_recorded:
        with store.writing() as connection:
            connection.execute(delete(Repair))
    bring(store, tmp_path, "cat", {**rows()[5], "score": 0.25}, replace=True)
    now = scores_with_runs(store)
    with pytest.raises(UsageError, match="cannot be undone, because scores were imported since: import its file again"):
        undo_order(store, None, "cat")
    assert scores_with_runs(store) == now


def test_an_order_that_is_not_certain_is_not_repaired(store: Store, tmp_path: Path) -> None:
    """The subjects are equally hard, and no answer came with its question."""
    true = correlated(harder=0.0, ann=0.4, bob=0.35, cat=0.3)
    store_scores(store, tmp_path, {**true, "cat": [true["cat"][question] for question in gathered(N, 4)]})
    [finding] = [found for found in audit(store, None) if found.expert == "cat"]
    assert finding.severity is Severity.WARNING
    assert "nothing says which order is right: import files with the questions" in finding.what
    assert finding.command == "benchcoe-jobs import-results cat FILE --benchmark toy --replace"
    before = scores_with_runs(store)
    with pytest.raises(UsageError, match="nothing to repair for cat on toy: the scores vary alike between subjects"):
        repair_order(store, None, "cat")
    assert scores_with_runs(store) == before


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

    scores_before = scores_of(store)
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

    assert undo_duplicates(store, None).moved == 2
    assert scores_of(store) == scores_before
    assert [(found.kind, found.keys) for found in audit(store, "toy") if found.kind == "duplicates"] == [
        ("duplicates", ["a", "d"])
    ]
    with pytest.raises(UsageError, match="nothing to undo: no stored repair has moved queries of toy"):
        undo_duplicates(store, None)


NAMES = ("gemma-7b", "mathstral-7B", "Yi-6b-Chat", "Phi-3-mini-4k-instruct")


@pytest.fixture(scope="module")
def real_tables(mmlu_pro_files: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Score tables of four experts, made from the real files in the order of the questions."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in NAMES:
        [path] = [path for path in mmlu_pro_files if f"outputs_{name}_5shots" in path.name]
        results = [row for row in read(path) if not isinstance(row, SkippedRow)]
        results.sort(key=lambda row: int(row.query.key))
        found[name] = [
            {"key": row.query.key, "subject": row.query.subject, "split": ["train", "test"][int(row.query.key) % 2]}
            | {"score": float(row.claimed == row.query.answer)}
            for row in results
        ]
    return found


def test_the_order_of_a_public_score_matrix(
    tmp_path: Path, sqlite_template: Path, real_tables: dict[str, list[dict[str, Any]]]
) -> None:
    """The order of a public score matrix, made from the real files, is found and repaired to the last score."""
    shutil.copy(sqlite_template, tmp_path / "real.db")
    store = open_store(f"sqlite:///{tmp_path}/real.db")
    add_experts(store, **dict.fromkeys(NAMES))
    matrix = {name: table[:4000] for name, table in real_tables.items()}
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


@pytest.mark.parametrize("workers", [(2, 2, 2), (4, 4, 4), (8, 8, 8), (2, 2, 8), (2, 4, 8)])
@pytest.mark.parametrize("natural", [0, 3])
def test_the_natural_order_of_real_files_is_right_as_a_minority(
    real_tables: dict[str, list[dict[str, Any]]], workers: tuple[int, ...], natural: int
) -> None:
    """Three of four real files are in the order of logs; the file in the order of the questions is not accused."""
    tables = [real_tables[name] for name in NAMES]
    right = np.array([[row["score"] for row in table] for table in tables]).T
    queries = [QueryRef(i, row["key"], row["subject"], row["split"], 1) for i, row in enumerate(tables[0])]
    order = list(workers)
    order.insert(natural, 1)
    logs = np.stack([right[gathered(len(right), w), column] for column, w in enumerate(order)], axis=1)
    found = unrelated_experts(ScoreMatrix(list(NAMES), queries, logs))
    assert {expert.expert for expert in found} == set(NAMES) - {NAMES[natural]}
    for expert in found:
        column = NAMES.index(expert.expert)
        assert expert.doubt is None
        assert expert.order is not None
        assert Numbering.of(queries).restored(logs[:, column], expert.order).tolist() == right[:, column].tolist()


def pool_oracle(store: Store) -> float:
    with store.reading() as connection:
        return float(
            connection.execute(
                text("SELECT oracle FROM pool_summary WHERE pool = 'all' AND split = 'test'")
            ).scalar_one()
        )
