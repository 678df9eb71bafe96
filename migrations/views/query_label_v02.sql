-- The best expert of every query, by pool: highest score, then rank in the query's stratum.
-- The names are joined by LEFT JOIN, so that both databases skip the joins that a statement does not use.
CREATE VIEW query_label AS
SELECT qb.pool_id, p.name AS pool, su.benchmark_id, b.name AS benchmark,
       st.subject_id, su.name AS subject, st.split, qb.query_id, q.key,
       qb.expert_id, e.name AS expert, qb.value AS score, qb.tied,
       qb.value - qb.runner_up AS margin,
       CASE WHEN qb.value = 0 THEN 1 ELSE 0 END AS all_wrong
FROM query_best qb
JOIN stratum st ON st.id = qb.stratum_id
JOIN subject su ON su.id = st.subject_id
LEFT JOIN query q ON q.id = qb.query_id
LEFT JOIN pool p ON p.id = qb.pool_id
LEFT JOIN benchmark b ON b.id = su.benchmark_id
LEFT JOIN expert e ON e.id = qb.expert_id
