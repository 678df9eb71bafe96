-- Who is routed among, pool by pool. Pool "all" is every expert that is not retired.
CREATE VIEW pool_expert AS
SELECT m.pool_id, m.expert_id
FROM pool_member m
JOIN expert e ON e.id = m.expert_id
WHERE e.retired_at IS NULL
UNION ALL
SELECT p.id AS pool_id, e.id AS expert_id
FROM pool p
CROSS JOIN expert e
WHERE p.name = 'all' AND e.retired_at IS NULL
