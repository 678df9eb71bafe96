-- The best expert of every subject, by pool and split. It is NULL if no expert earns the label: the best mean
-- is 0, or all of several eligible experts have the same mean.
CREATE VIEW subject_label AS
SELECT p.id AS pool_id, p.name AS pool, b.id AS benchmark_id, b.name AS benchmark,
       su.id AS subject_id, su.name AS subject, r.split,
       CASE WHEN r.mean > 0 AND (r.eligible = 1 OR r.tied < r.eligible) THEN r.expert_id END AS expert_id,
       CASE WHEN r.mean > 0 AND (r.eligible = 1 OR r.tied < r.eligible) THEN r.expert END AS expert,
       r.mean, r.n, r.n_queries, r.source, r.low, r.high, r.tied,
       r.mean - r.next_mean AS margin,
       CASE WHEN r.mean = 0 THEN 1 ELSE 0 END AS all_wrong
FROM expert_rank r
JOIN pool p ON p.id = r.pool_id
JOIN subject su ON su.id = r.subject_id
JOIN benchmark b ON b.id = su.benchmark_id
WHERE r.rank = 1
