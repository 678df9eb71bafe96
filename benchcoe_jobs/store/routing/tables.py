"""The tables of routers, their decisions and their evaluations. docs/store.md describes each of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, Double, ForeignKey, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from benchcoe_jobs.store.tables import WITHOUT_ROWID, Base, Name, UtcTime, now


class Router(Base):
    __tablename__ = "router"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    level: Mapped[str] = mapped_column(String)
    kind: Mapped[str] = mapped_column(String)
    pool_id: Mapped[int] = mapped_column(ForeignKey("pool.id"))
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    split: Mapped[str] = mapped_column(String)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_set.id"))
    artifact: Mapped[str] = mapped_column(String)
    n_queries: Mapped[int] = mapped_column(Integer)
    auto_weight: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class RoutingSnapshot(Base):
    """All that a router's decisions depend on, when a job was submitted (see services/routing/snapshot.py).

    `fingerprint` is the SHA-256 of the canonical JSON of `content`. The same snapshot is stored once.
    """

    __tablename__ = "routing_snapshot"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String, unique=True)
    router_id: Mapped[int] = mapped_column(ForeignKey("router.id"), index=True)
    artifact: Mapped[str] = mapped_column(String)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Evaluation(Base):
    """`fingerprint` covers all that shapes the decisions, so the same evaluation is kept once.

    `snapshot_id` is null for evaluations of releases before 0.2.0.
    """

    __tablename__ = "evaluation"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String, unique=True)
    router_id: Mapped[int] = mapped_column(ForeignKey("router.id"))
    artifact: Mapped[str] = mapped_column(String)
    benchmark_id: Mapped[int] = mapped_column(ForeignKey("benchmark.id"))
    split: Mapped[str] = mapped_column(String)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcTime, default=now)
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("routing_snapshot.id"))


class Decision(Base):
    """Which expert a router chose for a query; stored before its outcome is looked up.

    `fell_back` is null for decisions of releases before 0.2.0.
    """

    __tablename__ = "decision"
    __table_args__ = WITHOUT_ROWID
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id"), primary_key=True)
    query_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    expert_id: Mapped[int] = mapped_column(Integer)
    subject_id: Mapped[int | None] = mapped_column(Integer)
    fell_back: Mapped[bool | None] = mapped_column(Boolean)


class ServedDecision(Base):
    """Which expert a request to `serve` goes to; stored before it is sent.

    `chosen_id` is the expert that the router chose. `expert_id` is the one that is asked: another one if the decision
    explores, or if the client named it (`--shadow`). `propensity` is the probability with which `expert_id` was
    drawn, null if the client named it. `prompt_hash` is the SHA-256 of the router's input.
    """

    __tablename__ = "served_decision"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    decided_at: Mapped[datetime] = mapped_column(UtcTime, index=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("routing_snapshot.id"), index=True)
    path: Mapped[str] = mapped_column(String)
    prompt_hash: Mapped[str] = mapped_column(String)
    prompt: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(String)
    confidence: Mapped[float] = mapped_column(Double)
    familiarity: Mapped[float | None] = mapped_column(Double)
    fell_back: Mapped[bool] = mapped_column(Boolean)
    chosen_id: Mapped[int] = mapped_column(Integer)
    expert_id: Mapped[int] = mapped_column(Integer)
    propensity: Mapped[float | None] = mapped_column(Double)


class ServedOutcome(Base):
    """What became of a served decision: the answer of the expert, and of its substitute if there was one."""

    __tablename__ = "served_outcome"
    __table_args__ = WITHOUT_ROWID
    decision_id: Mapped[str] = mapped_column(ForeignKey("served_decision.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    expert_id: Mapped[int] = mapped_column(Integer)
    status: Mapped[int] = mapped_column(Integer)
    failure: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    first_byte_s: Mapped[float | None] = mapped_column(Double)
    latency_s: Mapped[float] = mapped_column(Double)
    cost: Mapped[float | None] = mapped_column(Double)


class ServedScore(Base):
    """How good the answer to a served decision was, in [0, 1], as a client reported it."""

    __tablename__ = "served_score"
    __table_args__ = (CheckConstraint("value >= 0 AND value <= 1", name="value"), WITHOUT_ROWID)
    decision_id: Mapped[str] = mapped_column(ForeignKey("served_decision.id"), primary_key=True)
    value: Mapped[float] = mapped_column(Double)
    source: Mapped[str | None] = mapped_column(String)
    scored_at: Mapped[datetime] = mapped_column(UtcTime, default=now)


class Embedding(Base):
    """A frozen encoder's vector of a question or a picture: float32, little-endian, by the SHA-256 of what was read."""

    __tablename__ = "embedding"
    encoder: Mapped[str] = mapped_column(String, primary_key=True)
    content_hash: Mapped[str] = mapped_column(String, primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
