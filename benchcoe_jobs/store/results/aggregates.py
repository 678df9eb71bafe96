"""Keep sums, ranks and query labels current, in the transaction that changed what they stand on.

The label views are live: whoever changes scores, pools or queries calls `refresh` before the
commit. A newcomer's scores are *folded* into the standing labels, expert by expert, at a cost that
does not grow with the number of experts. Only where an expert's existing scores changed, or the
order of the others did, is a stratum built again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select, text

from benchcoe_jobs.store import bulk
from benchcoe_jobs.store.tables import PoolRank, QueryBest, ScoreSum, Stratum, Subject
from benchcoe_jobs.store.views import expert_rank

RankingKey = tuple[int, int]
"""(pool id, stratum id): what a ranking is about."""

_SUMS = text("""
INSERT INTO score_sum (expert_id, stratum_id, n, total_micro)
SELECT expert_id, stratum_id, COUNT(*), SUM(CAST(ROUND(value * 1000000) AS BIGINT))
FROM score
WHERE expert_id = :expert
  AND stratum_id IN (SELECT st.id FROM stratum st JOIN subject su ON su.id = st.subject_id
                     WHERE su.benchmark_id = :benchmark)
GROUP BY expert_id, stratum_id
""")

# A few strata: their queries are looked up one by one, and the expert's other scores are left alone.
_SUMS_OF_STRATA = text("""
INSERT INTO score_sum (expert_id, stratum_id, n, total_micro)
SELECT s.expert_id, q.stratum_id, COUNT(*), SUM(CAST(ROUND(s.value * 1000000) AS BIGINT))
FROM query q
JOIN score s ON s.expert_id = :expert AND s.query_id = q.id
WHERE q.stratum_id IN :strata
GROUP BY s.expert_id, q.stratum_id
""").bindparams(bindparam("strata", expanding=True))

_FORGET_SUMS = text("""
DELETE FROM score_sum
WHERE expert_id = :expert
  AND stratum_id IN (SELECT st.id FROM stratum st JOIN subject su ON su.id = st.subject_id
                     WHERE su.benchmark_id = :benchmark)
""")

# `tied` counts the experts at the top, `runner_up` is the second-best expert's score (equal to
# `value` under a tie). Both fold in any order; the winner of a tie is the one of better rank. A score
# below the two best changes nothing, and its row is left unwritten.
_FOLD_SQLITE = text("""
INSERT INTO query_best (pool_id, query_id, stratum_id, expert_id, value, tied, runner_up)
SELECT f.pool_id, s.query_id, s.stratum_id, s.expert_id, s.value, 1, NULL
FROM score s
CROSS JOIN fold f
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

# PostgreSQL has no statistics of what this transaction wrote and would take the newcomer's million
# scores for one row, to be looked up row by row. So they are set apart and counted first; the joins
# are then hash joins, for which a server's default work_mem is small.
_FOLD_POSTGRESQL = [
    text(statement)
    for statement in (
        "SET LOCAL work_mem = '128MB'",
        "SET LOCAL enable_nestloop = off",
        """
CREATE TEMPORARY TABLE newcomer ON COMMIT DROP AS
SELECT f.pool_id, s.query_id, s.stratum_id, s.expert_id, s.value, r.rank
FROM score s
JOIN fold f ON f.expert_id = s.expert_id AND f.stratum_id = s.stratum_id
JOIN pool_rank r ON r.pool_id = f.pool_id AND r.stratum_id = f.stratum_id AND r.expert_id = f.expert_id
WHERE s.expert_id = :expert
""",
        "SET LOCAL enable_nestloop TO DEFAULT",
        "ANALYZE newcomer",
        """
UPDATE query_best b SET
  expert_id = CASE WHEN n.value > b.value OR (n.value = b.value AND n.rank < r.rank)
                   THEN n.expert_id ELSE b.expert_id END,
  tied = CASE WHEN n.value > b.value THEN 1 WHEN n.value < b.value THEN b.tied ELSE b.tied + 1 END,
  runner_up = CASE WHEN n.value > b.value THEN b.value WHEN b.runner_up > n.value THEN b.runner_up ELSE n.value END,
  value = GREATEST(n.value, b.value)
FROM newcomer n, pool_rank r
WHERE b.pool_id = n.pool_id AND b.query_id = n.query_id
  AND r.pool_id = b.pool_id AND r.stratum_id = b.stratum_id AND r.expert_id = b.expert_id
  AND (n.value >= b.value OR b.runner_up IS NULL OR n.value > b.runner_up)
""",
        """
INSERT INTO query_best (pool_id, query_id, stratum_id, expert_id, value, tied, runner_up)
SELECT n.pool_id, n.query_id, n.stratum_id, n.expert_id, n.value, 1, NULL
FROM newcomer n
WHERE NOT EXISTS (SELECT 1 FROM query_best b WHERE b.pool_id = n.pool_id AND b.query_id = n.query_id)
""",
        "DROP TABLE newcomer",
    )
]


