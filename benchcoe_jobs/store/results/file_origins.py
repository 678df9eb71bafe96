"""Which scores were imported and which were measured, and which files had which contents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.tables import Expert, QueryVariant, Run, Score, ScoreSum, Stratum, Subject

_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


@dataclass(frozen=True, slots=True)
class ImportRun:
    """A run whose results were imported: its expert, the SHA-256 of the file, and the rest of its provenance."""

    id: int
    expert_id: int
    expert: str
    sha256: str
    choices: Mapping[str, Any]


def import_runs(connection: Connection, benchmark_id: int) -> dict[int, ImportRun]:
    """The imported runs on a benchmark by id, the oldest first."""
    rows = connection.execute(
        select(Run.id, Run.expert_id, Expert.name, Run.provenance)
        .join(Expert, Expert.id == Run.expert_id)
        .where(Run.benchmark_id == benchmark_id)
        .order_by(Run.id)
    )
    return {
        id_: ImportRun(
            id_, expert_id, name, provenance["sha256"], {k: v for k, v in provenance.items() if k != "sha256"}
        )
        for id_, expert_id, name, provenance in rows
        if "sha256" in provenance
    }


def is_measured(provenance: Collection[str]) -> bool:
    """Whether the responses of a run with this provenance came from the expert's engine, and not from a file.

    A repair moves imported scores: measured ones came with their questions.
    """
    return "sha256" not in provenance and "repaired_order" not in provenance


def imported_queries(connection: Connection, expert_id: int, benchmark_id: int) -> set[int]:
    """Ids of the queries of a benchmark on which an expert's score was imported."""
    found = _runs(connection, Run.expert_id == expert_id, Run.benchmark_id == benchmark_id)
    runs = [id_ for id_, measured in found.get(expert_id, {}).items() if not measured]
    if not runs:
        return set()
    return set(connection.scalars(select(Score.query_id).where(Score.expert_id == expert_id, Score.run_id.in_(runs))))


@dataclass(frozen=True, slots=True)
class ImportedShare:
    """How many of an expert's scores in a split were imported."""

    expert: str
    imported: int
    scores: int


def imported_shares(
    connection: Connection, benchmark_id: int, split: str, experts: Mapping[str, int]
) -> list[ImportedShare]:
    """The experts (name -> id) with scores in a split of a benchmark, by name."""
    shares = []
    strata = (
        select(Stratum.id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Subject.benchmark_id == benchmark_id, Stratum.split == split)
    )
    sums = select(ScoreSum.expert_id, func.sum(ScoreSum.n)).where(ScoreSum.stratum_id.in_(strata))
    n_scores: dict[int, int] = dict(connection.execute(sums.group_by(ScoreSum.expert_id)).all())
    runs = _runs(connection, Run.benchmark_id == benchmark_id)
    for name, expert_id in experts.items():
        from_files = [id_ for id_, measured in runs.get(expert_id, {}).items() if not measured]
        n = int(n_scores.get(expert_id, 0))
        imported = n if from_files else 0
        if 0 < len(from_files) < len(runs.get(expert_id, {})):
            in_split = Score.expert_id == expert_id, Score.stratum_id.in_(strata)
            count = select(func.count()).select_from(Score).where(*in_split, Score.run_id.in_(from_files))
            imported = connection.scalar(count) or 0
        if n:
            shares.append(ImportedShare(name, imported, n))
    return shares


def write_variants(connection: Connection, rows: Sequence[tuple[int, int, str]], record: ImportRecord) -> None:
    """Store the contents that were refused: (run id, query id, content hash)."""
    for run_id in {row[0] for row in rows}:
        record.before_rows_of_run(QueryVariant, run_id, [row[1] for row in rows if row[0] == run_id])
    bulk.insert(connection, QueryVariant, ["run_id", "query_id", "content_hash"], rows)


def variants(connection: Connection, query_ids: Collection[int]) -> list[tuple[int, int, str]]:
    """(run id, query id, content hash) of every refused content of some queries."""
    return [
        (run_id, query_id, content_hash)
        for ids in _parts(query_ids)
        for run_id, query_id, content_hash in connection.execute(
            select(QueryVariant.run_id, QueryVariant.query_id, QueryVariant.content_hash).where(
                QueryVariant.query_id.in_(ids)
            )
        )
    ]


def scoring_runs(
    connection: Connection, expert_ids: Collection[int], query_ids: Collection[int]
) -> list[tuple[int, int]]:
    """(query id, run id) of every score of some experts on some queries."""
    return [
        (query_id, run_id)
        for ids in _parts(query_ids)
        for query_id, run_id in connection.execute(
            select(Score.query_id, Score.run_id).where(Score.expert_id.in_(expert_ids), Score.query_id.in_(ids))
        )
    ]


def _runs(connection: Connection, *conditions: ColumnElement[bool]) -> dict[int, dict[int, bool]]:
    """Expert id -> run id -> whether the run was measured."""
    found: dict[int, dict[int, bool]] = {}
    for expert_id, run_id, provenance in connection.execute(
        select(Run.expert_id, Run.id, Run.provenance).where(*conditions)
    ):
        found.setdefault(expert_id, {})[run_id] = is_measured(provenance)
    return found


def _parts(ids: Collection[int]) -> Iterable[list[int]]:
    listed = sorted(ids)
    return (listed[start : start + _IDS_AT_ONCE] for start in range(0, len(listed), _IDS_AT_ONCE))
