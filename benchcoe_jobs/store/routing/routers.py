"""Router rows, the examples that routers are trained on, and the cache of embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, union, update

from benchcoe_jobs.domain import Policy
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.labels.label_sets import LabelSetRef
from benchcoe_jobs.store.labels.live_labels import Scope
from benchcoe_jobs.store.results.experts import PoolRef
from benchcoe_jobs.store.routing.tables import Embedding, Evaluation, Router, RoutingSnapshot
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Benchmark, LabelSet, Pool
from benchcoe_jobs.store.views import query_target

SQL_VARIABLES = 500
"""The largest number of values in one IN list."""


class ReplacedError(UsageError):
    """A training has replaced the router that a command works with."""


@dataclass(frozen=True, slots=True)
class TrainedRouter:
    """A row of `router` with the names that it refers to.

    `artifact` is the name of its folder under BENCHCOE_HOME. At subject level, `policy` says which view turns a
    subject into an expert. `auto_weight` is the quality weight that `auto` stands for; None if none could be chosen.
    """

    id: int
    name: str
    level: str
    kind: str
    artifact: str
    scope: Scope
    label_set: str
    policy: Policy
    n_queries: int
    auto_weight: float | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the artifact; its first 16 digits if a release before 0.3.0 trained the router."""
        return self.artifact.rpartition("/")[2]


_ROUTERS = (
    select(
        Router,
        Pool.name.label("pool"),
        Pool.min_coverage,
        Benchmark.name.label("benchmark"),
        LabelSet.fingerprint,
        LabelSet.policy,
    )
    .join(Pool, Pool.id == Router.pool_id)
    .join(Benchmark, Benchmark.id == Router.benchmark_id)
    .join(LabelSet, LabelSet.id == Router.label_set_id)
    .order_by(Router.name)
)


def find_router(connection: Connection, name: str | None, *, lock: bool = False) -> TrainedRouter:
    """A router by name; None means the only router of the store.

    With `lock`, no other transaction replaces it before this one ends. Raises UsageError if there is no such router.
    """
    if name is None:
        name = _only_name(connection)
    query = _ROUTERS.where(Router.name == name)
    row = connection.execute(query.with_for_update(read=True, of=Router) if lock else query).first()
    if row is None:
        known = ", ".join(_names(connection))
        raise UsageError(
            f"unknown router {name!r}; the store has {known}"
            if known
            else f"unknown router {name!r}; the store has none yet: train one with `benchcoe-jobs train-router`"
        )
    return _trained(row)


def routers(connection: Connection) -> list[TrainedRouter]:
    """Every router, by name."""
    return [_trained(row) for row in connection.execute(_ROUTERS)]


def current_artifact(connection: Connection, name: str) -> str | None:
    """The artifact that a router has now; None if there is no router of that name."""
    return connection.scalar(select(Router.artifact).where(Router.name == name))


def require_unchanged(connection: Connection, router: TrainedRouter) -> None:
    """Raise ReplacedError if another training has written the row of a router since it was read."""
    if find_router(connection, router.name) != router:
        raise ReplacedError(
            f"router {router.name!r} was trained again in the meantime, and its earlier artifact is removed: "
            "give the command again, or the one that submitted the job"
        )


def earlier_artifacts(connection: Connection, name: str) -> set[str]:
    """The artifacts that routing snapshots or evaluations of a router name, and that the router has no more."""
    of_router = select(Router.id).where(Router.name == name).scalar_subquery()
    named = union(
        *(select(table.artifact).where(table.router_id == of_router) for table in (RoutingSnapshot, Evaluation))
    )
    return set(connection.scalars(named)) - {current_artifact(connection, name)}


def lock_name(connection: Connection, name: str) -> None:
    """Let no other transaction register a router of this name, or remove artifacts of it, before this one ends.

    A row lock is not enough: the router may not have a row yet. On SQLite a writing transaction excludes all others.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"router {name}", 0))))


def _names(connection: Connection) -> list[str]:
    return list(connection.scalars(select(Router.name).order_by(Router.name)))


def _only_name(connection: Connection) -> str:
    names = _names(connection)
    if len(names) != 1:
        hint = f"name one: {', '.join(names)}" if names else "train one with `benchcoe-jobs train-router`"
        raise UsageError(f"the store has {len(names) or 'no'} routers: {hint}")
    return names[0]


def _trained(row: Any) -> TrainedRouter:
    return TrainedRouter(
        id=row.id,
        name=row.name,
        level=row.level,
        kind=row.kind,
        artifact=row.artifact,
        scope=Scope(PoolRef(row.pool_id, row.pool, row.min_coverage), row.benchmark_id, row.benchmark, row.split),
        label_set=row.fingerprint,
        policy=Policy(row.policy),
        n_queries=row.n_queries,
        auto_weight=row.auto_weight,
    )


def save_router(
    connection: Connection,
    name: str,
    *,
    level: str,
    kind: str,
    scope: Scope,
    labels: LabelSetRef,
    artifact: str,
    n_queries: int,
    auto_weight: float | None = None,
) -> None:
    """Register a trained router. A router of the same name is replaced, and keeps its id.

    The transaction must hold `lock_name`.
    """
    values = {
        "level": level,
        "kind": kind,
        "pool_id": scope.pool.id,
        "benchmark_id": scope.benchmark_id,
        "split": scope.split,
        "label_set_id": labels.id,
        "artifact": artifact,
        "n_queries": n_queries,
        "auto_weight": auto_weight,
    }
    if connection.execute(update(Router).where(Router.name == name).values(**values)).rowcount == 0:
        connection.execute(insert(Router).values(name=name, **values))


def targets(connection: Connection, scope: Scope) -> Iterable[tuple[int, int, float]]:
    """(query id, expert id, score) of every eligible expert on a scope: what query labels are made from."""
    c = query_target.c
    return connection.execute(
        select(c.query_id, c.expert_id, c.score).where(
            c.pool_id == scope.pool.id, c.benchmark_id == scope.benchmark_id, c.split == scope.split
        )
    )


class StoredVectors:
    """The table `embedding` as a cache: no text or picture is encoded twice by the same encoder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, encoder: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """The stored vectors of an encoder, by the hash of what it read."""
        found: dict[str, bytes] = {}
        with self._store.reading() as connection:
            for start in range(0, len(hashes), SQL_VARIABLES):
                part = hashes[start : start + SQL_VARIABLES]
                rows = connection.execute(
                    select(Embedding.content_hash, Embedding.vector).where(
                        Embedding.encoder == encoder, Embedding.content_hash.in_(part)
                    )
                )
                found.update((content_hash, bytes(vector)) for content_hash, vector in rows)
        return found

    def put(self, encoder: str, vectors: Mapping[str, bytes]) -> None:
        """Store vectors by the hash of what was read. A vector that is stored already stays as it is."""
        with self._store.writing() as connection:
            rows = ((encoder, content_hash, vector) for content_hash, vector in vectors.items())
            bulk.insert(connection, Embedding, ["encoder", "content_hash", "vector"], rows)
