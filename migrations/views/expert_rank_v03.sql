-- The eligible experts of a pool in each stratum, best first: mean, then lower cost, then name.
-- Eligible: a reported score, an estimate, or scores for at least the pool's min_coverage of the queries.
CREATE VIEW expert_rank AS
SELECT pe.pool_id, s.stratum_id, s.subject_id, s.split, s.expert_id, e.name AS expert,
       s.mean, s.n, st.n_queries, s.source, s.low, s.high,
       ROW_NUMBER() OVER (PARTITION BY pe.pool_id, s.stratum_id
                          ORDER BY s.mean DESC, e.cost IS NULL, e.cost, e.name) AS rank,
       COUNT(*) OVER (PARTITION BY pe.pool_id, s.stratum_id, s.mean) AS tied,
       LEAD(s.mean) OVER (PARTITION BY pe.pool_id, s.stratum_id
                          ORDER BY s.mean DESC, e.cost IS NULL, e.cost, e.name) AS next_mean,
       COUNT(*) OVER (PARTITION BY pe.pool_id, s.stratum_id) AS eligible
FROM expert_subject_score s
JOIN pool_expert pe ON pe.expert_id = s.expert_id
JOIN pool p ON p.id = pe.pool_id
JOIN expert e ON e.id = s.expert_id
JOIN stratum st ON st.id = s.stratum_id
WHERE s.source <> 'measured' OR s.n >= p.min_coverage * st.n_queries - 0.000001
