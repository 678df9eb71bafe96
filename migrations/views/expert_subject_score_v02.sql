-- Mean score by expert, subject and split: measured, or estimated where profiling stopped early, else (nothing
-- measured on that subject) reported. The mean is between `low` and `high`; they are equal unless it is estimated.
-- One division of two exact integers, so that equal means are equal doubles.
CREATE VIEW expert_subject_score AS
SELECT x.expert_id, st.subject_id, st.split, st.id AS stratum_id,
       COALESCE(es.mean, CAST(x.total_micro AS DOUBLE PRECISION) / (CAST(x.n AS DOUBLE PRECISION) * 1000000)) AS mean,
       x.n, CASE WHEN es.mean IS NULL THEN 'measured' ELSE 'estimated' END AS source,
       COALESCE(es.low, CAST(x.total_micro AS DOUBLE PRECISION) / (CAST(x.n AS DOUBLE PRECISION) * 1000000)) AS low,
       COALESCE(es.high, CAST(x.total_micro AS DOUBLE PRECISION) / (CAST(x.n AS DOUBLE PRECISION) * 1000000)) AS high
FROM score_sum x
JOIN stratum st ON st.id = x.stratum_id
LEFT JOIN stratum_estimate es
       ON es.expert_id = x.expert_id AND es.stratum_id = x.stratum_id AND x.n < 0.95 * st.n_queries
UNION ALL
SELECT r.expert_id, st.subject_id, st.split, st.id AS stratum_id, r.value AS mean, r.n, 'reported' AS source,
       r.value AS low, r.value AS high
FROM reported_score r
JOIN stratum st ON st.subject_id = r.subject_id
WHERE NOT EXISTS (SELECT 1 FROM score_sum x JOIN stratum o ON o.id = x.stratum_id
                  WHERE x.expert_id = r.expert_id AND o.subject_id = r.subject_id)
