-- The eligible experts of a pool in each stratum, with the best one of the stratum, and whether the best one is
-- significantly better: by their intervals if one of the means is estimated, else by McNemar's test with continuity
-- correction at 5 %, on the queries with scores of both.
-- `beaten` is NULL if there are no such queries. It is computed only for rows of which a statement reads it.
CREATE VIEW expert_beaten_by_best AS
SELECT r.pool_id, r.stratum_id, r.subject_id, r.split, r.expert_id, r.expert, r.mean, r.n, r.n_queries, r.source,
       r.low, r.high, r.rank, r.tied, r.next_mean,
       best.expert_id AS best_expert_id, best.mean AS best_mean, best.source AS best_source,
       CASE WHEN 'estimated' IN (r.source, best.source) THEN CASE WHEN best.low > r.high THEN 1 ELSE 0 END
            ELSE (SELECT CASE WHEN COUNT(*) = 0 THEN NULL
                              WHEN SUM(d) > 1 AND (SUM(d) - 1) * (SUM(d) - 1) > 3.841459 * SUM(d * d) THEN 1
                              ELSE 0 END
                  FROM (SELECT x.value - y.value AS d
                        FROM query q CROSS JOIN score x CROSS JOIN score y
                        WHERE q.stratum_id = best.stratum_id
                          AND x.expert_id = best.expert_id AND x.query_id = q.id
                          AND y.expert_id = r.expert_id AND y.query_id = q.id) pair) END AS beaten
FROM expert_rank best
JOIN expert_rank r ON r.pool_id = best.pool_id AND r.stratum_id = best.stratum_id
WHERE best.rank = 1
