"""Faults are put into results, found, and undone."""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text
from tables import add_experts, bring

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.audit.checks import Finding, Severity, audit
from benchcoe_jobs.services.audit.repair import repair_duplicates, repair_order
from benchcoe_jobs.services.audit.row_order import Order, true_rows, unrelated_experts
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.services.score_matrix import ScoreMatrix
from benchcoe_jobs.store.results.joins import QueryRef
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Response, Run

N = 1200
LAYOUTS = [(workers, layout) for workers in (2, 4, 8) for layout in ("gathered", "interleaved")]


def gathered(n: int, workers: int) -> list[int]:
    """Which question each row of the log is about, written as the evaluation does it: worker by worker."""
    return [question for worker in range(workers) for question in range(worker, n, workers)]


def interleaved(n: int, workers: int) -> list[int]:
    """Stretches of the questions, one a worker, whose rows come in turns."""
    sizes = [len(range(worker, n, workers)) for worker in range(workers)]
    starts = [sum(sizes[:worker]) for worker in range(workers)]
    return [starts[row % workers] + row // workers for row in range(n)]


def rows(n: int = N) -> list[dict[str, Any]]:
    """Questions whose keys count from 0, the first half maps and the second math, three of four in train."""
    return [
        {"key": f"q{i}", "text": f"question {i}?", "subject": "maps" if i < n / 2 else "math"}
        | {"split": "test" if i % 4 == 3 else "train"}
        for i in range(n)
    ]


def correlated(n: int = N, seed: int = 0, **skills: float) -> dict[str, list[float]]:
    """Right or wrong answers of experts that find the same questions hard."""
    luck = random.Random(seed)
    hard = [luck.random() for _ in range(n)]
    return {name: [float(0.6 * h + 0.4 * luck.random() < skill) for h in hard] for name, skill in skills.items()}


def store_scores(store: Store, folder: Path, scores: dict[str, list[float]], **more: Any) -> None:
    add_experts(store, **dict.fromkeys(scores))
    for name, values in scores.items():
        bring(
            store,
            folder,
            name,
            *({**row, "score": v, **more} for row, v in zip(rows(len(values)), values, strict=True)),
        )


def kinds(findings: list[Finding]) -> list[tuple[str, str | None]]:
    return [(finding.kind, finding.expert) for finding in findings if finding.kind != "never right"]


def labels(store: Store) -> tuple[Any, ...]:
    built = [build_labels(store, level, pool="all", benchmark=None, split="train") for level in Level]
    return built[0].subjects, built[0].counts, built[1].subjects, built[1].counts


def scores_of(store: Store) -> list[Any]:
    query = "SELECT expert_id, query_id, stratum_id, value FROM score ORDER BY expert_id, query_id"
    with store.reading() as connection:
        return list(connection.execute(text(query)).all())


@pytest.mark.parametrize(("workers", "layout"), [(4, "gathered"), (8, "interleaved")])
def test_striped_rows_are_found_and_undone(store: Store, tmp_path: Path, workers: int, layout: str) -> None:
    true = correlated(ann=0.5, bob=0.6, cat=0.45)
    store_scores(store, tmp_path, true, tokens=7)
    assert kinds(audit(store, None)) == []
    sound, right_labels = scores_of(store), labels(store)

    log = {"gathered": gathered, "interleaved": interleaved}[layout](N, workers)
    wrong = [{**row, "score": true["cat"][log[i]], "tokens": log[i]} for i, row in enumerate(rows())]
    bring(store, tmp_path, "cat", *wrong, replace=True)
    assert scores_of(store) != sound
    [finding] = [one for one in audit(store, None) if one.kind == "order"]
    assert (finding.severity, finding.expert) == (Severity.ERROR, "cat")
    assert f"log of {workers} workers, {layout}" in finding.what
    assert finding.command == "benchcoe-jobs audit --benchmark toy --repair order --expert cat"

    said = responses(store)
    done = repair_order(store, None, "cat")
    assert done.order == asdict(Order(workers, layout, "key", "own", "benchmark"))
    assert scores_of(store) == sound
    assert labels(store) == right_labels
    assert kinds(audit(store, None)) == []
    after = responses(store)
    assert {key: after[key] for key in said} == said, "responses are immutable"
    assert len(after) == len(said) + done.moved
    with store.reading() as connection:
        provenance = connection.scalars(select(Run.provenance).order_by(Run.id.desc())).first()
        runs = dict(connection.execute(select(Run.fingerprint, Run.id)).all())  # type: ignore[arg-type]
    assert provenance is not None
    assert provenance["repaired_order"] == done.order
    assert provenance["of_run"] in runs
    with pytest.raises(UsageError, match="go with the others' as they are"):
        repair_order(store, None, "cat")


def responses(store: Store) -> dict[tuple[int, int], Any]:
    with store.reading() as connection:
        rows = connection.execute(
            select(Response.run_id, Response.query_id, Response.prompt_tokens, Response.completion_tokens)
        )
        return {(run, query): rest for run, query, *rest in rows}


def test_another_order_than_these_is_said_and_left_alone(store: Store, tmp_path: Path) -> None:
    scores = correlated(ann=0.5, bob=0.6, cat=0.45)
    random.Random(1).shuffle(scores["cat"])
    store_scores(store, tmp_path, scores)
    [finding] = [one for one in audit(store, None) if one.kind == "unrelated"]
    assert (finding.severity, finding.expert, finding.command) == (Severity.WARNING, "cat", "benchcoe-jobs retire cat")
    with pytest.raises(UsageError, match="no order brings its scores back"):
        repair_order(store, None, "cat")


@pytest.mark.parametrize(("workers", "layout"), LAYOUTS)
@pytest.mark.parametrize("n", [1201, 1206])  # not to be divided by the workers
@pytest.mark.parametrize("within", ["benchmark", "subject"])
def test_every_order_is_recognised(workers: int, layout: str, n: int, within: str) -> None:
    places = [QueryRef(n - i, f"k{i}", "maps" if i % 3 else "math", "train", 1) for i in range(n)]
    values = np.array(list(correlated(n, ann=0.5, bob=0.6, cat=0.45, dan=0.5).values())).T
    values[::7, 3] = np.nan
    order = Order(workers, layout, "key", "own", within)
    stored, true = true_rows(places, ~np.isnan(values[:, 3]), order)
    spoilt = values.copy()
    spoilt[stored, 3] = values[true, 3]
    [found] = unrelated_experts(ScoreMatrix(["ann", "bob", "cat", "dan"], places, spoilt))
    assert found.expert == "dan"
    assert found.order is not None
    back = np.full(n, np.nan)
    stored, true = true_rows(places, ~np.isnan(spoilt[:, 3]), found.order)
    back[true] = spoilt[stored, 3]
    np.testing.assert_array_equal(back, values[:, 3])


def test_layouts_are_those_of_a_log() -> None:
    places = [QueryRef(i, str(i), "s", "train", 1) for i in range(11)]
    for workers in (2, 4, 8):
        for layout, log in (("gathered", gathered), ("interleaved", interleaved)):
            stored, true = true_rows(places, np.ones(11, dtype=bool), Order(workers, layout, "key", "own", "benchmark"))
            assert [int(true[list(stored).index(row)]) for row in range(11)] == log(11, workers)


def test_experts_without_a_common_measure_are_not_suspected(store: Store, tmp_path: Path) -> None:
    """Where nobody's scores go with anybody's, nothing can be said of an order."""
    luck = random.Random(3)
    store_scores(
        store, tmp_path, {name: [float(luck.random() < 0.5) for _ in range(N)] for name in ("ann", "bob", "cat")}
    )
    assert kinds(audit(store, None)) == []


def test_copies_are_put_into_one_split(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None, bob=None)
    asked = [
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
            *({**row, "subject": "s", "score": s} for row, s in zip(asked, scores, strict=True)),
        )
    [finding] = [one for one in audit(store, "toy") if one.kind == "duplicates"]
    assert (finding.severity, finding.keys) == (Severity.ERROR, ["a", "d"])
    assert finding.what.startswith("2 questions stand in more than one split, 1 of them in train")

    assert repair_duplicates(store, None).moved == 2
    assert kinds(audit(store, None)) == []
    with store.reading() as connection:
        places = connection.execute(
            text("SELECT q.key, st.split FROM query q JOIN stratum st ON st.id = q.stratum_id ORDER BY q.key")
        ).all()
        strata = connection.execute(text("SELECT split, n_queries FROM stratum ORDER BY split")).all()
        torn = connection.execute(
            text("SELECT COUNT(*) FROM score s JOIN query q ON q.id = s.query_id WHERE s.stratum_id <> q.stratum_id")
        ).scalar()
        best = connection.execute(
            text("SELECT split, key, expert FROM query_label WHERE pool = 'all' ORDER BY key")
        ).all()
    assert [tuple(row) for row in places] == [
        ("a", "validation"),
        ("b", "validation"),
        ("c", "train"),
        ("d", "train"),
        ("e", "test"),
    ]
    assert [tuple(row) for row in strata] == [("test", 1), ("train", 2), ("validation", 2)]
    assert torn == 0
    assert [tuple(row) for row in best] == [
        ("validation", "a", "ann"),
        ("validation", "b", "ann"),
        ("train", "c", "bob"),
        ("train", "d", "bob"),
        ("test", "e", "bob"),
    ]
    with pytest.raises(UsageError, match="nothing to repair"):
        repair_duplicates(store, None)


def archive(path: Path, answers: list[str], claims: list[str | None]) -> Path:
    """An MMLU-Pro file whose right answers are A, B, A, B, ..."""
    path.write_text(
        json.dumps(
            [
                {"question_id": i, "question": f"{i}?", "options": ["yes", "no"], "answer": "AB"[i % 2]}
                | {"category": "law", "src": "made-up", "model_outputs": f"The answer is ({said}).", "pred": claimed}
                for i, (said, claimed) in enumerate(zip(answers, claims, strict=True))
            ]
        )
    )
    return path


def test_answers(store: Store, tmp_path: Path) -> None:
    """ann always says A; bob's file reads two answers otherwise; on question 1 all three say A, which is wrong."""
    from benchcoe_jobs.services.ingest.result_import import import_results

    right = ["AB"[i % 2] for i in range(40)]
    bobs = ["A" if i in (1, 5) else answer for i, answer in enumerate(right)]
    cats = ["A" if i in (1, 7) else answer for i, answer in enumerate(right)]
    claims = ["B" if i in (1, 5) else answer for i, answer in enumerate(bobs)]
    add_experts(store, ann=None, bob=None, cat=None)
    for name, answers, claimed in (("ann", ["A"] * 40, [None] * 40), ("bob", bobs, claims), ("cat", cats, cats)):
        import_results(store, name, archive(tmp_path / f"{name}.json", answers, claimed), form="mmlu-pro")
    findings = {(one.kind, one.expert): one for one in audit(store, None)}
    constant = findings["constant", "ann"]
    assert (constant.severity, constant.command) == (Severity.ERROR, "benchcoe-jobs retire ann")
    assert constant.what == "it answers 'A' to 100% of the questions, which is right for 50%"
    scorer = findings["scorer", "bob"]
    assert scorer.what == (
        "its file reads 2 of 40 answers otherwise, and 2 verdicts with them: 100.0% by the file, 95.0% here"
    )
    assert scorer.command == "benchcoe-jobs rescore mmlu-pro"
    never = findings["never right", None]
    assert (never.severity, never.keys) == (Severity.NOTE, ["1"])
    assert never.what.startswith("1 of 40 questions were got right by none of 3 experts; on 1 of them")
    assert ("scorer", "cat") not in findings
    assert ("scorer", "ann") not in findings, "a claim that is not there is none"
    with pytest.raises(UsageError, match="judged here"):
        repair_order(store, None, "bob")


def test_the_fault_in_real_results(tmp_path: Path, sqlite_template: Path, mmlu_pro_files: list[Path]) -> None:
    """The public score matrix's fault, made from the real files: it is found, and undone to the last score."""
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
    sound, oracle = scores_of(store), pool_oracle(store)

    for name, workers in (("mathstral-7B", 8), ("Yi-6b-Chat", 2)):
        table = matrix[name]
        log = gathered(len(table), workers)
        spoilt = [{**row, "score": table[log[i]]["score"]} for i, row in enumerate(table)]
        bring(store, tmp_path, name, *spoilt, replace=True)
    assert pool_oracle(store) > oracle + 0.03, "rows in another order invent room for routing"
    found = [one for one in audit(store, None) if one.kind == "order"]
    assert [one.expert for one in found] == ["Yi-6b-Chat", "mathstral-7B"]
    for one in found:
        repair_order(store, one.benchmark, str(one.expert))
    assert kinds(audit(store, None)) == []
    assert scores_of(store) == sound
    assert pool_oracle(store) == oracle
    store.close()


def pool_oracle(store: Store) -> float:
    with store.reading() as connection:
        return float(
            connection.execute(
                text("SELECT oracle FROM pool_summary WHERE pool = 'all' AND split = 'test'")
            ).scalar_one()
        )
