"""Remove an expert with its results, and a benchmark with all that belongs to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, select, update

from benchcoe_jobs.store.job_queue.removal import remove_jobs
from benchcoe_jobs.store.job_queue.tables import Job, ShardGroup, Worker
from benchcoe_jobs.store.removal.earlier_rows import parts
from benchcoe_jobs.store.removal.imports import remove_queries, remove_run, remove_subjects
from benchcoe_jobs.store.removal.routers import remove_label_sets
from benchcoe_jobs.store.removal.tally import Removal
from benchcoe_jobs.store.results import aggregates, pictures
from benchcoe_jobs.store.results.checks import ExpertCheck
from benchcoe_jobs.store.results.import_tables import EarlierRow, Import
from benchcoe_jobs.store.results.imports import BROUGHT, KEPT, imports, key_columns
from benchcoe_jobs.store.results.settling import StratumEstimate
from benchcoe_jobs.store.tables import (
    Benchmark,
    Expert,
    LabelSet,
    PoolMember,
    PoolRank,
    Query,
    QueryBest,
    Repair,
    ReportedScore,
    Run,
    ScoreSum,
    Subject,
)


def remove_expert(connection: Connection, expert_id: int, name: str) -> Removal:
    """Delete an expert with its results, its memberships in pools and its ended jobs. Queries that it brought stay.

    The caller has made sure that no open job, label set, evaluation or submitted file names it.
    """
    removal = Removal()
    _remove_ended_jobs(connection, select(ShardGroup.job_id).where(ShardGroup.expert_id == expert_id), removal)
    connection.execute(update(Worker).where(Worker.expert_id == expert_id).values(expert_id=None))
    runs = connection.scalars(select(Run.id).where(Run.expert_id == expert_id)).all()
    changed = {pair for run_id in runs for pair in remove_run(connection, run_id, expert_id, removal)}
    for table in (ReportedScore, PoolMember, Repair, ExpertCheck):
        removal.delete(connection, delete(table).where(table.expert_id == expert_id))
    removal.delete(connection, delete(Run).where(Run.expert_id == expert_id))
    aggregates.refresh(connection, connection.scalars(select(Benchmark.id)).all(), changed)
    for materialised in (ScoreSum, StratumEstimate, PoolRank, QueryBest):
        connection.execute(delete(materialised).where(materialised.expert_id == expert_id))
    removal.delete(connection, delete(Expert).where(Expert.id == expert_id))
    _forget_earlier_rows(connection, {"expert_id": {expert_id}, "run_id": set(runs)})
    for row in imports(connection):
        if name in row.counts.get("scored", {}):
            row.counts["scored"].pop(name)
            connection.execute(update(Import).where(Import.id == row.id).values(counts=row.counts))
    _forget_empty_imports(connection, removal)
    return removal


def remove_benchmark(connection: Connection, benchmark_id: int, name: str) -> Removal:
    """Delete a benchmark with its queries, all results on them, its label sets and its ended jobs.

    The caller has made sure that no open job and no router needs it. Experts stay.
    """
    removal = Removal()
    _remove_ended_jobs(connection, select(ShardGroup.job_id).where(ShardGroup.benchmark_id == benchmark_id), removal)
    sets = connection.scalars(select(LabelSet.id).where(LabelSet.benchmark_id == benchmark_id)).all()
    remove_label_sets(connection, list(sets), removal)
    subject_ids = set(connection.scalars(select(Subject.id).where(Subject.benchmark_id == benchmark_id)))
    query_ids = set(connection.scalars(select(Query.id).where(Query.benchmark_id == benchmark_id)))
    runs = connection.execute(select(Run.id, Run.expert_id).where(Run.benchmark_id == benchmark_id)).all()
    for run_id, expert_id in runs:
        remove_run(connection, run_id, expert_id, removal)
    removal.delete(connection, delete(Run).where(Run.benchmark_id == benchmark_id))
    for table in (Repair, ExpertCheck):
        connection.execute(delete(table).where(table.benchmark_id == benchmark_id))
    for part in parts(subject_ids):
        removal.delete(connection, delete(ReportedScore).where(ReportedScore.subject_id.in_(part)))
    remove_queries(connection, Query.benchmark_id == benchmark_id, removal)
    remove_subjects(connection, Subject.benchmark_id == benchmark_id, removal)
    removal.delete(connection, delete(Benchmark).where(Benchmark.id == benchmark_id))
    ids = {"query_id": query_ids, "subject_id": subject_ids, "id": subject_ids, "run_id": {run.id for run in runs}}
    _forget_earlier_rows(connection, ids)
    pictures.remove_unused(connection)
    for row in imports(connection):
        if name in row.benchmarks:
            others = [benchmark for benchmark in row.benchmarks if benchmark != name]
            connection.execute(update(Import).where(Import.id == row.id).values(benchmarks=others))
    _forget_empty_imports(connection, removal)
    return removal


def _remove_ended_jobs(connection: Connection, ids, removal: Removal) -> None:  # type: ignore[no-untyped-def]
    """Delete the ended jobs among some; they could not be retried any more."""
    jobs = connection.scalars(select(Job.id).where(Job.id.in_(ids))).all()
    remove_jobs(connection, jobs)
    if jobs:
        removal.deleted["job"] += len(jobs)


def _forget_earlier_rows(connection: Connection, gone: Mapping[str, Collection[int]]) -> None:
    """Delete the earlier rows whose key names an id that is gone: column of a key -> ids."""
    rows = connection.execute(select(EarlierRow.import_id, EarlierRow.table_name, EarlierRow.key)).all()
    for import_id, table, key in rows:
        if any(
            id_ in gone.get(column, ()) for column, id_ in zip(key_columns(KEPT[table]), json.loads(key), strict=True)
        ):
            connection.execute(
                delete(EarlierRow).where(
                    EarlierRow.import_id == import_id, EarlierRow.table_name == table, EarlierRow.key == key
                )
            )


def _forget_empty_imports(connection: Connection, removal: Removal) -> None:
    """Delete the imports of which nothing is left."""
    left = set(connection.scalars(select(EarlierRow.import_id).distinct()))
    for table in BROUGHT:
        left |= set(connection.scalars(select(table.import_id).distinct()))
    empty = [row.id for row in imports(connection) if row.id not in left]
    for part in parts(empty):
        removal.delete(connection, delete(Import).where(Import.id.in_(part)))
