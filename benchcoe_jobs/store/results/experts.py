"""Experts and pools."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from benchcoe_jobs.domain import ALL_POOL, RECORDED
from benchcoe_jobs.errors import UsageError
from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results import aggregates
from benchcoe_jobs.store.results.file_origins import is_measured
from benchcoe_jobs.store.tables import Benchmark, Expert, Pool, PoolMember, ReportedScore, Run, ScoreSum
from benchcoe_jobs.store.views import pool_expert


@dataclass(frozen=True, slots=True)
class PoolRef:
    """A pool, and the share of a stratum's queries for which an expert needs scores to be eligible for labels."""

    id: int
    name: str
    min_coverage: float


@dataclass(frozen=True, slots=True)
class ExpertRow:
    """A stored expert. `settings` are the settings of its engine that differ from the defaults.

    `cost` is the cost of one query, in any unit that all experts share. Prices use the same unit: `price_in` and
    `price_out` for a million tokens read and written, `price_gpu_second` for one second of a GPU. `model` is None only
    if the engine is `recorded`.
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
    """The effect of registering an expert."""

    NEW = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


FREE_SETTINGS = frozenset({"timeout_s", "deadline_s", "api_key_env", "accept_model"})
"""Settings of an engine that decide whether a query gets an answer, and never which one."""

PRICES = ("price_in", "price_out", "price_gpu_second")


def read_expert(connection: Connection, name: str) -> tuple[int, ExpertRow]:
    """The id and row of an expert. Raises UsageError, which lists the existing experts."""
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
    """The effect that adding an expert would have. Raises UsageError if a different expert has its name.

    An existing expert without any results can be changed freely, for example to correct a misspelt model. One with
    imported results only can be given an engine: the runs of its results keep their provenance. Costs, and
    `FREE_SETTINGS`, do not affect answers and can always be changed; if no cost is given, the stored ones stay.
    """
    if expert.name not in expert_ids(connection):
        return Registration.NEW
    expert_id, stored = read_expert(connection, expert.name)
    expert = _with_stored_path(expert, stored)
    differing = [key for key in ("engine", "model", "revision") if getattr(expert, key) != getattr(stored, key)]
    settings = expert.settings.keys() | stored.settings.keys()
    differing += sorted(key for key in settings if expert.settings.get(key) != stored.settings.get(key))
    # An expert whose results are all imported can get an engine, and a correction of the engine.
    blocks = _has_answers if expert.can_answer else _has_results
    if not FREE_SETTINGS.issuperset(differing) and blocks(connection, expert_id):
        differing = [key for key in differing if key not in FREE_SETTINGS]
        raise UsageError(f"expert {expert.name!r} exists with another {' and '.join(differing)}: choose another name")
    costs_differ = _costs(expert) != _costs(stored) and any(cost is not None for cost in _costs(expert).values())
    return Registration.CHANGED if differing or costs_differ else Registration.UNCHANGED


def add_expert(connection: Connection, expert: ExpertRow) -> Registration:
    """Register an expert, or change the one with its name. Returns which. Raises UsageError as `registration` does."""
    found = registration(connection, expert)
    if found is Registration.UNCHANGED:
        return found
    if found is Registration.CHANGED:
        expert = _with_stored_path(expert, read_expert(connection, expert.name)[1])
    values: dict[str, Any] = {
        "engine": expert.engine,
        "model": expert.model,
        "revision": expert.revision,
        "settings": dict(expert.settings),
    }
    if any(cost is not None for cost in _costs(expert).values()):
        values |= _costs(expert)
    if found is Registration.NEW:
        if not bulk.insert_new(connection, Expert, name=expert.name, **values):  # another transaction was faster
            return add_expert(connection, expert)
    else:
        connection.execute(update(Expert).where(Expert.name == expert.name).values(**values))
        _refresh_all(connection)  # costs break ties of labels
    return found


def _with_stored_path(expert: ExpertRow, stored: ExpertRow) -> ExpertRow:
    """The expert with the stored name of its model, if that is the same folder relative to the working folder.

    Releases before 0.3.0 stored it as it was typed. It is part of the runs' fingerprints: with another name, everything
    would be asked again.
    """
    is_same = stored.model is not None and expert.model == str(Path(stored.model).absolute())
    return replace(expert, model=stored.model) if is_same else expert


def _costs(expert: ExpertRow) -> dict[str, float | None]:
    return {name: getattr(expert, name) for name in ("cost", *PRICES)}


def _has_results(connection: Connection, expert_id: int) -> bool:
    found = (select(table.expert_id).where(table.expert_id == expert_id).limit(1) for table in (Run, ReportedScore))
    return any(connection.scalar(query) is not None for query in found)


def _has_answers(connection: Connection, expert_id: int) -> bool:
    """Whether the expert's engine was asked something."""
    return any(map(is_measured, connection.scalars(select(Run.provenance).where(Run.expert_id == expert_id))))


def hold_experts(connection: Connection, names: Collection[str] | None) -> None:
    """Let no other transaction remove some experts, or any expert (None), before this one ends."""
    wanted = () if names is None else (Expert.name.in_(names),)
    held = select(Expert.id).where(*wanted).order_by(Expert.id)
    connection.execute(held.with_for_update(read=True, key_share=True))


def lock_experts(connection: Connection, names: Collection[str]) -> None:
    """Let no other transaction add results of some experts, or remove them, before this one ends."""
    locked = select(Expert.id).where(Expert.name.in_(names)).order_by(Expert.id)
    connection.execute(locked.with_for_update())


