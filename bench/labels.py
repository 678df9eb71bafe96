"""Label views against DuckDB, and the cost of a new expert at a million queries.

    python bench/labels.py small [--postgres URL]     12,032 queries x 29 experts
    python bench/labels.py large [--experts 32] [--queries 1000000] [--postgres URL]

small: both levels of labels through the public command, against the same label set computed by DuckDB
(winner by score, then by rank in its stratum; ties, margin, all wrong) over the same rows.
large: the cost of adding the 2nd and the last expert, until both levels of labels are current again.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from harness import command, markdown, seconds
from sqlalchemy import text

from benchcoe_jobs.domain import Query
from benchcoe_jobs.store.migrate import upgrade
from benchcoe_jobs.store.results import aggregates, catalog, experts, responses
from benchcoe_jobs.store.results.responses import NewScore
from benchcoe_jobs.store.session import Store, connect

SUBJECTS = 14
SEED = 0

# DuckDB's own best: one hash aggregate over the scores; equal values of a query are counted by a
# first aggregate over (query, value), as is the second-best value.
DUCKDB_LABELS = """
CREATE OR REPLACE TABLE ranked AS
SELECT stratum, expert, AVG(value) AS mean,
       ROW_NUMBER() OVER (PARTITION BY stratum ORDER BY AVG(value) DESC, expert) AS rank
FROM score WHERE stratum IN (SELECT stratum FROM scope) GROUP BY stratum, expert;
CREATE OR REPLACE TABLE subject_label AS SELECT stratum, expert, mean FROM ranked WHERE rank = 1;
CREATE OR REPLACE TABLE query_label AS
SELECT s.query, arg_max(s.expert, s.value * 1000 - r.rank) AS expert, max(s.value) AS value,
       CASE WHEN count(*) FILTER (s.value = 1) > 0 THEN count(*) FILTER (s.value = 1) ELSE count(*) END AS tied
