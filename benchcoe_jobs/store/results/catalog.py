"""Benchmarks, their subjects and their queries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import aliased

from benchcoe_jobs.domain import Query as DomainQuery
from benchcoe_jobs.domain import RouterInput, Split, assign_split
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import pictures
from benchcoe_jobs.store.results.imports import ImportRecord
from benchcoe_jobs.store.results.joins import HAS_QUESTION, QUERIES, SOURCE_REFS, QueryRef
from benchcoe_jobs.store.tables import Benchmark, Query, QueryContent, Stratum, Subject

_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""


@dataclass(frozen=True, slots=True)
class StoredQuery(QueryRef):
    """A QueryRef with the hash of its content, by which an import recognises a query.

    The subject is that of its source.
    """

    content_hash: str

    def is_like(self, query: DomainQuery) -> bool:
        """Whether subject and content are the same."""
        return (self.subject, self.content_hash) == (query.subject, query.content_hash)


@dataclass(frozen=True, slots=True)
class Question(QueryRef):
    """A QueryRef with what a router sees of the query."""

    router_input: RouterInput


def ensure_benchmark(connection: Connection, name: str, import_id: int | None = None) -> int:
    """The id of a benchmark, which is created if it does not exist, by the import `import_id` if there is one.

    Until the transaction ends, no other one adds queries to it: two imports would count the same new queries twice.
    """
    locked = select(Benchmark.id).where(Benchmark.name == name).with_for_update(key_share=True)
    while (found := connection.scalar(locked)) is None:  # another transaction may have removed it just now
        bulk.insert_new(connection, Benchmark, name=name, import_id=import_id)
    return found


def lock_benchmark(connection: Connection, name: str) -> None:
    """Let no other transaction add queries to a benchmark, or remove it, before this one ends."""
    connection.execute(select(Benchmark.id).where(Benchmark.name == name).with_for_update())


def benchmark_ids(connection: Connection) -> dict[str, int]:
    """Benchmark name -> id."""
    return {
        row.name: row.id for row in connection.execute(select(Benchmark.name, Benchmark.id).order_by(Benchmark.name))
    }


def find_benchmark(connection: Connection, name: str | None) -> tuple[int, str]:
    """Id and name of a benchmark; None selects the only benchmark of the store. Raises UsageError."""
    known = benchmark_ids(connection)
    if name is None and len(known) == 1:
        name = next(iter(known))
    if name is None:
        hint = f"name one with --benchmark: {', '.join(known)}" if known else "import some results first"
        raise UsageError(f"there are {len(known)} benchmarks in the store: {hint}")
    if name not in known:
        raise UsageError(f"unknown benchmark {name!r}; the store has {', '.join(known) or 'none yet'}")
    return known[name], name


def subject_ids(connection: Connection, benchmark_id: int) -> dict[str, int]:
    """Subject name -> id."""
    query = select(Subject.name, Subject.id).where(Subject.benchmark_id == benchmark_id).order_by(Subject.name)
    return {row.name: row.id for row in connection.execute(query)}


def add_subjects(
    connection: Connection, benchmark_id: int, names: Iterable[str], import_id: int | None = None
) -> dict[str, int]:
    """Add the subjects that do not exist, each with its three strata. Returns all subjects, name -> id."""
    known = subject_ids(connection, benchmark_id)
    new = sorted(set(names) - set(known))
    if new:
        added = [(benchmark_id, name, import_id) for name in new]
        bulk.insert(connection, Subject, ["benchmark_id", "name", "import_id"], added)
        known = subject_ids(connection, benchmark_id)
        strata = [(known[name], split.value, 0) for name in new for split in Split]
        bulk.insert(connection, Stratum, ["subject_id", "split", "n_queries"], strata)
    return known


def stored_queries(connection: Connection, benchmark_id: int) -> dict[str, StoredQuery]:
    """All queries of a benchmark by key."""
    rows = connection.execute(
        SOURCE_REFS.join(QueryContent, QueryContent.query_id == Query.id)
        .add_columns(QueryContent.content_hash)
        .where(Query.benchmark_id == benchmark_id)
    ).all()
    return {row.key: StoredQuery(*row) for row in rows}


def add_queries(
    connection: Connection, benchmark_id: int, queries: Sequence[DomainQuery], import_id: int | None = None
) -> dict[str, StoredQuery]:
    """Add queries, whose keys must be new. Returns them by key. A query without a split is assigned one."""
    if not queries:
        return {}
    subjects = add_subjects(connection, benchmark_id, {query.subject for query in queries}, import_id)
    strata = {
        (row.subject_id, row.split): row.id
        for row in connection.execute(
            select(Stratum.id, Stratum.subject_id, Stratum.split).where(Stratum.subject_id.in_(subjects.values()))
        )
    }
    hashes = [query.content_hash for query in queries]
    splits = [query.split or assign_split(query.split_hash) for query in queries]
    placed = [strata[subjects[query.subject], split] for query, split in zip(queries, splits, strict=True)]
    before = connection.scalar(select(func.max(Query.id))) or 0
    bulk.insert(
        connection,
        Query,
        ["benchmark_id", "stratum_id", "key", "import_id"],
        ((benchmark_id, stratum, query.key, import_id) for query, stratum in zip(queries, placed, strict=True)),
    )
    rows = connection.execute(
        select(Query.key, Query.id).where(Query.benchmark_id == benchmark_id, Query.id > before)
    ).all()
    ids = {row.key: row.id for row in rows}
    bulk.insert(
        connection,
        QueryContent,
        ["query_id", "content_hash", "text", "choices", "answer", "source"],
        (
            (ids[query.key], content_hash, query.text, json.dumps(query.choices), query.answer, query.source)
            for query, content_hash in zip(queries, hashes, strict=True)
        ),
    )
    pictures.add(connection, {ids[query.key]: query.images for query in queries})
    for stratum, added in Counter(placed).items():
        connection.execute(update(Stratum).where(Stratum.id == stratum).values(n_queries=Stratum.n_queries + added))
    return {
        query.key: StoredQuery(ids[query.key], query.key, query.subject, split, stratum, digest)
        for query, split, stratum, digest in zip(queries, splits, placed, hashes, strict=True)
    }


def content_hashes(connection: Connection, query_ids: Collection[int]) -> dict[int, str]:
    """Query id -> content hash of some queries."""
    listed = sorted(query_ids)
    return {
        id_: content_hash
        for start in range(0, len(listed), _IDS_AT_ONCE)
        for id_, content_hash in connection.execute(
            select(QueryContent.query_id, QueryContent.content_hash).where(
                QueryContent.query_id.in_(listed[start : start + _IDS_AT_ONCE])
            )
        )
    }


def contents_by_key(connection: Connection, query_ids: Collection[int]) -> dict[str, DomainQuery]:
    """Some queries by key, without images and splits."""
    listed = sorted(query_ids)
    return {
        key: DomainQuery(key, subject, text, tuple(choices), answer)
        for start in range(0, len(listed), _IDS_AT_ONCE)
        for _, key, subject, _, _, text, choices, answer in connection.execute(
            QUERIES.where(Query.id.in_(listed[start : start + _IDS_AT_ONCE]))
        )
    }


def contents(connection: Connection, query_ids: Collection[int]) -> dict[int, DomainQuery]:
    """Some queries by id, without images and splits."""
    rows = connection.execute(QUERIES.where(Query.id.in_(query_ids)))
    return {
        id_: DomainQuery(key, subject, text, tuple(choices), answer)
        for id_, key, subject, _, _, text, choices, answer in rows
    }


def fill_contents(connection: Connection, contents: Mapping[int, DomainQuery]) -> None:
    """Give queries the content that was unknown so far, by query id. Their keys, subjects, splits and pictures stay."""
    with_pictures = pictures.hashes(connection, contents.keys()).keys()
    for query_id, query in contents.items():
        if query_id in with_pictures:  # one by one: pictures may be large
            query = replace(query, images=pictures.of_queries(connection, [query_id])[query_id])
        connection.execute(
            update(QueryContent)
            .where(QueryContent.query_id == query_id)
            .values(
                content_hash=query.content_hash,
                text=query.text,
                choices=list(query.choices),
                answer=query.answer,
                source=func.coalesce(QueryContent.source, query.source),
            )
        )
    pictures.add(connection, {query_id: query.images for query_id, query in contents.items()})


def set_answers(connection: Connection, queries: Mapping[int, DomainQuery]) -> None:
    """Replace the answers of queries, by query id. The rest of their contents must be the stored one."""
    for query_id, query in queries.items():
        connection.execute(
            update(QueryContent)
            .where(QueryContent.query_id == query_id)
            .values(content_hash=query.content_hash, answer=query.answer)
        )


def set_shots(
    connection: Connection, benchmark_id: int, shots: Mapping[str, Mapping[str, Any]], record: ImportRecord
) -> int:
    """Store worked examples by subject; unknown subjects are ignored. Returns the number of changed subjects."""
    shots = json.loads(json.dumps(shots))  # as they are read from the store: tuples become lists
    rows = connection.execute(
        select(Subject.id, Subject.name, Subject.shots, Subject.import_id).where(Subject.benchmark_id == benchmark_id)
    ).all()
    changed = [row for row in rows if row.name in shots and row.shots != shots[row.name]]
    record.keep(Subject, [row.id for row in changed if row.import_id != record.id])
    for row in changed:
        connection.execute(update(Subject).where(Subject.id == row.id).values(shots=shots[row.name]))
    return len(changed)


def has_queries(connection: Connection, benchmark_id: int) -> bool:
    """Whether a benchmark has queries. One that is known only by published scores has none."""
    return connection.execute(select(Query.id).where(Query.benchmark_id == benchmark_id).limit(1)).first() is not None


def query_texts(connection: Connection, benchmark_id: int) -> Iterable[tuple[str, str]]:
    """(key, text) of every query of a benchmark."""
    rows = connection.execute(
        select(Query.key, QueryContent.text)
        .join(QueryContent, QueryContent.query_id == Query.id)
        .where(Query.benchmark_id == benchmark_id)
    )
    return ((row.key, row.text) for row in rows)


def questions_by_key(connection: Connection, benchmark_id: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(key, text, choices) of every query of a benchmark that has a question."""
    rows = connection.execute(
        select(Query.key, QueryContent.text, QueryContent.choices)
        .join(QueryContent, QueryContent.query_id == Query.id)
        .where(Query.benchmark_id == benchmark_id, HAS_QUESTION)
    )
    return ((key, text, tuple(choices)) for key, text, choices in rows)


