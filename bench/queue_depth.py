"""The cost of the queue's depth: submit, status and claim with a million waiting shards against a thousand.

    python bench/queue_depth.py [--deep 1000000] [--times 20]

Shards wait in groups of fifty (one expert, one benchmark), of twenty experts, in jobs of four groups. Submit adds a job
of a hundred shards and counts its tickets; status is what `benchcoe-jobs status` and `jobs` read; claim is one shard
for a worker that has an expert loaded, for one that has none, and for one that finishes a shard and claims the next.
Every figure is a median, with both depths measured in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness import markdown
from servers import Site, postgres_store, site, sqlite_store
from sqlalchemy import Connection, event, insert, text

from benchcoe_jobs.dispatch.celery import MOST_TICKETS
from benchcoe_jobs.domain import Queue
from benchcoe_jobs.job_queue.lifecycle import submit
from benchcoe_jobs.store.job_queue import claims, jobs, leases, transitions, unfinished, workers
from benchcoe_jobs.store.job_queue.tables import ShardGroup
from benchcoe_jobs.store.job_queue.turns import LoadedExpert
from benchcoe_jobs.store.results import experts
from benchcoe_jobs.store.session import Store

SHARDS_PER_GROUP, GROUPS_PER_JOB, EXPERTS = 50, 4, 20
SHALLOW = 1000
WORK = {"benchmark": "mmlu-pro", "queries": list(range(10_000, 10_032))}
SHARDS = """
WITH RECURSIVE piece (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM piece WHERE n < :n)
INSERT INTO shard (shard_group_id, state, work, items, reused, answered, errors, attempts, fence)
SELECT shard_group.id, 'waiting', :work, 32, 0, 0, 0, 0, 0 FROM shard_group CROSS JOIN piece ORDER BY shard_group.id
"""


@dataclass
class Depth:
    """A store with the given number of waiting shards, and its measurements."""

    name: str
    store: Store
    n: int
    number: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deep", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    rows = []
    with site("benchcoe_jobs.jobs: noop = plugins:NoOp") as made:
        for name, make in (("SQLite", sqlite_store), ("PostgreSQL", postgres_store)):
            rows += measure(made, name, make, options.deep, options.times)
    markdown(["", "step", f"at {SHALLOW:,}, ms", f"at {options.deep:,}, ms", "ratio"], rows)


def measure(made: Site, name: str, make: Callable[[Site, str], Store], deep: int, times: int) -> list[list[str]]:
    depths = [Depth(name, make(made, f"depth{n}"), n) for n in (SHALLOW, deep)]
    for depth in depths:
        fill(depth)
    rows = []
    for step in (submit_one, status, claim_next, claim_resident, finish_and_claim):
        taken: tuple[list[float], list[float]] = ([], [])
        for number in range(times + 1):
            for depth, found in zip(depths, taken, strict=True):
                found.append(step(depth, number))
        shallow, much = (statistics.median(found[1:]) * 1000 for found in taken)
        rows.append([name, step.__doc__ or "", f"{shallow:.1f}", f"{much:.1f}", f"{much / shallow:.2f}"])
    print_plans(depths[1])
    for depth in depths:
        depth.store.close()
    return rows


def fill(depth: Depth) -> None:
    """Add waiting jobs, with the rows that `submit` would write."""
    with depth.store.writing() as connection:
        ids = []
        for number in range(EXPERTS):
            experts.add_expert(connection, experts.ExpertRow(f"expert-{number:02}", "recorded"))
            ids.append(experts.find_expert(connection, f"expert-{number:02}"))
        n_groups = depth.n // SHARDS_PER_GROUP
        rows = []
        for first in range(0, n_groups, GROUPS_PER_JOB):
            job_id, _ = jobs.open_job(connection, "noop", {"shards": 0, "first": first})
            rows += [
                {
                    "job_id": job_id,
                    "stage": 0,
                    "queue": Queue.CPU.value,
                    "expert_id": ids[number % EXPERTS],
                    "gpus": 0,
                    "waiting": SHARDS_PER_GROUP,
                    "items": SHARDS_PER_GROUP * 32,
                }
                for number in range(first, min(first + GROUPS_PER_JOB, n_groups))
            ]
        connection.execute(insert(ShardGroup), rows)
        cast = ":work" if depth.store.is_sqlite else "CAST(:work AS JSON)"
        connection.execute(text(SHARDS.replace(":work", cast)), {"work": json.dumps(WORK), "n": SHARDS_PER_GROUP})
    with depth.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if depth.store.is_sqlite else "VACUUM ANALYZE"))


def submit_one(depth: Depth, number: int) -> float:
    """submit"""

    def step(connection: Connection) -> None:
        submit(connection, "noop", {"shards": 100, "number": number})
        unfinished.waiting_shards(connection, MOST_TICKETS)

    return timed(depth.store, step)


def status(depth: Depth, number: int) -> float:
    """status"""

    def step(connection: Connection) -> None:
        job_id = 1 + number
        jobs.read_job(connection, job_id)
        jobs.shard_groups(connection, [job_id])
        transitions.failures(connection, job_id, 10)
        jobs.followers(connection, job_id)
        workers.workers(connection)
        found = jobs.list_jobs(connection, limit=50)
        jobs.shard_groups(connection, [job.id for job in found])

    return timed(depth.store, step)


def claim_next(depth: Depth, number: int) -> float:
    """claim, no expert loaded"""
    return timed(depth.store, lambda connection: take(connection, None))


def claim_resident(depth: Depth, number: int) -> float:
    """claim, an expert loaded"""
    return timed(depth.store, lambda connection: take(connection, 7))


def finish_and_claim(depth: Depth, number: int) -> float:
    """finish, and claim the next of the group"""
    with depth.store.writing() as connection:
        claim = take(connection, 9)
    return timed(depth.store, lambda connection: claims.finish_and_claim(connection, claim, lease_s=60))


def take(connection: Connection, expert_id: int | None) -> leases.Claim:
    loaded = None if expert_id is None else LoadedExpert(expert_id, since_s=1.0, load_s=60.0)
    claim = claims.claim(connection, "bench:1@here.1", ["cpu"], lease_s=3600, loaded=loaded)
    assert claim is not None
    return claim


def timed(store: Store, step: Callable[[Connection], Any]) -> float:
    start = time.perf_counter()
    with store.writing() as connection:
        step(connection)
    return time.perf_counter() - start


def print_plans(depth: Depth) -> None:
    """EXPLAIN of every statement of a claim and of a status, at this depth."""
    seen: dict[str, Any] = {}

    def hear(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            seen.setdefault(statement, parameters)

    event.listen(depth.store.engine, "before_cursor_execute", hear)
    claim_resident(depth, 0)
    finish_and_claim(depth, 0)
    status(depth, 0)
    event.remove(depth.store.engine, "before_cursor_execute", hear)
    explain = "EXPLAIN QUERY PLAN " if depth.store.is_sqlite else "EXPLAIN "
    print(f"{depth.name}, {depth.n:,} shards\n")
    with depth.store.reading() as connection:
        for statement, parameters in seen.items():
            print("    " + " ".join(statement.split())[:110])
            for row in connection.exec_driver_sql(explain + statement, parameters):
                print(f"        {row[-1]}")
    print()


if __name__ == "__main__":
    main()
