"""Score stored responses again, without an engine, and report which labels change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from benchcoe_jobs import registry
from benchcoe_jobs.benchmarks.base import Benchmark
from benchcoe_jobs.domain import ScoredAnswer
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.services.label_flips import Flip, flips
from benchcoe_jobs.store.labels import live_labels
from benchcoe_jobs.store.results import aggregates, catalog, prompt_inputs, rescoring
from benchcoe_jobs.store.results.rescoring import Change
from benchcoe_jobs.store.session import Store

_BATCH = 500


@dataclass
class Rescored:
    """How many responses were scored, how many scores changed, and which labels changed with them.

    `query_flips` counts the query labels that changed, by pool.
    """

    benchmark: str
    dry_run: bool
    scored: int = 0
    changed: int = 0
    subject_flips: list[Flip] = field(default_factory=list)
    query_flips: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON object."""
        return asdict(self)


def rescore(
    store: Store, name: str, *, dry_run: bool = False, progress: Callable[[int], None] = lambda responses: None
) -> Rescored:
    """Score every stored response of a benchmark again that its scorer has scored. `dry_run` changes nothing.

    Scores that were imported as scores stay, and so do those of queries without stored content. `progress` is called
    with the number of responses scored. Raises UsageError for a benchmark without a scorer.
    """
    with store.reading() as connection:
        benchmark_id, name = catalog.find_benchmark(connection, name)
        if name not in registry.names("benchmarks"):
            raise UsageError(f"benchmark {name!r} has no scorer here: replace its scores with import-results --replace")
        benchmark: Benchmark = registry.load("benchmarks", name)()
        report = Rescored(name, dry_run)
        # Scoring takes long and must not block other writers; the changes are few.
        changes = list(_changes(connection, benchmark_id, benchmark, report, progress))
    with store.writing() as connection:
        before = live_labels.all_labels(connection, benchmark_id)
        report.changed = rescoring.apply(connection, changes)
        changed = {(change.expert_id, change.stratum_id) for change in changes if change.changes_score}
        aggregates.refresh(connection, [benchmark_id], changed)
        after = live_labels.all_labels(connection, benchmark_id)
        if dry_run:
            connection.rollback()
    report.subject_flips, report.query_flips = flips(before, after)
    return report


def _changes(
    connection: Connection,
    benchmark_id: int,
    benchmark: Benchmark,
    report: Rescored,
    progress: Callable[[int], None],
) -> Iterator[Change]:
    ids = [query.id for query in prompt_inputs.promptable(connection, benchmark_id, None, None)]
    for run_id in rescoring.runs(connection, benchmark_id):
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            rows = rescoring.scored(connection, run_id, batch)
            contents = prompt_inputs.contents(connection, [row.query_id for row in rows])
            for row in rows:
                new = benchmark.score(row.text, contents[row.query_id])
                if new != ScoredAnswer(row.value, row.answer, row.rule):
                    yield Change(row.expert_id, row.query_id, row.stratum_id, run_id, row.value, new)
            report.scored += len(rows)
            progress(len(rows))
