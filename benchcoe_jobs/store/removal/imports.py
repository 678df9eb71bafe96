"""Remove an import: what it added goes, and what it changed is as it was before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, false, func, or_, select, union_all, update
from sqlalchemy.orm import aliased

from benchcoe_jobs.domain import RECORDED
from benchcoe_jobs.store.job_queue.tables import BatchLine, ShardGroup, Worker
from benchcoe_jobs.store.removal import earlier_rows
from benchcoe_jobs.store.removal.tally import Removal
from benchcoe_jobs.store.results import aggregates, pictures
from benchcoe_jobs.store.results.import_tables import EarlierRow, Import
from benchcoe_jobs.store.results.imports import ImportRow
from benchcoe_jobs.store.results.settling import SettlingRound, StratumEstimate
from benchcoe_jobs.store.routing.tables import Decision, Evaluation, Router, ServedDecision, ServedOutcome
from benchcoe_jobs.store.tables import (
    Benchmark,
    Expert,
    Extraction,
    FrozenQueryLabel,
    FrozenSubjectLabel,
    LabelSet,
    PoolMember,
    PoolRank,
    Query,
    QueryBest,
    QueryContent,
    QueryPicture,
    QueryVariant,
    Repair,
    ReportedScore,
    Response,
    Run,
    Score,
    ScoreSum,
    Stratum,
    Subject,
)
from benchcoe_jobs.wording import counted


def brought_experts(connection: Connection, row: ImportRow) -> list[str]:
    """The names of the experts that an import registered."""
    return list(connection.scalars(select(Expert.name).where(Expert.import_id == row.id)))


def later_import(connection: Connection, row: ImportRow) -> tuple[int, str] | None:
    """The id of the latest import that builds on this one, and why; None if there is none.

    It replaced scores of this one, changed a row that this one changed too, or is of the same file.
    """
    own, later = EarlierRow, aliased(EarlierRow)
    same_row = (
        select(func.max(later.import_id))
        .join(own, (own.table_name == later.table_name) & (own.key == later.key))
        .where(own.import_id == row.id, later.import_id > row.id)
    )
    runs = select(Run.id).where(Run.import_id == row.id)
    replaced = select(func.max(own.import_id)).where(
        own.import_id > row.id, own.table_name == "score", own.content["run_id"].as_integer().in_(runs)
    )
    same_file = select(func.max(Import.id)).where(
        Import.id > row.id, Import.sha256 == row.sha256, Import.command == row.command
    )
    reasons = [
        (connection.scalar(same_file), "is of the same file"),
        (connection.scalar(replaced), "replaced scores of it"),
        (connection.scalar(same_row), "changed the same rows"),
    ]
    found = [(id_, why) for id_, why in reasons if id_ is not None]
    return max(found, default=None)


def repair_of(connection: Connection, row: ImportRow) -> tuple[str, str, str | None] | None:
    """(kind, benchmark, expert) of a repair that is not undone and moved scores or queries of an import; or None."""
    runs = dict(connection.execute(select(Run.fingerprint, Run.id).where(Run.import_id == row.id)).all())
    repaired = [
        run
        for run in connection.execute(
            select(Run.provenance, Expert.name.label("expert"), Benchmark.name.label("benchmark"))
            .join(Expert, Expert.id == Run.expert_id)
            .join(Benchmark, Benchmark.id == Run.benchmark_id)
            .where(exists().where(Score.expert_id == Run.expert_id, Score.run_id == Run.id))
            .where(Run.import_id.is_(None))
        )
        if run.provenance.get("of_run") in runs
    ]
    if repaired:
        return "order", repaired[0].benchmark, repaired[0].expert
    open_repairs = connection.execute(
        select(Repair.moves, Benchmark.name)
        .join(Benchmark, Benchmark.id == Repair.benchmark_id)
        .where(Repair.kind == "duplicates", Repair.undone_at.is_(None))
    ).all()
    if open_repairs:
        brought = set(connection.scalars(select(Query.id).where(Query.import_id == row.id)))
        for moves, benchmark in open_repairs:
            if any(move[0] in brought for move in moves):
                return "duplicates", benchmark, None
    return None


def remove_import(connection: Connection, row: ImportRow) -> Removal:
    """Remove an import on which no later one builds. The caller has made sure of that, and that no job needs it.

    Queries that others have scores on, and whatever else is in use, stay; the removal says so.
    """
    removal = Removal()
    benchmark_ids = set(connection.scalars(select(Benchmark.id).where(Benchmark.name.in_(row.benchmarks))))
    changed = _remove_results(connection, row.id, removal)
    restored, removal.restored = earlier_rows.restore(connection, row.id)
    _keep_used_queries(connection, row, removal)
    remove_queries(connection, Query.import_id == row.id, removal)
    aggregates.refresh(connection, benchmark_ids, changed | restored)
    removal.delete(connection, delete(Run).where(Run.import_id == row.id))
    remove_subjects(connection, (Subject.import_id == row.id) & _unused(Subject), removal)
    removal.delete(connection, delete(Benchmark).where(Benchmark.import_id == row.id, _unused(Benchmark)))
    of_expert = (Expert.import_id == row.id) & (Expert.engine == RECORDED) & _unused(Expert)
    gone = select(Expert.id).where(of_expert)
    for table in (ScoreSum, PoolRank):
        connection.execute(delete(table).where(table.expert_id.in_(gone)))
    removal.delete(connection, delete(Expert).where(of_expert))
    _disown(connection, row.id, removal)
    connection.execute(delete(EarlierRow).where(EarlierRow.import_id == row.id))
    removal.delete(connection, delete(Import).where(Import.id == row.id))
    pictures.remove_unused(connection)
    return removal


def remove_queries(connection: Connection, which: ColumnElement[bool], removal: Removal) -> None:
    """Delete queries with their contents, and count those that their strata have left. No score may name them."""
    ids = select(Query.id).where(which)
    strata = connection.scalars(select(Query.stratum_id).where(which).distinct()).all()
    for table in (QueryPicture, QueryContent, QueryVariant, QueryBest):
        connection.execute(delete(table).where(table.query_id.in_(ids)))
    removal.delete(connection, delete(Query).where(which))
    n_queries = select(func.count()).select_from(Query).where(Query.stratum_id == Stratum.id).scalar_subquery()
    for part in earlier_rows.parts(strata):
        connection.execute(update(Stratum).where(Stratum.id.in_(part)).values(n_queries=n_queries))


def remove_subjects(connection: Connection, which: ColumnElement[bool], removal: Removal) -> None:
    """Delete subjects without queries, with their strata and what is materialised of these."""
    ids = connection.scalars(select(Subject.id).where(which)).all()
    for part in earlier_rows.parts(ids):
        strata = select(Stratum.id).where(Stratum.subject_id.in_(part))
        for table in (QueryBest, PoolRank, ScoreSum, StratumEstimate, SettlingRound):
            connection.execute(delete(table).where(table.stratum_id.in_(strata)))
        connection.execute(delete(Stratum).where(Stratum.subject_id.in_(part)))
        keys = [json.dumps([id_]) for id_ in part]
        connection.execute(delete(EarlierRow).where(EarlierRow.table_name == "subject", EarlierRow.key.in_(keys)))
        removal.delete(connection, delete(Subject).where(Subject.id.in_(part)))


def remove_unused_clusters(connection: Connection, benchmark_id: int) -> list[str]:
    """Delete the clusters of a benchmark that nothing refers to. Returns the names of the others."""
    made = (Subject.benchmark_id == benchmark_id) & Subject.origin_id.is_not(None)
    remove_subjects(connection, made & _unused(Subject), Removal())
    return list(connection.scalars(select(Subject.name).where(made).order_by(Subject.name)))


def remove_run(connection: Connection, run_id: int, expert_id: int, removal: Removal) -> set[tuple[int, int]]:
    """Delete the scores and responses of a run. Returns the (expert id, stratum id) that lost scores."""
    of_run = (Score.expert_id == expert_id) & (Score.run_id == run_id)
    strata = set(connection.scalars(select(Score.stratum_id).where(of_run).distinct()))
    scored = select(Score.query_id).where(of_run)
    connection.execute(delete(Extraction).where(Extraction.expert_id == expert_id, Extraction.query_id.in_(scored)))
    removal.delete(connection, delete(Score).where(of_run))
    removal.delete(connection, delete(Response).where(Response.run_id == run_id))
    connection.execute(delete(QueryVariant).where(QueryVariant.run_id == run_id))
    return {(expert_id, stratum_id) for stratum_id in strata}


def _remove_results(connection: Connection, import_id: int, removal: Removal) -> set[tuple[int, int]]:
    changed: set[tuple[int, int]] = set()
    runs = connection.execute(select(Run.id, Run.expert_id).where(Run.import_id == import_id)).all()
    for run_id, expert_id in runs:
        changed |= remove_run(connection, run_id, expert_id, removal)
    return changed


def _keep_used_queries(connection: Connection, row: ImportRow, removal: Removal) -> None:
    """Let the queries stay that something else needs: they belong to no import any more."""
    kept_later = select(EarlierRow.key).where(EarlierRow.table_name == "query_content", EarlierRow.import_id > row.id)
    completed = {json.loads(key)[0] for key in connection.scalars(kept_later)}
    needed = {
        "other results": or_(Query.id.in_(select(Score.query_id)), Query.id.in_(select(Response.query_id))),
        "label sets": Query.id.in_(select(FrozenQueryLabel.query_id)),
        "evaluations": Query.id.in_(select(Decision.query_id)),
        "later files with their texts": or_(false(), *(Query.id.in_(ids) for ids in earlier_rows.parts(completed))),
    }
    for why, condition in needed.items():
        used = update(Query).where(Query.import_id == row.id, condition).values(import_id=None)
        if (n := connection.execute(used).rowcount) > 0:
            removal.stays.append(f"{counted(n, 'query', 'queries')} of it stay, because {why} need them")


def _disown(connection: Connection, import_id: int, removal: Removal) -> None:
    """Let what is left of an import belong to none, and say which experts and benchmarks stay."""
    for table, word in ((Expert, "expert"), (Benchmark, "benchmark")):
        names = connection.scalars(select(table.name).where(table.import_id == import_id)).all()
        if names:
            removal.stays.append(f"{word} {', '.join(names)} stays, because it is in use")
    for owner in (Expert, Benchmark, Subject):
        connection.execute(update(owner).where(owner.import_id == import_id).values(import_id=None))


def _unused(table: Any) -> ColumnElement[bool]:
    """Whether nothing refers to a row."""
    cluster = aliased(Subject)
    references: dict[Any, Sequence[Any]] = {
        Subject: (
            select(Stratum.subject_id).join(Query, Query.stratum_id == Stratum.id),
            select(ReportedScore.subject_id),
            select(FrozenSubjectLabel.subject_id),
            select(Decision.subject_id).where(Decision.subject_id.is_not(None)),
            select(cluster.origin_id)  # its queries can be put back
            .join(Stratum, Stratum.subject_id == cluster.id)
            .join(Query, Query.stratum_id == Stratum.id)
            .where(cluster.origin_id.is_not(None)),
        ),
        Benchmark: tuple(
            select(each.benchmark_id).where(each.benchmark_id.is_not(None))
            for each in (Subject, Query, Run, Repair, LabelSet, Router, Evaluation, ShardGroup)
        ),
        Expert: (
            select(ServedDecision.chosen_id),
            *(
                select(each.expert_id).where(each.expert_id.is_not(None))
                for each in (
                    *(PoolMember, Run, ReportedScore, Repair, FrozenSubjectLabel, FrozenQueryLabel, Decision),
                    *(ServedDecision, ServedOutcome, ShardGroup, Worker, BatchLine),
                )
            ),
        ),
    }
    return table.id.not_in(union_all(*references[table]))  # type: ignore[no-any-return]
