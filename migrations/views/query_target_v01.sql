-- The score vector behind a query label: one row per query and eligible expert.
-- CROSS JOIN fixes SQLite's order of loops: each expert's scores are read once.
CREATE VIEW query_target AS
SELECT pe.pool_id, su.benchmark_id, st.subject_id, st.split, s.query_id, s.expert_id, s.value AS score
FROM pool_expert pe
CROSS JOIN score s
CROSS JOIN pool_rank pr
CROSS JOIN stratum st
CROSS JOIN subject su
WHERE s.expert_id = pe.expert_id
  AND pr.pool_id = pe.pool_id AND pr.stratum_id = s.stratum_id AND pr.expert_id = s.expert_id
  AND st.id = s.stratum_id
  AND su.id = st.subject_id
