-- Who holds a role of the directory, or may activate it: a row for each way by which a principal comes to a role.
--
-- @names administrative_units, applications
-- scope: The scope.
-- principal_id: Object id of who holds the role: of a group that it is assigned to, and of each that is in the group.
-- principal: The name; the id of one that the recovery point does not have.
-- kind: `user`, `group` or `servicePrincipal`; another type of Graph for other members of a group; `unknown` for one
--     that the recovery point does not have.
-- is_enabled: Whether it may sign in; null of groups.
-- role_id: Id of the role definition.
-- role: The name of the role.
-- is_privileged: Whether Microsoft calls the role privileged, or a custom role allows an action that it calls so.
-- state: `active` holds it; `activated` holds it for some time, because privileged identity management (PIM) has
--     activated the role or a membership on the way; `eligible` may activate the role or a membership on the way.
-- how: `directly`, or `through` the names of the groups, the one that the role is assigned to first.
-- group_ids: Ids of these groups; empty: directly.
-- directory_scope: Where it holds: `/` is the whole tenant, else the path of an administrative unit or of an object.
-- directory_scope_kind: `directory`, `administrative unit`, `application` or `other`.
-- directory_scope_name: The name of the administrative unit or application.
-- since: From when on, by the schedules of PIM on the way; null: none says it.
-- until: Until when, by the same; null: no end.
-- assignment_id: Id of the role assignment, or of the schedule of the eligibility.
WITH RECURSIVE periods AS (
    SELECT scope, id, 'eligible role' AS what, false AS is_activated, memberType, scheduleInfo,
        roleDefinitionId AS target_id, principalId AS principal_id, coalesce(directoryScopeId, appScopeId, '/') AS place
    FROM role_eligibility_schedules
    UNION ALL
    SELECT scope, id, 'active role', lower(assignmentType) = 'activated', memberType, scheduleInfo,
        roleDefinitionId, principalId, coalesce(directoryScopeId, appScopeId, '/')
    FROM role_assignment_schedules
    UNION ALL
    SELECT scope, id, 'eligible member', false, memberType, scheduleInfo, groupId, principalId, NULL
    FROM privileged_access_group_eligibility_schedules WHERE accessId = 'member'
    UNION ALL
    SELECT scope, id, 'active member', lower(assignmentType) = 'activated', memberType, scheduleInfo,
        groupId, principalId, NULL
    FROM privileged_access_group_assignment_schedules WHERE accessId = 'member'
), schedules AS MATERIALIZED (
    SELECT scope, id, what, is_activated, coalesce(lower(memberType) = 'direct', true) AS is_direct,
        target_id, principal_id, place, (scheduleInfo->>'$.startDateTime')::TIMESTAMPTZ AS since,
        (scheduleInfo->>'$.expiration.endDateTime')::TIMESTAMPTZ AS until
    FROM periods
), active_schedules AS (
    -- What is assigned as well as activated is held without activation; one without an end has none.
    SELECT scope, what, target_id, principal_id, place, bool_and(is_activated) AS is_activated, min(since) AS since,
        CASE WHEN count(*) = count(until) THEN max(until) END AS until
    FROM schedules WHERE what IN ('active role', 'active member')
    GROUP BY scope, what, target_id, principal_id, place
), held AS (
    SELECT a.scope, a.id AS assignment_id, a.roleDefinitionId AS role_id, a.principalId AS principal_id,
        coalesce(a.directoryScopeId, a.appScopeId, '/') AS place,
        CASE WHEN s.is_activated THEN 'activated' ELSE 'active' END AS state, s.since, s.until
    FROM role_assignments a
    LEFT JOIN active_schedules s ON s.what = 'active role' AND s.scope = a.scope AND s.target_id = a.roleDefinitionId
        AND s.principal_id = a.principalId AND s.place = coalesce(a.directoryScopeId, a.appScopeId, '/')
    UNION ALL
    SELECT scope, id, target_id, principal_id, place, 'eligible', since, until
    FROM schedules WHERE what = 'eligible role' AND is_direct
), inside AS MATERIALIZED (
    SELECT m.scope, m.source_id AS outer_id, m.target_id AS inner_id, m.target_type AS kind,
        CASE WHEN s.is_activated THEN 'activated' ELSE 'active' END AS state, s.since, s.until
    FROM group_members m
    LEFT JOIN active_schedules s ON s.what = 'active member' AND s.scope = m.scope AND s.target_id = m.source_id
        AND s.principal_id = m.target_id
    UNION ALL
    SELECT scope, target_id, principal_id, NULL, 'eligible', since, until
    FROM schedules WHERE what = 'eligible member' AND is_direct
), people AS MATERIALIZED (
    SELECT scope, id, 'user' AS kind, coalesce(displayName, userPrincipalName, id) AS label, accountEnabled AS is_enabled
    FROM users
    UNION ALL
    SELECT scope, id, 'group', coalesce(displayName, id), NULL FROM groups
    UNION ALL
    SELECT scope, id, 'servicePrincipal', coalesce(displayName, appId, id), accountEnabled FROM service_principals
), ways AS (
    SELECT scope, assignment_id, role_id, principal_id, NULL::VARCHAR AS kind, place, state, since, until,
        []::VARCHAR[] AS group_ids, 'directly' AS how
    FROM held
    UNION ALL
    SELECT w.scope, w.assignment_id, w.role_id, i.inner_id, i.kind, w.place,
        CASE WHEN 'eligible' IN (w.state, i.state) THEN 'eligible'
            WHEN 'activated' IN (w.state, i.state) THEN 'activated' ELSE 'active' END,
        greatest(w.since, i.since), least(w.until, i.until), list_append(w.group_ids, w.principal_id),
        CASE WHEN w.how = 'directly' THEN 'through ' ELSE w.how || ' and ' END || coalesce(g.label, w.principal_id)
    FROM ways w
    JOIN inside i ON i.scope = w.scope AND i.outer_id = w.principal_id
    LEFT JOIN people g ON g.scope = w.scope AND g.id = w.principal_id
    WHERE NOT list_contains(list_append(w.group_ids, w.principal_id), i.inner_id)
), found_ways AS MATERIALIZED (
    FROM ways
), all_ways AS (
    FROM found_ways
    UNION ALL
    -- What PIM derives from a membership that the recovery point does not show.
    SELECT s.scope, s.id, s.target_id, s.principal_id, NULL, s.place, 'eligible', s.since, s.until, [], 'through a group'
    FROM schedules s
    ANTI JOIN found_ways w ON w.scope = s.scope AND w.role_id = s.target_id AND w.principal_id = s.principal_id
        AND w.place = s.place AND w.state = 'eligible'
    WHERE s.what = 'eligible role' AND NOT s.is_direct
), places AS (
    SELECT scope, '/administrativeUnits/' || id AS place, 'administrative unit' AS kind, displayName AS label
    FROM administrative_units
    UNION ALL
    SELECT scope, '/' || id, 'application', displayName FROM applications
    UNION ALL
    SELECT scope, '/' || id, 'application', displayName FROM service_principals
), roles AS (
    SELECT r.scope, r.id, r.displayName AS label, p.template_id IS NOT NULL OR list_has_any(
            json_extract_string(r.rolePermissions, '$[*].allowedResourceActions[*]'),
            (SELECT list(action) FROM _privileged_actions)) AS is_privileged
    FROM role_definitions r LEFT JOIN _privileged_roles p ON p.template_id = r.templateId
)
SELECT w.scope, w.principal_id, coalesce(p.label, w.principal_id) AS principal, coalesce(p.kind, w.kind, 'unknown') AS kind,
    p.is_enabled, w.role_id, coalesce(r.label, w.role_id) AS role, coalesce(r.is_privileged, false) AS is_privileged,
    w.state, w.how, w.group_ids, w.place AS directory_scope,
    CASE WHEN w.place = '/' THEN 'directory' WHEN starts_with(w.place, '/administrativeUnits/') THEN 'administrative unit'
        ELSE coalesce(l.kind, 'other') END AS directory_scope_kind,
    l.label AS directory_scope_name, w.since, w.until, w.assignment_id
FROM all_ways w
LEFT JOIN people p ON p.scope = w.scope AND p.id = w.principal_id
LEFT JOIN roles r ON r.scope = w.scope AND r.id = w.role_id
LEFT JOIN places l ON l.scope = w.scope AND l.place = w.place
