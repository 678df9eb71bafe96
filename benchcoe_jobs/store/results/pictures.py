"""The pictures of queries. A file is stored once, by its SHA-256, for all queries that have it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, exists, func, select

from benchcoe_jobs.media_types import media_type
from benchcoe_jobs.picture import Picture
from benchcoe_jobs.store import bulk, tables
from benchcoe_jobs.store.results.import_tables import EarlierRow
from benchcoe_jobs.store.tables import Query, QueryPicture

_IDS_AT_ONCE = 10_000
"""Fewer than the parameters that a statement may have."""

_POINTERS = select(QueryPicture.query_id, QueryPicture.picture_hash).order_by(
    QueryPicture.query_id, QueryPicture.position
)


def add(connection: Connection, of_queries: Mapping[int, Sequence[bytes]]) -> None:
    """Store the pictures of queries, by query id and in order. A query that has pictures already keeps them."""
    files: dict[str, bytes] = {}
    pointers = []
    for query_id, contents in of_queries.items():
        for position, content in enumerate(contents):
            digest = hashlib.sha256(content).hexdigest()
            files[digest] = content
            pointers.append((query_id, position, digest))
    if not pointers:
        return
    rows = ((digest, media_type(content), len(content), content) for digest, content in files.items())
    bulk.insert(connection, tables.Picture, ["hash", "media_type", "size", "content"], rows)
    bulk.insert(connection, QueryPicture, ["query_id", "position", "picture_hash"], pointers)


def hashes(connection: Connection, query_ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Query id -> the hashes of its pictures, in order. Queries without pictures are left out."""
    found: dict[int, tuple[str, ...]] = {}
    for ids in _parts(query_ids):
        found |= _grouped(connection, _POINTERS.where(QueryPicture.query_id.in_(ids)))
    return found


def sizes(connection: Connection, query_ids: Collection[int]) -> dict[int, int]:
    """Query id -> the bytes of its encoded pictures together. Queries without pictures are left out."""
    total = (
        select(QueryPicture.query_id, func.sum(tables.Picture.size))
        .join(tables.Picture, tables.Picture.hash == QueryPicture.picture_hash)
        .group_by(QueryPicture.query_id)
    )
    found: dict[int, int] = {}
    for ids in _parts(query_ids):
        of_part = connection.execute(total.where(QueryPicture.query_id.in_(ids)))
        found |= {query_id: int(n_bytes) for query_id, n_bytes in of_part}
    return found


def hashes_of_benchmark(connection: Connection, benchmark_id: int) -> dict[int, tuple[str, ...]]:
    """`hashes` of all queries of a benchmark."""
    of_benchmark = _POINTERS.join(Query, Query.id == QueryPicture.query_id).where(Query.benchmark_id == benchmark_id)
    return _grouped(connection, of_benchmark)


def any_of_benchmark(connection: Connection, benchmark_id: int) -> bool:
    """Whether a query of a benchmark has a picture."""
    found = select(QueryPicture.query_id).join(Query, Query.id == QueryPicture.query_id)
    return connection.execute(found.where(Query.benchmark_id == benchmark_id).limit(1)).first() is not None


def contents(connection: Connection, picture_hashes: Collection[str]) -> dict[str, bytes]:
    """Hash -> the encoded picture. Hashes that are not stored are left out."""
    return {
        digest: bytes(content)
        for part in _parts(set(picture_hashes))
        for digest, content in connection.execute(
            select(tables.Picture.hash, tables.Picture.content).where(tables.Picture.hash.in_(part))
        )
    }


def of_queries(connection: Connection, query_ids: Collection[int]) -> dict[int, tuple[bytes, ...]]:
    """Query id -> its encoded pictures, in order. Queries without pictures are left out.

    A picture of several queries is in memory once.
    """
    pointers = hashes(connection, query_ids)
    files = contents(connection, {digest for digests in pointers.values() for digest in digests})
    return {query_id: tuple(files[digest] for digest in digests) for query_id, digests in pointers.items()}


def unread(connection: Connection, benchmark_id: int) -> dict[int, tuple[Picture, ...]]:
    """Query id -> its pictures, in order, each of which is read from the store when it is needed.

    Queries without pictures are left out. A picture can be read after the connection is closed.
    """
    engine = connection.engine

    def picture(digest: str) -> Picture:
        return Picture(digest, lambda: _read(engine, digest))

    of_query = hashes_of_benchmark(connection, benchmark_id)
    return {query_id: tuple(map(picture, digests)) for query_id, digests in of_query.items()}


def remove_unused(connection: Connection) -> None:
    """Delete the pictures that no query has, and that no kept row of an import names."""
    kept = select(EarlierRow.content["picture_hash"].as_string()).where(
        EarlierRow.table_name == QueryPicture.__tablename__, EarlierRow.content.is_not(None)
    )
    is_used = exists().where(QueryPicture.picture_hash == tables.Picture.hash)
    connection.execute(delete(tables.Picture).where(~is_used, tables.Picture.hash.not_in(kept)))


def _read(engine: Engine, digest: str) -> bytes:
    with engine.connect() as connection:
        return contents(connection, [digest])[digest]


def _grouped(connection: Connection, pointers: Select[int, str]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for query_id, digest in connection.execute(pointers):
        found.setdefault(query_id, []).append(digest)
    return {query_id: tuple(digests) for query_id, digests in found.items()}


def _parts(values: Collection[Any]) -> Iterable[list[Any]]:
    listed = sorted(values)
    return (listed[start : start + _IDS_AT_ONCE] for start in range(0, len(listed), _IDS_AT_ONCE))
