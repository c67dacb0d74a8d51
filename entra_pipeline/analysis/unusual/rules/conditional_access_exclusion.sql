-- title: Exclusion added to conditional access
-- changes: conditional_access_policies
WITH kinds AS (
    SELECT unnest(['users.excludeUsers', 'users.excludeGroups', 'users.excludeRoles', 'applications.excludeApplications',
                   'locations.excludeLocations', 'platforms.excludePlatforms']) AS kind
),
excluded AS (
    SELECT id, after->>'$.displayName' AS policy, kind,
        list_filter(
            coalesce(from_json(json_extract(after, '$.conditions.' || kind), '["VARCHAR"]'), []),
            x -> NOT list_contains(
                coalesce(from_json(json_extract(before, '$.conditions.' || kind), '["VARCHAR"]'), []), x)
        ) AS added
    FROM conditional_access_policies_changes, kinds
    WHERE change = 'modified'
)
SELECT policy, id, kind AS exclusion, array_to_string(added, ', ') AS added FROM excluded WHERE len(added) > 0
ORDER BY policy, exclusion