FROM score s JOIN ranked r ON r.stratum = s.stratum AND r.expert = s.expert
GROUP BY s.query;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=["small", "large"])
    parser.add_argument("--experts", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--postgres", metavar="URL", help="an empty database, measured beside SQLite")
    options = parser.parse_args()
    n_experts = options.experts or (29 if options.size == "small" else 32)
    n_queries = options.queries or (12_032 if options.size == "small" else 1_000_000)
    world = World(n_queries, n_experts)
    duck = filled_duckdb(world)
    print(f"{n_queries:,} queries x {n_experts} experts, generated, {SUBJECTS} subjects; split train is labelled\n")
    with tempfile.TemporaryDirectory() as folder:
        urls = {"SQLite": f"sqlite:///{folder}/benchcoe.db"}
        if options.postgres:
            urls["PostgreSQL"] = options.postgres
        columns = [
            "2nd expert s",
            "last expert s",
            "ratio",
            "DuckDB, ms",
            "labels again, ms",
            "x DuckDB",
            "first time, ms",
            "x DuckDB",
        ]
        for name, url in urls.items():
            row = measure(url, world, duck, Path(folder))
            markdown([name, *columns, "bytes a score row"], [["", *row]])


class World:
    """Generated scores: every expert has a mean for every subject."""

    def __init__(self, n_queries: int, n_experts: int) -> None:
        rng = np.random.default_rng(SEED)
        self.n_queries, self.n_experts = n_queries, n_experts
        self.subject = rng.integers(0, SUBJECTS, n_queries)
        self.hardness = rng.random(n_queries)
        self.skill = 0.3 + 0.4 * rng.random((n_experts, SUBJECTS))

    def scores(self, expert: int) -> np.ndarray:
        """0 or 1 for every query. Half of the randomness is shared by all experts, so that they correlate."""
        rng = np.random.default_rng([SEED, expert])
        luck = 0.5 * self.hardness + 0.5 * rng.random(self.n_queries)
        return (luck < self.skill[expert, self.subject]).astype(float)

    def queries(self) -> list[Query]:
        return [Query(str(i), f"subject-{s:02}", f"question {i}") for i, s in enumerate(self.subject)]


def measure(url: str, world: World, duckdb_labels: Callable[[], object], folder: Path) -> list[str]:
    store = connect(url)
    upgrade(store)
    with store.writing() as connection:
        benchmark_id = catalog.ensure_benchmark(connection, "generated")
        catalog.add_queries(connection, benchmark_id, world.queries())
        stored = catalog.stored_queries(connection, benchmark_id)
        places = [(stored[str(i)].id, stored[str(i)].stratum_id) for i in range(world.n_queries)]
        for expert in range(world.n_experts):
            experts.add_expert(connection, experts.ExpertRow(f"expert-{expert:02}", "recorded"))
    costs = [add_expert(store, benchmark_id, places, world, expert) for expert in range(world.n_experts)]
    # The medians include neighbours of the 2nd and of the last: one commit may meet a checkpoint.
    early, late = statistics.median(costs[1:4]), statistics.median(costs[-3:])
    settings = ["--database-url", url, "--home", str(folder)]
    first = timed_labels(settings)
    duck = seconds(duckdb_labels)  # in the same run: the speed of shared machines drifts
    again = seconds(lambda: timed_labels(settings))
    size = bytes_per_row(store, world)
    store.close()
    return [
        f"{early:.2f}",
        f"{late:.2f}",
        f"{late / early:.2f}",
        f"{duck * 1000:.0f}",
        f"{again * 1000:.0f}",
        f"{again / duck:.1f}",
        f"{first * 1000:.0f}",
        f"{first / duck:.1f}",
        f"{size:.1f}",
    ]


def add_expert(store: Store, benchmark_id: int, places: list[tuple[int, int]], world: World, expert: int) -> float:
    """Seconds from an expert's scores in memory to both levels of labels current and committed."""
    scores = [
        NewScore(query, stratum, value)
        for (query, stratum), value in zip(places, world.scores(expert).tolist(), strict=True)
    ]
    start = time.perf_counter()
    with store.writing() as connection:
        expert_id = experts.find_expert(connection, f"expert-{expert:02}")
        run_id = responses.ensure_run(connection, expert_id, benchmark_id, {"generated": expert})
        responses.write_scores(connection, expert_id, run_id, scores)
        aggregates.refresh(connection, [benchmark_id], {(expert_id, stratum) for _, stratum in set(places)})
    return time.perf_counter() - start


def timed_labels(settings: list[str]) -> float:
    start = time.perf_counter()
    for level in ("subject", "query"):
        command("build-labels", "--level", level, *settings)
    return time.perf_counter() - start


def filled_duckdb(world: World) -> Callable[[], object]:
    """DuckDB with the same rows in memory. Returns a function that computes both levels over the train split."""
    from benchcoe_jobs.domain import assign_split

    strata = np.array(
        [
            3 * s + ("train", "validation", "test").index(assign_split(q.content_hash))
            for q, s in zip(world.queries(), world.subject, strict=True)
        ]
    )
    database = duckdb.connect()
    database.execute("SET threads = 2")
    database.execute("CREATE TABLE score (expert INTEGER, query INTEGER, stratum INTEGER, value DOUBLE)")
    for expert in range(world.n_experts):
        columns: dict[str, Any] = {
            "expert": np.full(world.n_queries, expert),
            "query": np.arange(world.n_queries),
            "stratum": strata,
            "value": world.scores(expert),
        }
        database.register("batch", columns)
        database.execute("INSERT INTO score SELECT * FROM batch")
    database.execute(f"CREATE TABLE scope AS SELECT 3 * range AS stratum FROM range({SUBJECTS})")
    return lambda: database.execute(DUCKDB_LABELS)


def bytes_per_row(store: Store, world: World) -> float:
    with store.reading() as connection:
        if store.is_sqlite:
            size = connection.execute(text("SELECT SUM(pgsize) FROM dbstat WHERE name = 'score'")).scalar_one()
        else:
            size = connection.execute(text("SELECT pg_total_relation_size('score')")).scalar_one()
    return float(size) / (world.n_queries * world.n_experts)


if __name__ == "__main__":
    main()
