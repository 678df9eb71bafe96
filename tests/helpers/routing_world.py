"""A store with two experts and a subject-level router, whose decisions can be worked out by hand.

On the training split ann is right about apples and bob about bricks; ann is also half right about bricks, which makes
her the best single expert. The experts have the engine `echo`, which repeats a prompt in capital letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tables
from sqlalchemy import update

from benchcoe_jobs.domain import Level, Queue, RouterInput
from benchcoe_jobs.job_queue.executor import Executor
from benchcoe_jobs.services.training.train import Trained, train_router
from benchcoe_jobs.store.job_queue import jobs
from benchcoe_jobs.store.job_queue.jobs import JobRow
from benchcoe_jobs.store.results import experts
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


def train(store: Store, folder: Path, pool: str = "all", max_fallback: float = 0.0) -> Trained:
    """Train router `r`, or train it again. Without a fallback its artifact is the same for every pool."""
    return train_router(
        store,
        folder,
        "r",
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
