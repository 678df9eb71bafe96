-- The best expert of every subject, by pool and split.
CREATE VIEW subject_label AS
SELECT p.id AS pool_id, p.name AS pool, b.id AS benchmark_id, b.name AS benchmark,
       su.id AS subject_id, su.name AS subject, r.split,
       r.expert_id, r.expert, r.mean, r.n, r.source, r.tied,
       r.mean - r.next_mean AS margin,
       CASE WHEN r.mean = 0 THEN 1 ELSE 0 END AS all_wrong
FROM expert_rank r
JOIN pool p ON p.id = r.pool_id
JOIN subject su ON su.id = r.subject_id
JOIN benchmark b ON b.id = su.benchmark_id
WHERE r.rank = 1
