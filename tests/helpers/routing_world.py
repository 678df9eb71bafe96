"""A store with two experts and a subject-level router, whose decisions can be worked out by hand.

On the training split ann is right about apples and bob about bricks; ann is also half right about bricks, which makes
her the best single expert. The experts have the engine `echo`, which repeats a prompt in capital letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tables
from sqlalchemy import update

from benchcoe_jobs.domain import Level, Policy, Queue, RouterInput
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.services.evaluation.decisions import Decision, SplitDecisions
from benchcoe_jobs.services.routing.snapshot import RoutingSnapshot
from benchcoe_jobs.services.training.train import Trained, train_router
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.labels.live_labels import Scope, SubjectLabel
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.results.catalog import Question
from benchcoe_jobs.store.results.experts import PoolRef
from benchcoe_jobs.store.routing.routers import TrainedRouter
from benchcoe_jobs.store.session import Store
from benchcoe_jobs.store.tables import Expert

APPLES, BRICKS = RouterInput("how many apples in case 900"), RouterInput("how many bricks in case 900")
N_TRAIN = 20


def row(subject: str, number: int, score: float, split: str = "train") -> dict[str, object]:
    """A query about a subject, with a score on it."""
    key, text = f"{split}-{subject}-{number}", f"how many {subject} in case {number}"
    return {"key": key, "text": text, "subject": subject, "split": split, "score": score}


def bring(store: Store, folder: Path, expert: str, apples: float, bricks: float) -> None:
    """Import an expert's scores on the training split, the same for each query of a subject."""
    scores = {"apples": apples, "bricks": bricks}
    tables.bring(store, folder, expert, *(row(s, n, score) for s, score in scores.items() for n in range(N_TRAIN)))


def fill(store: Store, folder: Path) -> None:
    """Experts ann and bob, the pool `bobs` with bob alone, and router `r` over the pool `all`."""
    tables.add_experts(store, ann=1.0, bob=2.0)
    bring(store, folder, "ann", 1.0, 0.5)
    bring(store, folder, "bob", 0.0, 1.0)
    with store.writing() as connection:
        connection.execute(update(Expert).values(engine="echo", model="echo"))
        experts.change_pool(connection, "bobs", add=["bob"])
    train(store, folder)


def train(store: Store, folder: Path, pool: str = "all", max_fallback: float = 0.0, name: str = "r") -> Trained:
    """Train a router, or train it again. Without a fallback its artifact is the same for every pool."""
    return train_router(
        store,
        folder,
        name,
        level=Level.SUBJECT,
        kind="tfidf",
        head=None,
        pool=pool,
        benchmark=None,
        split="train",
        max_fallback=max_fallback,
    )


def train_on_more(store: Store, folder: Path) -> Trained:
    """Train router `r` again after another query was added, which gives it another artifact."""
    for expert in ("ann", "bob"):
        tables.bring(store, folder, expert, row("apples", 500, 1.0) | {"text": "pears and plums"})
    return train(store, folder)


def run_shards(store: Store, home: Path, job_id: int, queues: Sequence[str], n: int | None = None) -> JobRow:
    """Run `n` shards of a job, or all that wait in these queues; the job after that."""
    executor = Executor(store, home, lease_s=60)
    try:
        while n != 0 and executor.run_next(queues, job_ids=[job_id]):
            n = None if n is None else n - 1
    finally:
        executor.unload()
    with store.reading() as connection:
        return jobs.read_job(connection, job_id)


def open_old_job(store: Store, kind: str, request: dict[str, object]) -> int:
    """A job as release 0.1.0 left it open: its request names no snapshot, and a shard of its first stage waits."""
    with store.writing() as connection:
        job_id, _ = jobs.open_job(connection, kind, request)
        group = jobs.NewShardGroup(Queue.CPU, [({"from": 0, "to": 1}, 1)])
        jobs.add_shard_groups(connection, job_id, 0, [group])
    return job_id


def snapshot_by_hand(**changes: Any) -> RoutingSnapshot:
    """A snapshot without a store: experts ann (id 1, cost 1) and bob (id 2, cost 5), ann the best single expert."""
    scope = Scope(PoolRef(1, "all", 0.95), 1, "toy", "train")
    router = TrainedRouter(1, "r", "subject", "tfidf", "routers/r/0", scope, "0", Policy.BEST, 40)
    labels = {
        "apples": SubjectLabel("apples", "ann", 1.0, 20, 1.0, 1, "measured", 1, False),
        "bricks": SubjectLabel("bricks", "bob", 1.0, 20, 0.5, 1, "measured", 1, False),
    }
    fields: dict[str, Any] = {
        "router": router,
        "members": {"ann": 1, "bob": 2},
        "eligible": ["ann", "bob"],
        "labels": labels,
        "means": {"apples": {"ann": 1.0, "bob": 0.0}, "bricks": {"ann": 0.5, "bob": 1.0}},
        "overall": {"ann": 0.75, "bob": 0.5},
        "best_single": "ann",
        "costs": {"ann": 1.0, "bob": 5.0},
    }
    return RoutingSnapshot(**fields | changes)


def decided_by_hand(chosen: Sequence[str], subjects: Sequence[str], split: str = "test") -> SplitDecisions:
    """Decisions without a store, with a query (its id counts from 1) for each chosen expert and subject."""
    questions = [
        Question(id_, str(id_), subject, split, 1, RouterInput(subject)) for id_, subject in enumerate(subjects, 1)
    ]
    request = {"benchmark": "toy", "split": split, "max_cost": None, "quality_weight": 1.0, "second_price": 0.0}
    decisions = [Decision(name, fell_back=False) for name in chosen]
    return SplitDecisions(request, snapshot_by_hand(), 1, 1, questions, decisions, 0.5)
