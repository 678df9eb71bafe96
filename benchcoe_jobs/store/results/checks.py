"""Checks of experts: how many of their answers were the stored ones when they were asked again."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, ForeignKey, Integer, String, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from benchcoe_jobs.store.tables import Base, Expert, UtcTime, now


class ExpertCheck(Base):
    """How many of an expert's answers were the stored ones when it was asked again. `kind` is `repeat` or `verify`."""

    __tablename__ = "expert_check"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    expert_id: Mapped[int] = mapped_column(ForeignKey("expert.id"))
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    kind: Mapped[str] = mapped_column(String)
    n: Mapped[int] = mapped_column(Integer)
    agreed: Mapped[int] = mapped_column(Integer)
    verdict: Mapped[str | None] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class NewCheck(NamedTuple):
    """A check: its kind (`repeat` or `verify`), the numbers of answers and of the same ones, and a verdict, if any."""

    kind: str
    n: int
    agreed: int
    verdict: str | None


def add(connection: Connection, expert_id: int, benchmark_id: int, check: NewCheck) -> None:
    """Store a check of an expert with the questions of a benchmark."""
    connection.execute(insert(ExpertCheck).values(expert_id=expert_id, benchmark_id=benchmark_id, **check._asdict()))


def newest(connection: Connection, expert_id: int, benchmark_id: int, kind: str) -> NewCheck | None:
    """The newest check of a kind; None if there is none."""
    row = connection.execute(
        select(ExpertCheck.kind, ExpertCheck.n, ExpertCheck.agreed, ExpertCheck.verdict)
        .where(ExpertCheck.expert_id == expert_id, ExpertCheck.benchmark_id == benchmark_id, ExpertCheck.kind == kind)
        .order_by(ExpertCheck.id.desc())
        .limit(1)
    ).first()
    return None if row is None else NewCheck(*row)


def count(connection: Connection, expert_id: int) -> int:
    """The number of checks of an expert."""
    return connection.scalar(select(func.count()).where(ExpertCheck.expert_id == expert_id)) or 0


def set_drifted(connection: Connection, expert_id: int, is_drifted: bool) -> None:
    """Mark an expert that is not the one which was profiled, or take its mark away. An earlier mark keeps its time."""
    when = func.coalesce(Expert.drifted_at, now()) if is_drifted else None
    connection.execute(update(Expert).where(Expert.id == expert_id).values(drifted_at=when))


def drifted(connection: Connection) -> dict[str, datetime]:
    """Expert name -> since when it is marked, for the marked experts that are not retired."""
    rows = connection.execute(
        select(Expert.name, Expert.drifted_at).where(Expert.drifted_at.is_not(None), Expert.retired_at.is_(None))
    )
    return {name: when for name, when in rows if when is not None}
