-- Policy cheapest-of-tied: of every subject the cheapest expert that the best one does not beat
-- significantly (McNemar's test over the queries that both have a score on; see docs/store.md).
-- The partitions name pool, benchmark and split so that both databases filter before they test.
CREATE VIEW subject_label_cheapest AS
SELECT c.pool_id, p.name AS pool, c.benchmark_id, b.name AS benchmark, c.subject_id, c.subject, c.split,
       c.expert_id, c.expert, c.mean, c.n, c.source, c.tied,
       c.mean - CASE WHEN c.rank = 1 THEN c.next_mean ELSE c.best_mean END AS margin,
       CASE WHEN c.mean = 0 THEN 1 ELSE 0 END AS nobody_right, c.rank
FROM (
  SELECT r.pool_id, su.benchmark_id, r.subject_id, su.name AS subject, r.split,
         r.expert_id, r.expert, r.mean, r.n, r.source, r.rank, r.tied, r.next_mean, best.mean AS best_mean,
         ROW_NUMBER() OVER (PARTITION BY r.pool_id, su.benchmark_id, r.split, r.subject_id
                            ORDER BY e.cost IS NULL, e.cost, r.rank) AS place
  FROM expert_rank best
  JOIN expert best_e ON best_e.id = best.expert_id
  JOIN expert_rank r ON r.pool_id = best.pool_id AND r.stratum_id = best.stratum_id
  JOIN expert e ON e.id = r.expert_id
  JOIN subject su ON su.id = r.subject_id
  WHERE best.rank = 1
    AND (r.rank = 1
         OR (r.source = 'measured' AND best.source = 'measured'
             AND (e.cost < best_e.cost OR (e.cost IS NOT NULL AND best_e.cost IS NULL))
             AND (SELECT COUNT(*) > 0
                         AND NOT (SUM(d) > 1 AND (SUM(d) - 1) * (SUM(d) - 1) > 3.841459 * SUM(d * d))
                  FROM (SELECT x.value - y.value AS d
                        FROM query q CROSS JOIN score x CROSS JOIN score y
                        WHERE q.stratum_id = best.stratum_id
                          AND x.expert_id = best.expert_id AND x.query_id = q.id
                          AND y.expert_id = r.expert_id AND y.query_id = q.id) pair)))
) c
JOIN pool p ON p.id = c.pool_id
JOIN benchmark b ON b.id = c.benchmark_id
WHERE c.place = 1
