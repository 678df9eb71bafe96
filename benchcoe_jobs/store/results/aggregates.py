"""Keep sums, ranks and query labels up to date, in the transaction that changes the scores behind them.

The label views are live: code that changes scores, pools or queries calls `refresh` before the commit. The scores of
a new expert are *merged* into the materialised labels at a cost that does not grow with the number of experts. A
stratum is rebuilt only if existing scores in it changed, or if the order of its other experts changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, bindparam, delete, select, text

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.results.settling import forget_estimates
from benchcoe_jobs.store.tables import PoolRank, QueryBest, ScoreSum, Stratum, Subject
from benchcoe_jobs.store.views import expert_rank

if TYPE_CHECKING:
    from benchcoe_jobs.store.results.score_grid import ScoreGrid

RankingKey = tuple[int, int]
"""(pool id, stratum id): the key of a ranking."""

_SUMS = text("""
INSERT INTO score_sum (expert_id, stratum_id, n, total_micro)
SELECT expert_id, stratum_id, COUNT(*), SUM(CAST(ROUND(value * 1000000) AS BIGINT))
FROM score
WHERE expert_id = :expert
  AND stratum_id IN (SELECT st.id FROM stratum st JOIN subject su ON su.id = st.subject_id
                     WHERE su.benchmark_id = :benchmark)
GROUP BY expert_id, stratum_id
""")

# For a few strata: their queries are looked up by key, and the expert's other scores are not read.
_SUMS_OF_STRATA = text("""
INSERT INTO score_sum (expert_id, stratum_id, n, total_micro)
SELECT s.expert_id, q.stratum_id, COUNT(*), SUM(CAST(ROUND(s.value * 1000000) AS BIGINT))
FROM query q
JOIN score s ON s.expert_id = :expert AND s.query_id = q.id
WHERE q.stratum_id IN :strata
GROUP BY s.expert_id, q.stratum_id
""").bindparams(bindparam("strata", expanding=True))

_DELETE_SUMS = text("""
DELETE FROM score_sum
WHERE expert_id = :expert
  AND stratum_id IN (SELECT st.id FROM stratum st JOIN subject su ON su.id = st.subject_id
                     WHERE su.benchmark_id = :benchmark)
""")

# `tied` counts the experts with the best score, `runner_up` is the second-best expert's score (equal to
# `value` if there is a tie). Both can be merged in any order; the winner of a tie is the expert of better rank. A
# score below the two best changes nothing, and its row is not written.
_MERGE_SQLITE = text("""
INSERT INTO query_best (pool_id, query_id, stratum_id, expert_id, value, tied, runner_up)
SELECT f.pool_id, s.query_id, s.stratum_id, s.expert_id, s.value, 1, NULL
FROM score s
CROSS JOIN merge_key f
WHERE s.expert_id = :expert AND f.expert_id = s.expert_id AND f.stratum_id = s.stratum_id
ON CONFLICT (pool_id, query_id) DO UPDATE SET
  expert_id = CASE
    WHEN excluded.value > query_best.value THEN excluded.expert_id
    WHEN excluded.value < query_best.value THEN query_best.expert_id
    WHEN (SELECT r.rank FROM pool_rank r
          WHERE r.pool_id = excluded.pool_id AND r.stratum_id = excluded.stratum_id
            AND r.expert_id = excluded.expert_id)
       < (SELECT r.rank FROM pool_rank r
          WHERE r.pool_id = query_best.pool_id AND r.stratum_id = query_best.stratum_id
            AND r.expert_id = query_best.expert_id)
    THEN excluded.expert_id ELSE query_best.expert_id END,
  tied = CASE
    WHEN excluded.value > query_best.value THEN 1
    WHEN excluded.value < query_best.value THEN query_best.tied
    ELSE query_best.tied + 1 END,
  runner_up = CASE
    WHEN excluded.value > query_best.value THEN query_best.value
    WHEN query_best.runner_up > excluded.value THEN query_best.runner_up
    ELSE excluded.value END,
  value = CASE WHEN excluded.value > query_best.value THEN excluded.value ELSE query_best.value END
WHERE excluded.value >= query_best.value
   OR query_best.runner_up IS NULL
   OR excluded.value > query_best.runner_up