def find_expert(connection: Connection, name: str) -> int:
    """The id of an expert. Raises UsageError, which lists the existing experts."""
    found = connection.scalar(select(Expert.id).where(Expert.name == name))
    if found is None:
        raise UsageError(
            f"unknown expert {name!r}; known are {_some(expert_ids(connection))}. "
            f"Add it with: benchcoe-jobs add-expert {name} --engine ENGINE"
        )
    return found


def expert_ids(connection: Connection) -> dict[str, int]:
    """Expert name -> id, including retired experts."""
    return {row.name: row.id for row in connection.execute(select(Expert.name, Expert.id).order_by(Expert.name))}


def costs(connection: Connection) -> dict[str, float | None]:
    """Expert name -> cost of one query; None if unknown."""
    return {row.name: row.cost for row in connection.execute(select(Expert.name, Expert.cost))}


def priced(connection: Connection) -> set[str]:
    """The names of the experts that have a price."""
    has_price = or_(*(getattr(Expert, price).is_not(None) for price in PRICES))
    return set(connection.scalars(select(Expert.name).where(has_price)))


def set_retired(connection: Connection, name: str, retired: bool) -> None:
    """Retire an expert from routing in all pools, or reinstate it. Its scores stay."""
    expert_id = find_expert(connection, name)
    when = datetime.now(UTC) if retired else None
    connection.execute(update(Expert).where(Expert.id == expert_id).values(retired_at=when))
    _refresh_all(connection)


def expert_names(connection: Connection) -> dict[int, str]:
    """The names of all experts by their ids."""
    return dict(connection.execute(select(Expert.id, Expert.name)).all())


def retirements(connection: Connection) -> dict[str, datetime]:
    """Expert name -> when it was retired, for the retired experts."""
    rows = connection.execute(select(Expert.name, Expert.retired_at).where(Expert.retired_at.is_not(None)))
    return {name: when for name, when in rows if when is not None}


def experts(connection: Connection) -> list[dict[str, object]]:
    """One row per expert: its settings, its cost and prices, and the number of its scores on all benchmarks."""
    rows = connection.execute(
        select(
            Expert.name,
            Expert.engine,
            Expert.model,
            Expert.cost,
            *(getattr(Expert, price) for price in PRICES),
            Expert.retired_at,
            func.coalesce(func.sum(ScoreSum.n), 0).label("scores"),
        )
        .outerjoin(ScoreSum, ScoreSum.expert_id == Expert.id)
        .group_by(Expert.id)
        .order_by(Expert.name)
    )
    return [
        {
            "expert": row.name,
            "engine": row.engine,
            "model": row.model,
            "cost": row.cost,
            **{price: getattr(row, price) for price in PRICES},
            "scores": int(row.scores),
            "retired": row.retired_at is not None,
        }
        for row in rows
    ]


def find_pool(connection: Connection, name: str) -> PoolRef:
    """A pool by name. Raises UsageError, which lists the existing pools."""
    row = connection.execute(select(Pool.id, Pool.name, Pool.min_coverage).where(Pool.name == name)).first()
    if row is None:
        known = connection.scalars(select(Pool.name).order_by(Pool.name)).all()
        raise UsageError(f"unknown pool {name!r}; known are {', '.join(known)}")
    return PoolRef(*row)


def change_pool(connection: Connection, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """Add and remove members of a pool, which is created if it does not exist.

    Adding a member or removing a non-member has no effect. Raises UsageError for the pool `all` and for unknown
    experts.
    """
    if name == ALL_POOL:
        raise UsageError("pool 'all' holds every expert that is not retired: see `benchcoe-jobs retire`")
    hold_experts(connection, add)
    added = {find_expert(connection, expert) for expert in add}
    removed = {find_expert(connection, expert) for expert in remove}
    bulk.insert_new(connection, Pool, name=name)
    pool = find_pool(connection, name)
    present = set(connection.scalars(select(PoolMember.expert_id).where(PoolMember.pool_id == pool.id)))
    bulk.insert(
        connection, PoolMember, ["pool_id", "expert_id"], [(pool.id, expert) for expert in sorted(added - present)]
    )
    connection.execute(delete(PoolMember).where(PoolMember.pool_id == pool.id, PoolMember.expert_id.in_(removed)))
    _refresh_all(connection)


def trial_pool(connection: Connection, expert_ids: Collection[int], min_coverage: float) -> PoolRef:
    """A temporary pool for reading the subject-level views; the caller rolls back. It has no query labels.

    Retired experts among `expert_ids` are reinstated, because the views skip retired experts.
    """
    name = f"trial {uuid.uuid4()}"
    connection.execute(insert(Pool).values(name=name, min_coverage=min_coverage))
    pool = find_pool(connection, name)
    connection.execute(insert(PoolMember), [{"pool_id": pool.id, "expert_id": expert} for expert in expert_ids])
    connection.execute(update(Expert).where(Expert.id.in_(expert_ids)).values(retired_at=None))
    return pool


def set_min_coverage(connection: Connection, pool: PoolRef, value: float) -> None:
    """Change the coverage that a pool requires, and refresh its labels."""
    if value != pool.min_coverage:
        connection.execute(update(Pool).where(Pool.id == pool.id).values(min_coverage=value))
        _refresh_all(connection)


def pool_members(connection: Connection, pool_id: int) -> dict[str, int]:
    """Expert name -> id of the members of a pool that are not retired."""
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
