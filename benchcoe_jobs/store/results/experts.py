"""Experts, and the pools that they are routed in."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from benchcoe_jobs.domain import ALL_POOL, RECORDED
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store.results import aggregates
from benchcoe_jobs.store.tables import Benchmark, Expert, Pool, PoolMember, ReportedScore, Run, ScoreSum
from benchcoe_jobs.store.views import pool_expert


@dataclass(frozen=True, slots=True)
class PoolRef:
    """A pool and the share of a stratum's queries that an expert needs scores for, to win labels."""

    id: int
    name: str
    min_coverage: float


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """An expert as it is stored. `settings` are those of its engine that are not the default.

    `cost` is what one query costs, in any unit that all experts share. Prices are in that unit too: of a
    million tokens read and written, and of a second of a GPU. `model` is None only where the engine is
    `recorded`.
    """

    name: str
    engine: str
    model: str | None = None
    revision: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    price_gpu_second: float | None = None

    @property
    def can_answer(self) -> bool:
        """Whether the expert has an engine; if not, its results are imported."""
        return self.engine != RECORDED


class Registration(StrEnum):
    """What adding an expert does, or did."""

    NEW = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


PRICES = ("price_in", "price_out", "price_gpu_second")


def read_expert(connection: Connection, name: str) -> tuple[int, ExpertRow]:
    """An expert with its id. Raises UsageError naming those that there are."""
    expert_id = find_expert(connection, name)
    return expert_id, read_expert_by_id(connection, expert_id)


def read_expert_by_id(connection: Connection, expert_id: int) -> ExpertRow:
    """An expert by its id."""
    row = connection.execute(
        select(
            Expert.name,
            Expert.engine,
            Expert.model,
            Expert.revision,
            Expert.settings,
            Expert.cost,
            *(getattr(Expert, price) for price in PRICES),
        ).where(Expert.id == expert_id)
    ).one()
    return ExpertRow(*row)


def registration(connection: Connection, expert: ExpertRow) -> Registration:
    """What adding an expert would do. Raises UsageError where its name is taken by another one.

    One that has neither answered anything nor been imported takes no name: it was misspelt, say. Costs change no
    answer, and can always be given anew; where none is given, they stay.
    """
    if expert.name not in expert_ids(connection):
        return Registration.NEW
    expert_id, stored = read_expert(connection, expert.name)
    differing = [key for key in ("engine", "model", "revision") if getattr(expert, key) != getattr(stored, key)]
    settings = expert.settings.keys() | stored.settings.keys()
    differing += sorted(key for key in settings if expert.settings.get(key) != stored.settings.get(key))
    if differing and _has_results(connection, expert_id):
        raise UsageError(f"expert {expert.name!r} exists with another {' and '.join(differing)}: choose another name")
    costs_differ = _costs(expert) != _costs(stored) and any(cost is not None for cost in _costs(expert).values())
    return Registration.CHANGED if differing or costs_differ else Registration.UNCHANGED


def add_expert(connection: Connection, expert: ExpertRow) -> Registration:
    """Register an expert, or change the one of its name; says which. Raises as `registration`."""
    found = registration(connection, expert)
    if found is Registration.UNCHANGED:
        return found
    values: dict[str, Any] = {
        "engine": expert.engine,
        "model": expert.model,
        "revision": expert.revision,
        "settings": dict(expert.settings),
    }
    if any(cost is not None for cost in _costs(expert).values()):
        values |= _costs(expert)
    if found is Registration.NEW:
        connection.execute(insert(Expert).values(name=expert.name, **values))
    else:
        connection.execute(update(Expert).where(Expert.name == expert.name).values(**values))
        _refresh_all(connection)  # of two that are tied the cheaper one has the label
    return found


def _costs(expert: ExpertRow) -> dict[str, float | None]:
    return {name: getattr(expert, name) for name in ("cost", *PRICES)}


def _has_results(connection: Connection, expert_id: int) -> bool:
    found = (select(table.expert_id).where(table.expert_id == expert_id).limit(1) for table in (Run, ReportedScore))
    return any(connection.scalar(query) is not None for query in found)


def find_expert(connection: Connection, name: str) -> int:
    """The id of an expert. Raises UsageError naming those that there are."""
    found = connection.scalar(select(Expert.id).where(Expert.name == name))
    if found is None:
        raise UsageError(
            f"unknown expert {name!r}; known are {_some(expert_ids(connection))}. "
            f"Add it with: benchcoe-jobs add-expert {name} --engine ENGINE"
        )
    return found


def expert_ids(connection: Connection) -> dict[str, int]:
    """Expert name -> id, retired ones included."""
    return {row.name: row.id for row in connection.execute(select(Expert.name, Expert.id).order_by(Expert.name))}


