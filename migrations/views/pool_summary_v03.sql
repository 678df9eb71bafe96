-- Accuracies of a pool on each split of each benchmark, over its labelled queries: the best single expert,
-- the best expert of every subject (subject oracle) and the best expert of every query (oracle), as measured.
CREATE VIEW pool_summary AS
WITH size AS (
  SELECT su.benchmark_id, st.split, SUM(st.n_queries) AS n_queries
  FROM stratum st JOIN subject su ON su.id = st.subject_id
  GROUP BY su.benchmark_id, st.split
), by_subject AS (
  SELECT r.pool_id, su.benchmark_id, r.split,
         CAST(SUM(x.total_micro) AS DOUBLE PRECISION) / (CAST(SUM(x.n) AS DOUBLE PRECISION) * 1000000) AS mean
  FROM (SELECT pool_id, stratum_id, subject_id, split, expert_id,
               ROW_NUMBER() OVER (PARTITION BY pool_id, stratum_id ORDER BY rank) AS place
        FROM expert_rank WHERE source = 'measured') r
  JOIN subject su ON su.id = r.subject_id
  JOIN score_sum x ON x.expert_id = r.expert_id AND x.stratum_id = r.stratum_id
  WHERE r.place = 1
  GROUP BY r.pool_id, su.benchmark_id, r.split
), by_query AS (
  SELECT qb.pool_id, su.benchmark_id, st.split, COUNT(*) AS n_labelled, AVG(qb.value) AS mean,
         SUM(CASE WHEN qb.value = 0 THEN 1 ELSE 0 END) AS all_wrong
  FROM query_best qb JOIN stratum st ON st.id = qb.stratum_id JOIN subject su ON su.id = st.subject_id
  GROUP BY qb.pool_id, su.benchmark_id, st.split
)
SELECT p.id AS pool_id, p.name AS pool, b.id AS benchmark_id, b.name AS benchmark, o.split,
       CAST(size.n_queries AS INTEGER) AS n_queries, o.n_labelled,
       i.expert AS best_single, i.mean AS best_single_accuracy,
       j.mean AS subject_oracle, o.mean AS oracle, o.all_wrong
FROM by_query o
JOIN pool p ON p.id = o.pool_id
JOIN benchmark b ON b.id = o.benchmark_id
JOIN size ON size.benchmark_id = o.benchmark_id AND size.split = o.split
LEFT JOIN best_single i
       ON i.pool_id = o.pool_id AND i.benchmark_id = o.benchmark_id AND i.split = o.split
LEFT JOIN by_subject j
       ON j.pool_id = o.pool_id AND j.benchmark_id = o.benchmark_id AND j.split = o.split
