-- title: Membership drop
-- changes: group_members
-- before: group_members, groups
-- threshold: percent = 30
-- threshold: least = 10
WITH gone AS (
    SELECT source_id, count(*) AS removed FROM group_members_changes WHERE change = 'removed' GROUP BY source_id
    HAVING count(*) >= getvariable('least')
)
SELECT g._raw->>'$.displayName' AS "group", gone.source_id AS id, count(*) AS members_before, any_value(removed) AS removed
FROM gone
JOIN group_members_before m USING (source_id)
LEFT JOIN groups_before g ON g.id = gone.source_id
GROUP BY ALL
HAVING 100.0 * any_value(removed) / count(*) >= getvariable('percent')
ORDER BY removed DESC