def costs(connection: Connection) -> dict[str, float | None]:
    """Expert name -> what one query costs, None where nobody said."""
    return {row.name: row.cost for row in connection.execute(select(Expert.name, Expert.cost))}


def set_retired(connection: Connection, name: str, retired: bool) -> None:
    """Take an expert out of every pool's routing, or bring it back. Its scores stay."""
    expert_id = find_expert(connection, name)
    when = datetime.now(UTC) if retired else None
    connection.execute(update(Expert).where(Expert.id == expert_id).values(retired_at=when))
    _refresh_all(connection)


def experts(connection: Connection) -> list[dict[str, object]]:
    """One row per expert: its settings, and how many scores it has over all benchmarks."""
    rows = connection.execute(
        select(
            Expert.name,
            Expert.engine,
            Expert.model,
            Expert.cost,
            Expert.retired_at,
            func.coalesce(func.sum(ScoreSum.n), 0).label("scores"),
        )
        .outerjoin(ScoreSum, ScoreSum.expert_id == Expert.id)
        .group_by(Expert.id, Expert.name, Expert.engine, Expert.model, Expert.cost, Expert.retired_at)
        .order_by(Expert.name)
    )
    return [
        {
            "expert": row.name,
            "engine": row.engine,
            "model": row.model,
            "cost": row.cost,
            "scores": int(row.scores),
            "retired": row.retired_at is not None,
        }
        for row in rows
    ]


def find_pool(connection: Connection, name: str) -> PoolRef:
    """A pool by name. Raises UsageError naming those that there are."""
    row = connection.execute(select(Pool.id, Pool.name, Pool.min_coverage).where(Pool.name == name)).first()
    if row is None:
        known = connection.scalars(select(Pool.name).order_by(Pool.name)).all()
        raise UsageError(f"unknown pool {name!r}; known are {', '.join(known)}")
    return PoolRef(*row)


def change_pool(connection: Connection, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Add and remove members; a pool that is new is created, what is so already stays so.

    Raises UsageError for the pool `all` and for unknown experts.
    """
    if name == ALL_POOL:
        raise UsageError("pool 'all' holds every expert that is not retired: see `benchcoe-jobs retire`")
    added = {find_expert(connection, expert) for expert in add}
    removed = {find_expert(connection, expert) for expert in remove}
    if connection.scalar(select(Pool.id).where(Pool.name == name)) is None:
        connection.execute(insert(Pool).values(name=name))
    pool = find_pool(connection, name)
    present = set(connection.scalars(select(PoolMember.expert_id).where(PoolMember.pool_id == pool.id)))
    if new := sorted(added - present):
        connection.execute(insert(PoolMember), [{"pool_id": pool.id, "expert_id": expert} for expert in new])
    connection.execute(delete(PoolMember).where(PoolMember.pool_id == pool.id, PoolMember.expert_id.in_(removed)))
    _refresh_all(connection)


def trial_pool(connection: Connection, expert_ids: Collection[int], min_coverage: float) -> PoolRef:
    """A pool to read the subject-level views by; the caller rolls back. It has no query labels.

    Retired experts are taken back into service for it, or the views would pass them over.
    """
    name = f"trial {uuid.uuid4()}"
    connection.execute(insert(Pool).values(name=name, min_coverage=min_coverage))
    pool = find_pool(connection, name)
    connection.execute(insert(PoolMember), [{"pool_id": pool.id, "expert_id": expert} for expert in expert_ids])
    connection.execute(update(Expert).where(Expert.id.in_(expert_ids)).values(retired_at=None))
    return pool


def set_min_coverage(connection: Connection, pool: PoolRef, value: float) -> None:
    """Change a pool's threshold; its labels follow at once."""
    if value != pool.min_coverage:
        connection.execute(update(Pool).where(Pool.id == pool.id).values(min_coverage=value))
        _refresh_all(connection)


def pool_members(connection: Connection, pool_id: int) -> dict[str, int]:
    """Expert name -> id of who is routed among in a pool."""
    view = pool_expert.c
    rows = connection.execute(
        select(Expert.name, Expert.id)
        .join(pool_expert, view.expert_id == Expert.id)
        .where(view.pool_id == pool_id)
        .order_by(Expert.name)
    )
    return {row.name: row.id for row in rows}


def pools(connection: Connection) -> list[dict[str, object]]:
    """One row per pool with its members."""
    rows = connection.execute(select(Pool.id, Pool.name, Pool.min_coverage).order_by(Pool.name)).all()
    return [
        {
            "pool": row.name,
            "min_coverage": row.min_coverage,
            "experts": list(pool_members(connection, row.id)),
        }
        for row in rows
    ]


def _refresh_all(connection: Connection) -> None:
    aggregates.refresh(connection, connection.scalars(select(Benchmark.id)).all())


def _some(names: dict[str, int]) -> str:
    shown = list(names)[:20]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if shown else "none yet"
