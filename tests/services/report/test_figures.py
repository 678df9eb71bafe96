"""The figures of a store with a router that pays, and what is missing from one without."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import export_worlds
import pytest
import report_worlds
import tables
from sqlalchemy import update

from benchcoe_jobs.domain import Level
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.labelling.build import build_labels
from benchcoe_jobs.services.report.figures import read_figures
from benchcoe_jobs.services.report.verdict import Answer
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import LabelSet


def test_a_router_that_pays(store: Store, tmp_path: Path) -> None:
    report_worlds.fill(store, tmp_path)
    figures = read_figures(store, pool="all", benchmark=None)
    assert figures.verdict.answer is Answer.MORE_ACCURATE
    assert "router by-subject gains +25.00 points" in figures.verdict.sentence
    assert "on 40 held-out questions of toy, split test, at 1.25 of its cost" in figures.verdict.sentence
    assert [(stage.router, stage.is_current) for stage in figures.stages] == [("by-subject", True)]
    assert [(s.subject, s.expert, s.is_settled) for s in figures.labels.subjects] == [
        ("law", "ann", True),
        ("math", "bob", True),
    ]
    assert figures.labels.subjects[0].means == {"ann": 1.0, "bob": 0.5, "eve": 0.2}
    assert json.loads(json.dumps(figures.as_json()))["provenance"]["splits"] == {
        "train": 40,
        "validation": 40,
        "test": 40,
    }
    assert figures.provenance.commands == [
        "benchcoe-jobs build-labels --level subject --pool all --benchmark toy --split train --min-coverage 0.95",
        "benchcoe-jobs evaluate by-subject --benchmark toy --split test",
        "benchcoe-jobs report --pool all --benchmark toy --out report.html",
    ], "no job trained the router"
    assert read_figures(store, pool="all", benchmark=None, routers=["other"]).verdict.answer is Answer.UNKNOWN

    with store.writing() as connection:
        experts.set_retired(connection, "eve", True)
    moved = read_figures(store, pool="all", benchmark=None)
    assert "`benchcoe-jobs evaluate by-subject`" in moved.verdict.caveat
    assert moved.provenance.fingerprint != figures.provenance.fingerprint


def test_a_store_without_a_router_names_the_command(store: Store) -> None:
    export_worlds.fill(store, report_worlds.RIGHT)
    figures = read_figures(store, pool="all", benchmark=None)
    assert figures.verdict.answer is Answer.UNKNOWN
    assert "`benchcoe-jobs train-router`" in figures.verdict.sentence


def test_a_router_of_another_pool_is_refused(store: Store, tmp_path: Path) -> None:
    report_worlds.fill(store, tmp_path)
    with store.writing() as connection:
        experts.change_pool(connection, "two", add=["ann", "bob"])
    with pytest.raises(UsageError, match="add --pool all"):
        read_figures(store, pool="two", benchmark=None, routers=["by-subject"])


def test_labels_that_moved_since_a_date(store: Store, tmp_path: Path) -> None:
    export_worlds.fill(store, report_worlds.RIGHT)
    build_labels(store, Level.SUBJECT, pool="all", benchmark=None, split="train")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with store.writing() as connection:
        connection.execute(update(LabelSet).values(created_at=yesterday))
    tables.add_experts(store, new=None)
    rows = [{"key": f"law-train-{n}", "text": f"law train question {n}?", "subject": "law"} for n in range(20)]
    rows = [row | {"choices": ["yes", f"no {n}"], "answer": "A", "score": 1.0} for n, row in enumerate(rows)]
    tables.bring(store, tmp_path, "new", *rows)
    with store.writing() as connection:
        experts.set_retired(connection, "ann", True)

    changes = read_figures(store, pool="all", benchmark=None, since=datetime.now(UTC)).changes
    assert changes is not None
    assert (changes.n, [(m.subject, m.before, m.after) for m in changes.moved]) == (2, [("law", "ann", "new")])
    assert changes.moved[0].causes == ["ann was retired", "import-1 brought scores of new from rows.jsonl"]
    with pytest.raises(UsageError, match="`benchcoe-jobs labels`"):
        read_figures(store, pool="all", benchmark=None, since=yesterday - timedelta(hours=1))


def test_labels_that_another_store_has_otherwise(store: Store, sqlite_template: Path, tmp_path: Path) -> None:
    from benchcoe_jobs.store.session import connect

    export_worlds.fill(store, report_worlds.RIGHT)
    path = tmp_path / "other.db"
    path.write_bytes(sqlite_template.read_bytes())
    other = connect(f"sqlite:///{path}")
    export_worlds.fill(other, report_worlds.RIGHT | {"ann": (0.0, 0.4)})
    changes = read_figures(store, pool="all", benchmark=None, against=other).changes
    other.close()
    assert changes is not None
    [moved] = changes.moved
    assert (moved.subject, moved.before, moved.after) == ("law", "bob", "ann")
    assert moved.causes == ["ann had 0.0 % over 20 queries, and has 100.0 % over 20 queries"]