""")

# PostgreSQL has no statistics of what this transaction wrote: it would take a million new scores for one
# row, and look them up row by row. So they are copied into a table and analysed first; the joins are then
# hash joins, for which the default work_mem of a server is small.
_MERGE_POSTGRESQL = [
    text(statement)
    for statement in (
        "SET LOCAL work_mem = '128MB'",
        "SET LOCAL enable_nestloop = off",
        """
CREATE TEMPORARY TABLE new_score ON COMMIT DROP AS
SELECT f.pool_id, s.query_id, s.stratum_id, s.expert_id, s.value, r.rank
FROM score s
JOIN merge_key f ON f.expert_id = s.expert_id AND f.stratum_id = s.stratum_id
JOIN pool_rank r ON r.pool_id = f.pool_id AND r.stratum_id = f.stratum_id AND r.expert_id = f.expert_id
WHERE s.expert_id = :expert
""",
        "SET LOCAL enable_nestloop TO DEFAULT",
        "ANALYZE new_score",
        """
UPDATE query_best b SET
  expert_id = CASE WHEN n.value > b.value OR (n.value = b.value AND n.rank < r.rank)
                   THEN n.expert_id ELSE b.expert_id END,
  tied = CASE WHEN n.value > b.value THEN 1 WHEN n.value < b.value THEN b.tied ELSE b.tied + 1 END,
  runner_up = CASE WHEN n.value > b.value THEN b.value WHEN b.runner_up > n.value THEN b.runner_up ELSE n.value END,
  value = GREATEST(n.value, b.value)
FROM new_score n, pool_rank r
WHERE b.pool_id = n.pool_id AND b.query_id = n.query_id
  AND r.pool_id = b.pool_id AND r.stratum_id = b.stratum_id AND r.expert_id = b.expert_id
  AND (n.value >= b.value OR b.runner_up IS NULL OR n.value > b.runner_up)
""",
        """
