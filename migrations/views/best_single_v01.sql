-- The best single expert of a pool on each split of a benchmark: highest mean over the whole split, then
-- lower cost, then name, among those with scores for at least the pool's min_coverage of it.
CREATE VIEW best_single AS
WITH size AS (
  SELECT su.benchmark_id, st.split, SUM(st.n_queries) AS n_queries
  FROM stratum st JOIN subject su ON su.id = st.subject_id
  GROUP BY su.benchmark_id, st.split
), total AS (
  SELECT x.expert_id, su.benchmark_id, st.split, SUM(x.n) AS n,
         CAST(SUM(x.total_micro) AS DOUBLE PRECISION) / (CAST(SUM(x.n) AS DOUBLE PRECISION) * 1000000) AS mean
  FROM score_sum x JOIN stratum st ON st.id = x.stratum_id JOIN subject su ON su.id = st.subject_id
  GROUP BY x.expert_id, su.benchmark_id, st.split
), ranked AS (
  SELECT pe.pool_id, t.benchmark_id, t.split, t.expert_id, e.name AS expert, t.mean,
         CAST(t.n AS INTEGER) AS n, CAST(size.n_queries AS INTEGER) AS n_queries,
         ROW_NUMBER() OVER (PARTITION BY pe.pool_id, t.benchmark_id, t.split
                            ORDER BY t.mean DESC, e.cost IS NULL, e.cost, e.name) AS rank
  FROM total t
  JOIN size ON size.benchmark_id = t.benchmark_id AND size.split = t.split
  JOIN pool_expert pe ON pe.expert_id = t.expert_id
  JOIN pool p ON p.id = pe.pool_id
  JOIN expert e ON e.id = t.expert_id
  WHERE t.n >= p.min_coverage * size.n_queries - 0.000001
)
SELECT pool_id, benchmark_id, split, expert_id, expert, mean, n, n_queries
FROM ranked
WHERE rank = 1
