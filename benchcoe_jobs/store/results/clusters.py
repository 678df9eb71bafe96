"""Subjects that `add-subjects` made: clusters of the questions of one other subject, their origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from benchcoe_jobs.domain import Split
from benchcoe_jobs.store.results import catalog
from benchcoe_jobs.store.tables import Query, Stratum, Subject


@dataclass(frozen=True, slots=True)
class SubjectSize:
    """A subject with queries: its id, its name, that of its origin if it is a cluster, and its queries by split."""

    id: int
    name: str
    origin_id: int | None
    n_queries: Mapping[str, int]


def sizes(connection: Connection, benchmark_id: int) -> list[SubjectSize]:
    """The subjects of a benchmark that have queries, by name."""
    rows = connection.execute(
        select(Subject.id, Subject.name, Subject.origin_id, Stratum.split, Stratum.n_queries)
        .join(Stratum, Stratum.subject_id == Subject.id)
        .where(Subject.benchmark_id == benchmark_id)
        .order_by(Subject.name)
    )
    found: dict[int, SubjectSize] = {}
    for id_, name, origin_id, split, n_queries in rows:
        subject = found.setdefault(id_, SubjectSize(id_, name, origin_id, {each.value: 0 for each in Split}))
        found[id_] = SubjectSize(id_, name, origin_id, {**subject.n_queries, split: n_queries})
    return [subject for subject in found.values() if any(subject.n_queries.values())]


def add(connection: Connection, benchmark_id: int, origin_id: int, names: Sequence[str]) -> None:
    """Add the clusters of a subject. They belong to the import that brought it, and are removed with it."""
    import_id = connection.scalar(select(Subject.import_id).where(Subject.id == origin_id))
    ids = catalog.add_subjects(connection, benchmark_id, names, import_id)
    added = [ids[name] for name in names]
    connection.execute(update(Subject).where(Subject.id.in_(added)).values(origin_id=origin_id))


def moves(connection: Connection, benchmark_id: int, cluster_of: Mapping[int, str]) -> dict[int, int]:
    """Query id -> the stratum of its cluster in the split that it is in; `cluster_of` maps query id -> cluster."""
    strata = _strata(connection, benchmark_id)
    ids = catalog.subject_ids(connection, benchmark_id)
    rows = connection.execute(
        select(Query.id, Stratum.split)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .where(Query.benchmark_id == benchmark_id)
    )
    return {id_: strata[ids[cluster_of[id_]], split] for id_, split in rows if id_ in cluster_of}


def moves_back(connection: Connection, benchmark_id: int) -> dict[int, int]:
    """Query id -> the stratum of its origin in the split that it is in, of every query in a cluster."""
    strata = _strata(connection, benchmark_id)
    rows = connection.execute(
        select(Query.id, Subject.origin_id, Stratum.split)
        .join(Stratum, Stratum.id == Query.stratum_id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Query.benchmark_id == benchmark_id, Subject.origin_id.is_not(None))
    )
    return {id_: strata[origin_id, split] for id_, origin_id, split in rows if origin_id is not None}


def _strata(connection: Connection, benchmark_id: int) -> dict[tuple[int, str], int]:
    """(subject id, split) -> stratum id."""
    rows = connection.execute(
        select(Stratum.subject_id, Stratum.split, Stratum.id)
        .join(Subject, Subject.id == Stratum.subject_id)
        .where(Subject.benchmark_id == benchmark_id)
    )
    return {(subject_id, split): id_ for subject_id, split, id_ in rows}
