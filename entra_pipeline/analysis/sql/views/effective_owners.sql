-- Who controls groups, app registrations and enterprise applications as an owner: a row for each way.
--
-- @part group_owners: object_kind = 'group'
-- @part groups: object_kind = 'group'
-- @part privileged_access_group_eligibility_schedules: object_kind = 'group'
-- @part privileged_access_group_assignment_schedules: object_kind = 'group'
-- @names users
-- scope: The scope.
-- object_kind: `group`, `application` (app registration) or `servicePrincipal` (enterprise application).
-- object_id: Object id of what is owned.
-- object: Its name.
-- owner_id: Object id of the owner.
-- owner: The owner's name; the id of one that the recovery point does not have.
-- owner_kind: `user` or `servicePrincipal`; `unknown` for one that the recovery point does not have.
-- state: `active`; of groups also `activated` (for some time, by PIM) and `eligible` (may activate the ownership).
-- how: `directly`, or `through its app registration`: who owns that may sign in as the enterprise application.
WITH activated AS (
    SELECT scope, groupId AS group_id, principalId AS owner_id
    FROM privileged_access_group_assignment_schedules WHERE accessId = 'owner'
    GROUP BY ALL HAVING bool_and(lower(assignmentType) = 'activated')
), owned AS (
    SELECT o.scope, 'group' AS object_kind, o.source_id AS object_id, o.target_id AS owner_id,
        CASE WHEN a.owner_id IS NULL THEN 'active' ELSE 'activated' END AS state, 'directly' AS how
    FROM group_owners o
    LEFT JOIN activated a ON a.scope = o.scope AND a.group_id = o.source_id AND a.owner_id = o.target_id
    UNION ALL
    SELECT DISTINCT scope, 'group', groupId, principalId, 'eligible', 'directly'
    FROM privileged_access_group_eligibility_schedules WHERE accessId = 'owner'
    UNION ALL
    SELECT scope, 'application', source_id, target_id, 'active', 'directly' FROM application_owners
    UNION ALL
    SELECT scope, 'servicePrincipal', source_id, target_id, 'active', 'directly' FROM service_principal_owners
    UNION ALL
    SELECT o.scope, 'servicePrincipal', s.id, o.target_id, 'active', 'through its app registration'
    FROM application_owners o
    JOIN applications a ON a.scope = o.scope AND a.id = o.source_id
    JOIN service_principals s ON s.scope = a.scope AND s.appId = a.appId
), named AS MATERIALIZED (
    SELECT scope, id, 'user' AS kind, coalesce(displayName, userPrincipalName, id) AS label FROM users
    UNION ALL
    SELECT scope, id, 'group', coalesce(displayName, id) FROM groups
    UNION ALL
    SELECT scope, id, 'application', coalesce(displayName, id) FROM applications
    UNION ALL
    SELECT scope, id, 'servicePrincipal', coalesce(displayName, appId, id) FROM service_principals
)
SELECT o.scope, o.object_kind, o.object_id, coalesce(n.label, o.object_id) AS object, o.owner_id,
    coalesce(p.label, o.owner_id) AS owner, coalesce(p.kind, 'unknown') AS owner_kind, o.state, o.how
FROM owned o
LEFT JOIN named n ON n.scope = o.scope AND n.id = o.object_id
LEFT JOIN named p ON p.scope = o.scope AND p.id = o.owner_id