INSERT INTO query_best (pool_id, query_id, stratum_id, expert_id, value, tied, runner_up)
SELECT n.pool_id, n.query_id, n.stratum_id, n.expert_id, n.value, 1, NULL
FROM new_score n
WHERE NOT EXISTS (SELECT 1 FROM query_best b WHERE b.pool_id = n.pool_id AND b.query_id = n.query_id)
""",
        "DROP TABLE new_score",
    )
]


def refresh(
    connection: Connection,
    benchmark_ids: Collection[int],
    changed: Collection[tuple[int, int]] = (),
    grids: Mapping[int, ScoreGrid] = MappingProxyType({}),
) -> None:
    """Bring sums, ranks and query labels of some benchmarks up to date. Estimates of changed strata are deleted.

    `changed` holds the (expert id, stratum id) whose scores were written in this transaction. `grids` has scores, by
    benchmark id, that need not be read again: all scores of their experts on the benchmark.
    """
    _lock(connection)
    forget_estimates(connection, changed)
    for benchmark_id in benchmark_ids:
        grid = grids.get(benchmark_id)
        in_grid = set() if grid is None else set(grid.expert_ids.tolist())
        if grid is not None:
            bulk.insert(connection, ScoreSum, ["expert_id", "stratum_id", "n", "total_micro"], grid.sums())
        for expert_id in sorted({expert for expert, _ in changed} - in_grid):
            names = {"expert": expert_id, "benchmark": benchmark_id}
            connection.execute(_DELETE_SUMS, names)
            connection.execute(_SUMS, names)
        strata = select(Stratum.id).join(Subject, Subject.id == Stratum.subject_id)
        _rerank(connection, strata.where(Subject.benchmark_id == benchmark_id), set(changed), grid)


def refresh_strata(connection: Connection, changed: Collection[tuple[int, int]]) -> None:
    """The same if only a few scores, of some (expert id, stratum id), were written in this transaction.

    The cost depends on the size of their subjects, not of their benchmarks. All strata of a subject are read, because
    a measured score in one of them ends the use of reported scores in all of them.
    """
    if not changed:
        return
    _lock(connection)
    for expert_id, group in groupby(sorted(changed), key=lambda pair: pair[0]):
        ids = [stratum for _, stratum in group]
        connection.execute(delete(ScoreSum).where(ScoreSum.expert_id == expert_id, ScoreSum.stratum_id.in_(ids)))
        connection.execute(_SUMS_OF_STRATA, {"expert": expert_id, "strata": ids})
    subjects = select(Stratum.subject_id).where(Stratum.id.in_({stratum for _, stratum in changed}))
    strata = connection.scalars(select(Stratum.id).where(Stratum.subject_id.in_(subjects))).all()
    _rerank(connection, strata, set(changed))


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(text("LOCK TABLE pool_rank IN EXCLUSIVE MODE"))


def _rerank(
    connection: Connection,
    strata: Select[Any] | Sequence[int],
    changed: Collection[tuple[int, int]],
    grid: ScoreGrid | None = None,
) -> None:
    before = _rankings(
        connection,
        select(PoolRank.pool_id, PoolRank.stratum_id, PoolRank.expert_id)
        .where(PoolRank.stratum_id.in_(strata))
        .order_by(PoolRank.pool_id, PoolRank.stratum_id, PoolRank.rank),
    )
    view = expert_rank.c
    after = _rankings(
        connection,
        select(view.pool_id, view.stratum_id, view.expert_id)
        .where(view.stratum_id.in_(strata))
        .order_by(view.pool_id, view.stratum_id, view.rank),
    )

    rebuilt: list[RankingKey] = []
    merges: list[tuple[int, int, int]] = []
    in_grid = set() if grid is None else set(grid.expert_ids.tolist())
    from_grid: list[RankingKey] = []
    reranked: list[RankingKey] = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, []), after.get(key, [])
        stayed = set(old)
        if any((expert, key[1]) in changed for expert in old) or [e for e in new if e in stayed] != old:
            rebuilt.append(key)
            merges += [(*key, expert) for expert in new]
        elif not old and in_grid.issuperset(new):
            from_grid.append(key)
        else:
            merges += [(*key, expert) for expert in new if expert not in stayed]
        if old != new:
            reranked.append(key)

    _delete(connection, PoolRank, reranked)
    ranks = [(*key, expert, rank) for key in reranked for rank, expert in enumerate(after.get(key, []), 1)]
    bulk.insert(connection, PoolRank, ["pool_id", "stratum_id", "expert_id", "rank"], ranks)
    _delete(connection, QueryBest, rebuilt)
    if grid is not None:
        best = chain.from_iterable(grid.best(*key, after[key]) for key in from_grid)
        names = ["pool_id", "query_id", "stratum_id", "expert_id", "value", "tied", "runner_up"]
        bulk.insert(connection, QueryBest, names, best)
    _merge(connection, merges)


def _rankings(connection: Connection, query: object) -> dict[RankingKey, list[int]]:
    rows = connection.execute(query)  # type: ignore[call-overload]
    return {key: [row[2] for row in group] for key, group in groupby(rows, key=lambda row: (row[0], row[1]))}


def _delete(connection: Connection, table: type[PoolRank] | type[QueryBest], keys: list[RankingKey]) -> None:
    for pool_id, group in groupby(keys, key=lambda key: key[0]):
        strata = [stratum for _, stratum in group]
        connection.execute(delete(table).where(table.pool_id == pool_id, table.stratum_id.in_(strata)))


def _merge(connection: Connection, merges: list[tuple[int, int, int]]) -> None:
    """Merge the scores of (pool id, stratum id, expert id) into `query_best`, expert by expert."""
    if not merges:
        return
    connection.execute(text("DROP TABLE IF EXISTS merge_key"))
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE merge_key (pool_id INTEGER, stratum_id INTEGER, expert_id INTEGER,"
            " PRIMARY KEY (expert_id, stratum_id, pool_id))"
        )
    )
    connection.execute(
        text("INSERT INTO merge_key VALUES (:pool, :stratum, :expert)"),
        [{"pool": pool, "stratum": stratum, "expert": expert} for pool, stratum, expert in merges],
    )
    statements = [_MERGE_SQLITE] if connection.dialect.name == "sqlite" else _MERGE_POSTGRESQL
    for expert in sorted({expert for _, _, expert in merges}):
        for statement in statements:
            connection.execute(statement, {"expert": expert} if ":expert" in statement.text else {})
    connection.execute(text("DROP TABLE merge_key"))
