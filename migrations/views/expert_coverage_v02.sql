-- How much of every stratum each expert has been scored on, and whether profiling stopped there early.
CREATE VIEW expert_coverage AS
SELECT e.id AS expert_id, e.name AS expert, b.id AS benchmark_id, b.name AS benchmark,
       su.id AS subject_id, su.name AS subject, st.split,
       COALESCE(x.n, 0) AS n_scored, st.n_queries,
       CAST(COALESCE(x.n, 0) AS DOUBLE PRECISION) / st.n_queries AS coverage,
       CASE WHEN es.mean IS NULL THEN 0 ELSE 1 END AS stopped_early
FROM stratum st
JOIN subject su ON su.id = st.subject_id
JOIN benchmark b ON b.id = su.benchmark_id
CROSS JOIN expert e
LEFT JOIN score_sum x ON x.expert_id = e.id AND x.stratum_id = st.id
LEFT JOIN stratum_estimate es
       ON es.expert_id = e.id AND es.stratum_id = st.id AND x.n < 0.95 * st.n_queries
WHERE st.n_queries > 0
