-- Mean score by expert, subject and split: measured, else (nothing measured on that subject) reported.
-- One division of two exact integers, so that equal means are equal doubles.
CREATE VIEW expert_subject_score AS
SELECT x.expert_id, st.subject_id, st.split, st.id AS stratum_id,
       CAST(x.total_micro AS DOUBLE PRECISION) / (CAST(x.n AS DOUBLE PRECISION) * 1000000) AS mean,
       x.n, 'measured' AS source
FROM score_sum x
JOIN stratum st ON st.id = x.stratum_id
UNION ALL
SELECT r.expert_id, st.subject_id, st.split, st.id AS stratum_id, r.value AS mean, r.n, 'reported' AS source
FROM reported_score r
JOIN stratum st ON st.subject_id = r.subject_id
WHERE NOT EXISTS (SELECT 1 FROM score_sum x JOIN stratum o ON o.id = x.stratum_id
                  WHERE x.expert_id = r.expert_id AND o.subject_id = r.subject_id)
