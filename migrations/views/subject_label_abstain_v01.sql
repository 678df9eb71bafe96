-- Policy abstain: of every subject the best expert where it beats the pool's best single expert
-- significantly (McNemar's test over the queries that both have a score on; see docs/store.md), else the
-- best single expert. A best single expert that is not eligible on the subject is nothing to fall back to.
-- The partitions name pool, benchmark and split so that both databases filter before they test.
CREATE VIEW subject_label_abstain AS
SELECT c.pool_id, p.name AS pool, c.benchmark_id, b.name AS benchmark, c.subject_id, c.subject, c.split,
       c.expert_id, c.expert, c.mean, c.n, c.source, c.tied,
       c.mean - CASE WHEN c.rank = 1 THEN c.next_mean ELSE c.best_mean END AS margin,
       CASE WHEN c.mean = 0 THEN 1 ELSE 0 END AS nobody_right, c.rank
FROM (
  SELECT r.pool_id, su.benchmark_id, r.subject_id, su.name AS subject, r.split,
         r.expert_id, r.expert, r.mean, r.n, r.source, r.rank, r.tied, r.next_mean, best.mean AS best_mean,
         ROW_NUMBER() OVER (PARTITION BY r.pool_id, su.benchmark_id, r.split, r.subject_id
                            ORDER BY r.rank DESC) AS place
  FROM expert_rank best
  JOIN expert_rank r ON r.pool_id = best.pool_id AND r.stratum_id = best.stratum_id
  JOIN subject su ON su.id = r.subject_id
  LEFT JOIN best_single s
         ON s.pool_id = best.pool_id AND s.benchmark_id = su.benchmark_id AND s.split = best.split
  WHERE best.rank = 1
    AND (r.rank = 1
         OR (r.expert_id = s.expert_id
             AND (SELECT COUNT(*) = 0
                         OR NOT (SUM(d) > 1 AND (SUM(d) - 1) * (SUM(d) - 1) > 3.841459 * SUM(d * d))
                  FROM (SELECT x.value - y.value AS d
                        FROM query q CROSS JOIN score x CROSS JOIN score y
                        WHERE q.stratum_id = best.stratum_id
                          AND x.expert_id = best.expert_id AND x.query_id = q.id
                          AND y.expert_id = r.expert_id AND y.query_id = q.id) pair)))
) c
JOIN pool p ON p.id = c.pool_id
JOIN benchmark b ON b.id = c.benchmark_id
WHERE c.place = 1