def questions(connection: Connection, benchmark_id: int, split: str) -> list[Question]:
    """The queries of a split that have a question, by id. Their pictures are read when they are needed."""
    of_query = pictures.unread(connection, benchmark_id)
    rows = connection.execute(
        QUERIES.where(Subject.benchmark_id == benchmark_id, Stratum.split == split, HAS_QUESTION).order_by(Query.id)
    )
    return [
        Question(id_, key, subject, split, stratum_id, RouterInput(text, tuple(choices), of_query.get(id_, ())))
        for id_, key, subject, split, stratum_id, text, choices, _ in rows
    ]


def benchmarks(connection: Connection) -> list[dict[str, object]]:
    """One row per benchmark: subjects, and queries by split. Subjects that clusters have emptied are not counted."""
    origin = aliased(Subject)
    origins = select(origin.origin_id).where(origin.origin_id.is_not(None))
    with_queries = select(Stratum.subject_id).where(Stratum.n_queries > 0)
    is_one = Subject.origin_id.is_(None) & Subject.id.not_in(origins) | Subject.id.in_(with_queries)
    rows = connection.execute(
        select(Benchmark.name, Stratum.split, func.count(), func.sum(Stratum.n_queries))
        .select_from(Benchmark)
        .outerjoin(Subject, (Subject.benchmark_id == Benchmark.id) & is_one)
        .outerjoin(Stratum, Stratum.subject_id == Subject.id)
        .group_by(Benchmark.name, Stratum.split)
        .order_by(Benchmark.name)
    )
    found: dict[str, dict[str, object]] = {}
    for name, split, subjects, queries in rows:
        row = found.setdefault(name, {"benchmark": name, "subjects": 0, **{s.value: 0 for s in Split}})
        if split is not None:
            row |= {"subjects": subjects, split: int(queries)}
    return list(found.values())
