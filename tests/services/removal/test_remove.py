"""Removals give back the store as it was before, or are refused with the command that goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import routing_world
from sqlalchemy import select
from store_content import content, differences
from tables import add_experts, bring

from benchcoe_jobs.domain import JobState
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.job_queue.lifecycle import cancel
from benchcoe_jobs.services.audit.repair import repair_duplicates
from benchcoe_jobs.services.ingest.benchmark_import import add_benchmark
from benchcoe_jobs.services.ingest.published_scores import import_scores
from benchcoe_jobs.services.removal.remove import remove
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.results import aggregates, catalog, experts, imports, prompt_inputs, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import LabelSet, Run

sqlite_only = pytest.mark.parametrize("dialect", ["sqlite"])


@pytest.fixture
def toy(store: Store, tmp_path: Path) -> Store:
    """Scores of ann on six queries: two with text, choices and answer, two with text, two known by key alone."""
    add_experts(store, ann=1.0, bob=None)
    bring(store, tmp_path, "ann", *rows())
    return store


def rows(score: float = 1.0, **changes: Any) -> list[dict[str, Any]]:
    full = {"choices": ["x", "y"], "answer": "A"}
    found: list[dict[str, Any]] = [
        {"key": f"q{i}", "subject": "law" if i % 2 else "math", "score": score} for i in range(6)
    ]
    for i, row in enumerate(found):
        row |= {"text": f"Question {i}?"} if i < 4 else {}
        row |= (full if i < 2 else {}) | changes
    return found


def names(store: Store) -> list[str]:
    with store.reading() as connection:
        return [row.name for row in imports.imports(connection)]


def removed(store: Store, kind: str, name: str, **options: Any) -> dict[str, Any]:
    return remove(store, Path("none"), kind, name, **options).as_json()


def test_an_import_is_listed(toy: Store) -> None:
    with toy.reading() as connection:
        [row] = imports.imports(connection)
    assert (row.name, row.command, row.file, row.format) == ("import-1", "import-results", "rows.jsonl", "table")
    assert (len(row.sha256), row.benchmarks, row.counts["scored"]) == (64, ["toy"], {"ann": 6})
    assert (row.counts["read"], row.counts["new_queries"], row.counts["skipped"]) == (6, 6, 0)


CHANGES: dict[str, list[dict[str, Any]]] = {
    "another expert": [{**row, "expert": "bob"} for row in rows(0.5)],
    "replaced scores": rows(0.0),
    "texts and answers": [
        {**row, "expert": "bob", "text": f"Question {i}?", "choices": ["x", "y"], "answer": "A"}
        for i, row in enumerate(rows())
    ],
    "new queries and subjects": [
        {"key": f"n{i}", "text": f"New {i}?", "subject": "maps", "score": 1, "expert": "bob"} for i in range(3)
    ],
    "refused contents": [{**row, "expert": "bob"} for row in rows(answer="B", text="Another?")[:1] + rows()[1:]],
    "costs": rows(0.0, tokens=12, cost=0.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_removing_an_import_gives_back_the_store(toy: Store, tmp_path: Path, change: str) -> None:
    before = content(toy)
    brought = [{"expert": "ann", **row} for row in CHANGES[change]]
    summary = bring(toy, tmp_path, "all", *brought, replace=True, new_subjects=True)
    assert differences(content(toy), before), "the import changes something"
    assert summary.import_name == "import-2"
    kept = content(toy)
    assert removed(toy, "import", "import-2", dry_run=True)["deleted"]["import"] == 1
    assert differences(content(toy), kept) == []
    removed(toy, "import", "import-2")
    assert differences(content(toy), before) == []


@sqlite_only
def test_the_first_import_leaves_an_empty_store(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None)
    before = content(store)
    bring(store, tmp_path, "ann", *rows())
    found = removed(store, "import", "1")
    assert found["deleted"] == {"benchmark": 1, "import": 1, "query": 6, "score": 6, "subject": 2}
    assert (differences(content(store), before), found["stays"]) == ([], [])
    bring(store, tmp_path, "ann", *rows())
    assert names(store) == ["import-2"], "names are never used again"


@sqlite_only
def test_the_same_file_again(toy: Store, tmp_path: Path) -> None:
    """The first time, two rows are of an unknown subject. The second import adds them to the run of the first."""
    brought = [*rows(0.5), {"key": "n", "subject": "maps", "score": 1, "cost": 2.0}]
    bring(toy, tmp_path, "bob", *brought)
    before = content(toy)
    assert bring(toy, tmp_path, "bob", *brought).import_name is None
    assert bring(toy, tmp_path, "bob", *brought, new_subjects=True).scored == {"bob": 1}
    with pytest.raises(UsageError, match="import-4 is of the same file since import-2: `benchcoe-jobs remove import"):
        removed(toy, "import", "import-2")
    removed(toy, "import", "import-4")
    assert differences(content(toy), before) == []


@sqlite_only
def test_queries_that_others_need_stay(toy: Store, tmp_path: Path) -> None:
    bring(toy, tmp_path, "bob", *rows(0.5)[:4])
    found = removed(toy, "import", "import-1")
    assert found["deleted"] == {"import": 1, "query": 2, "score": 6}
    assert found["stays"] == [
        "4 queries of it stay, because other results need them",
        "benchmark toy stays, because it is in use",
    ]
    bring(toy, tmp_path, "ann", *rows())
    alone = removed(toy, "expert", "bob")
    assert alone["deleted"]["score"] == 4
    assert removed(toy, "benchmark", "toy")["deleted"]["query"] == 6


@sqlite_only
def test_replaced_scores_come_back_in_the_order_of_the_imports(toy: Store, tmp_path: Path) -> None:
    before = content(toy)
    bring(toy, tmp_path, "ann", *rows(0.5), replace=True)
    between = content(toy)
    bring(toy, tmp_path, "ann", *rows(0.25)[:3], replace=True)
    for name in ("import-1", "import-2"):
        with pytest.raises(UsageError, match=r"import-[23] .* goes first"):
            removed(toy, "import", name)
    assert removed(toy, "import", "import-3")["restored"] == 3
    assert differences(content(toy), between) == []
    removed(toy, "import", "import-2")
    assert differences(content(toy), before) == []


@sqlite_only
def test_published_scores_and_queries_alone(toy: Store, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("subject,score,n\nlaw,0.5,10\nmath,0.25,10\n")
    before = content(toy)
    import_scores(toy, "bob", path, benchmark="toy")
    between = content(toy)
    path.write_text("subject,score,n\nlaw,0.75,10\n")
    import_scores(toy, "bob", path, benchmark="toy")
    with pytest.raises(UsageError, match="import-3 changed the same rows since import-2"):
        removed(toy, "import", "import-2")
    removed(toy, "import", "import-3")
    assert differences(content(toy), between) == []
    removed(toy, "import", "import-2")
    assert differences(content(toy), before) == []
    table = tmp_path / "toy.csv"
    table.write_text(
        "key,text,subject,answer\n" + "".join(f"q{i},Question {i}?,{'law' if i % 2 else 'math'},A\n" for i in range(9))
    )
    assert add_benchmark(toy, "toy", table).completed > 0
    removed(toy, "import", "import-4")
    assert differences(content(toy), before) == []


@sqlite_only
def test_worked_examples_come_back(store: Store, tmp_path: Path) -> None:
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "b")
        catalog.add_subjects(connection, benchmark_id, ["s"])
        for n in range(2):
            record = imports.begin(connection, "add-benchmark", "f", str(n))
            catalog.set_shots(connection, benchmark_id, {"s": {"preamble": str(n), "blocks": []}}, record)
            assert record.finish(["b"], {})
        assert prompt_inputs.stored_shots(connection, benchmark_id)["s"]["preamble"] == "1"
    removed(store, "import", "import-2")
    with store.reading() as connection:
        assert prompt_inputs.stored_shots(connection, benchmark_id)["s"]["preamble"] == "0"


@sqlite_only
def test_a_benchmark_and_an_expert_go_with_their_results(toy: Store, tmp_path: Path) -> None:
    before = content(toy)
    add_experts(toy, cat=None)
    brought = [{"key": f"k{i}", "text": f"T{i}", "subject": "s", "score": 1, "expert": "cat"} for i in range(3)]
    bring(toy, tmp_path, "all", *brought, new_subjects=True)
    removed(toy, "expert", "cat")
    left = content(toy)
    for table in ("expert", "run", "score", "score_sum", "pool_rank", "query_best"):
        assert left[table] == before[table]
    removed(toy, "benchmark", "toy")
    assert names(toy) == []
    assert not any(content(toy)[table] for table in ("benchmark", "subject", "stratum", "query", "run", "score"))


@pytest.fixture
def world(store: Store, tmp_path: Path) -> Store:
    routing_world.fill(store, tmp_path)
    return store


@sqlite_only
def test_what_a_router_needs_is_refused_until_it_goes(world: Store, tmp_path: Path) -> None:
    for kind, name in (("benchmark", "toy"), ("expert", "ann")):
        with pytest.raises(UsageError, match=r"router 'r' .*: `benchcoe-jobs remove router r` goes first"):
            removed(world, kind, name)
    with world.reading() as connection:
        [fingerprint] = connection.scalars(select(LabelSet.fingerprint))
    with pytest.raises(UsageError, match="router 'r' was trained on label set"):
        removed(world, "label-set", fingerprint[:12])
    assert list((tmp_path / "routers" / "r").iterdir())
    found = remove(world, tmp_path, "router", "r", dry_run=True)
    assert list((tmp_path / "routers" / "r").iterdir())
    assert remove(world, tmp_path, "router", "r").as_json() == found.as_json()
    assert not (tmp_path / "routers" / "r").exists()
    with pytest.raises(UsageError, match=r"label set .* names expert 'ann': `benchcoe-jobs remove label-set"):
        removed(world, "expert", "ann")
    assert removed(world, "label-set", fingerprint[:8])["deleted"] == {"label_set": 1}
    assert removed(world, "expert", "ann")["deleted"]["score"] == 2 * routing_world.N_TRAIN


def test_an_open_job_is_not_broken(toy: Store) -> None:
    with toy.writing() as connection:
        job_id, _ = jobs.open_job(connection, "profile", {"expert": "bob", "benchmarks": ["toy"]})
    for kind, name in (("import", "import-1"), ("benchmark", "toy"), ("expert", "bob")):
        with pytest.raises(UsageError, match=rf"job {job_id} \(profile\) is open .* `benchcoe-jobs cancel {job_id}`"):
            removed(toy, kind, name)
    removed(toy, "expert", "ann")
    cancel(toy, job_id)
    with toy.writing() as connection:
        jobs.close_job(connection, job_id, JobState.CANCELLED, None)
    removed(toy, "benchmark", "toy")


@sqlite_only
def test_a_repair_is_undone_first(store: Store, tmp_path: Path) -> None:
    add_experts(store, ann=None)
    same = {"text": "Same?", "subject": "law", "score": 1}
    bring(store, tmp_path, "ann", {**same, "key": "a", "split": "train"}, {**same, "key": "b", "split": "test"})
    repair_duplicates(store, "toy")
    with pytest.raises(UsageError, match="`benchcoe-jobs audit --benchmark toy --undo duplicates` goes first"):
        removed(store, "import", "import-1")


@sqlite_only
def test_replaced_answers_come_back_with_what_was_extracted(toy: Store, tmp_path: Path) -> None:
    with toy.writing() as connection:
        benchmark_id, ann = catalog.ensure_benchmark(connection, "toy"), experts.find_expert(connection, "ann")
        run_id = responses.ensure_run(connection, ann, benchmark_id, {"engine": "echo"})
        query = catalog.stored_queries(connection, benchmark_id)["q0"]
        answer = NewScore(query.id, query.stratum_id, 0.125, extracted="A", rule="letter", text="A", claimed="B")
        responses.write_scores(connection, ann, run_id, [answer])
        aggregates.refresh(connection, [benchmark_id], {(ann, query.stratum_id)})
    before = content(toy)
    bring(toy, tmp_path, "ann", *rows(0.5), replace=True)
    assert not content(toy)["extraction"], "the imported score was not extracted from the response"
    removed(toy, "import", "import-2")
    assert differences(content(toy), before) == []


@sqlite_only
def test_measured_answers_stay(toy: Store, tmp_path: Path) -> None:
    """The expert was asked after the import: its new scores are not taken back."""
    bring(toy, tmp_path, "ann", *rows(0.5), replace=True)
    with toy.writing() as connection:
        benchmark_id, ann = catalog.ensure_benchmark(connection, "toy"), experts.find_expert(connection, "ann")
        query = catalog.stored_queries(connection, benchmark_id)["q0"]
        run_id = responses.ensure_run(connection, ann, benchmark_id, {"engine": "echo"})
        responses.write_scores(connection, ann, run_id, [NewScore(query.id, query.stratum_id, 0.125, text="A")])
        aggregates.refresh(connection, [benchmark_id], {(ann, query.stratum_id)})
    assert removed(toy, "import", "import-2")["restored"] == 5
    with toy.reading() as connection:
        [measured] = connection.scalars(select(Run.id).where(Run.import_id.is_(None)))
        assert responses.scored_by(connection, ann, benchmark_id)[query.id] == measured