def refresh(connection: Connection, benchmark_ids: Collection[int], changed: Collection[tuple[int, int]] = ()) -> None:
    """Bring sums, ranks and query labels of some benchmarks up to date.

    `changed` names the (expert id, stratum id) whose scores were written in this transaction.
    """
    _lock(connection)
    for benchmark_id in benchmark_ids:
        for expert_id in sorted({expert for expert, _ in changed}):
            names = {"expert": expert_id, "benchmark": benchmark_id}
            connection.execute(_FORGET_SUMS, names)
            connection.execute(_SUMS, names)
        strata = select(Stratum.id).join(Subject, Subject.id == Stratum.subject_id)
        _rerank(connection, strata.where(Subject.benchmark_id == benchmark_id), set(changed))


def refresh_strata(connection: Connection, changed: Collection[tuple[int, int]]) -> None:
    """The same after a few scores of some (expert id, stratum id) were written, and nothing else.

    Costs by the size of their subjects, not of their benchmarks: whether any query of a subject is scored
    decides over reported scores in all of its strata.
    """
    if not changed:
        return
    _lock(connection)
    for expert_id, group in groupby(sorted(changed), key=lambda pair: pair[0]):
        mine = [stratum for _, stratum in group]
        connection.execute(delete(ScoreSum).where(ScoreSum.expert_id == expert_id, ScoreSum.stratum_id.in_(mine)))
        connection.execute(_SUMS_OF_STRATA, {"expert": expert_id, "strata": mine})
    subjects = select(Stratum.subject_id).where(Stratum.id.in_({stratum for _, stratum in changed}))
    strata = connection.scalars(select(Stratum.id).where(Stratum.subject_id.in_(subjects))).all()
    _rerank(connection, strata, set(changed))


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(text("LOCK TABLE pool_rank IN EXCLUSIVE MODE"))


def _rerank(connection: Connection, strata: Select[Any] | Sequence[int], changed: Collection[tuple[int, int]]) -> None:
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
    folds: list[tuple[int, int, int]] = []
    reranked: list[RankingKey] = []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, []), after.get(key, [])
        stayed = set(old)
        if any((expert, key[1]) in changed for expert in old) or [e for e in new if e in stayed] != old:
            rebuilt.append(key)
            folds += [(*key, expert) for expert in new]
        else:
            folds += [(*key, expert) for expert in new if expert not in stayed]
        if old != new:
            reranked.append(key)

    _delete(connection, PoolRank, reranked)
    ranks = [(*key, expert, rank) for key in reranked for rank, expert in enumerate(after.get(key, []), 1)]
    bulk.insert(connection, PoolRank, ["pool_id", "stratum_id", "expert_id", "rank"], ranks)
    _delete(connection, QueryBest, rebuilt)
    _fold(connection, folds)


def _rankings(connection: Connection, query: object) -> dict[RankingKey, list[int]]:
    rows = connection.execute(query)  # type: ignore[call-overload]
    return {key: [row[2] for row in group] for key, group in groupby(rows, key=lambda row: (row[0], row[1]))}


def _delete(connection: Connection, table: type[PoolRank] | type[QueryBest], keys: list[RankingKey]) -> None:
    for pool_id, group in groupby(keys, key=lambda key: key[0]):
        strata = [stratum for _, stratum in group]
        connection.execute(delete(table).where(table.pool_id == pool_id, table.stratum_id.in_(strata)))


def _fold(connection: Connection, folds: list[tuple[int, int, int]]) -> None:
    if not folds:
        return
    connection.execute(text("DROP TABLE IF EXISTS fold"))
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE fold (pool_id INTEGER, stratum_id INTEGER, expert_id INTEGER,"
            " PRIMARY KEY (expert_id, stratum_id, pool_id))"
        )
    )
    connection.execute(
        text("INSERT INTO fold VALUES (:pool, :stratum, :expert)"),
        [{"pool": pool, "stratum": stratum, "expert": expert} for pool, stratum, expert in folds],
    )
    statements = [_FOLD_SQLITE] if connection.dialect.name == "sqlite" else _FOLD_POSTGRESQL
    for expert in sorted({expert for _, _, expert in folds}):
        for statement in statements:
            connection.execute(statement, {"expert": expert} if ":expert" in statement.text else {})
    connection.execute(text("DROP TABLE fold"))
