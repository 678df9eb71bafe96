-- Policy abstain: for each subject, the best expert if it beats the pool's best single expert significantly
-- (view expert_beaten_by_best; see docs/store.md), else the best single expert. A best single expert that is
-- not eligible on the subject cannot be its label.
-- The label is NULL if the best mean is 0: no expert earns it.
-- The partitions name pool, benchmark and split so that both databases filter before they test.
CREATE VIEW subject_label_abstain AS
SELECT c.pool_id, p.name AS pool, c.benchmark_id, b.name AS benchmark, c.subject_id, c.subject, c.split,
       CASE WHEN c.best_mean > 0 THEN c.expert_id END AS expert_id,
       CASE WHEN c.best_mean > 0 THEN c.expert END AS expert, c.mean, c.n, c.n_queries, c.source, c.low, c.high, c.tied,
       c.mean - CASE WHEN c.rank = 1 THEN c.next_mean ELSE c.best_mean END AS margin,
       CASE WHEN c.mean = 0 THEN 1 ELSE 0 END AS all_wrong, c.rank
FROM (
  SELECT r.pool_id, su.benchmark_id, r.subject_id, su.name AS subject, r.split,
         r.expert_id, r.expert, r.mean, r.n, r.n_queries, r.source, r.low, r.high, r.rank, r.tied, r.next_mean, r.best_mean,
         ROW_NUMBER() OVER (PARTITION BY r.pool_id, su.benchmark_id, r.split, r.subject_id
                            ORDER BY r.rank DESC) AS place
  FROM expert_beaten_by_best r
  JOIN subject su ON su.id = r.subject_id
  LEFT JOIN best_single s
         ON s.pool_id = r.pool_id AND s.benchmark_id = su.benchmark_id AND s.split = r.split
  WHERE r.rank = 1
     OR (r.expert_id = s.expert_id AND COALESCE(r.beaten, 0) = 0)
) c
JOIN pool p ON p.id = c.pool_id
JOIN benchmark b ON b.id = c.benchmark_id
WHERE c.place = 1
