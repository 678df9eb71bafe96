-- Policy cheapest-of-tied: for each subject, the cheapest expert that the best one does not beat
-- significantly (view expert_beaten_by_best; see docs/store.md).
-- The label is NULL if the best mean is 0: no expert earns it.
-- The partitions name pool, benchmark and split so that both databases filter before they test.
CREATE VIEW subject_label_cheapest AS
SELECT c.pool_id, p.name AS pool, c.benchmark_id, b.name AS benchmark, c.subject_id, c.subject, c.split,
       CASE WHEN c.best_mean > 0 THEN c.expert_id END AS expert_id,
       CASE WHEN c.best_mean > 0 THEN c.expert END AS expert, c.mean, c.n, c.n_queries, c.source, c.low, c.high, c.tied,
       c.mean - CASE WHEN c.rank = 1 THEN c.next_mean ELSE c.best_mean END AS margin,
       CASE WHEN c.mean = 0 THEN 1 ELSE 0 END AS all_wrong, c.rank
FROM (
  SELECT r.pool_id, su.benchmark_id, r.subject_id, su.name AS subject, r.split,
         r.expert_id, r.expert, r.mean, r.n, r.n_queries, r.source, r.low, r.high, r.rank, r.tied, r.next_mean, r.best_mean,
         ROW_NUMBER() OVER (PARTITION BY r.pool_id, su.benchmark_id, r.split, r.subject_id
                            ORDER BY e.cost IS NULL, e.cost, r.rank) AS place
  FROM expert_beaten_by_best r
  JOIN expert best_e ON best_e.id = r.best_expert_id
  JOIN expert e ON e.id = r.expert_id
  JOIN subject su ON su.id = r.subject_id
  WHERE r.rank = 1
     OR (r.source = 'measured' AND r.best_source = 'measured'
         AND (e.cost < best_e.cost OR (e.cost IS NOT NULL AND best_e.cost IS NULL))
         AND r.beaten = 0)
) c
JOIN pool p ON p.id = c.pool_id
JOIN benchmark b ON b.id = c.benchmark_id
WHERE c.place = 1
