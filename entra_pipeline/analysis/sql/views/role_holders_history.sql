-- Who held a role of the directory, or might have activated it, and when: a row for each way and time.
--
-- scope: The scope.
-- principal_id: Object id of who held the role: of a group that it was assigned to, and of each that was in the group.
-- principal: The last known name; the id of one that no recovery point has.
-- kind: `user`, `group` or `servicePrincipal`; another type of Graph for other members of a group; `unknown` for one
--     that no recovery point has.
-- role_id: Id of the role definition.
-- role: The last known name of the role.
-- is_privileged: Whether Microsoft calls the role privileged, or a custom role allows an action that it calls so.
-- state: `active` held it, `activated` held it by an activation of PIM, `eligible` might have activated it.
-- how: `directly`, or `through` the names of the groups, the one that the role was assigned to first.
-- group_ids: Ids of these groups; empty: directly.
-- directory_scope: Where it held: `/` is the whole tenant, else the path of an administrative unit or of an object.
-- assignment_id: Id of the role assignment, or of the schedule of the eligibility.
-- valid_from: Moment of the first recovery point at which it was so.
-- valid_to: Moment of the first recovery point at which it no longer was; null: it still is.
-- became: Whether the holder came to it then, and had it in this state by no other way before.
-- ceased: Whether the holder lost it then, and has it in this state by no other way since.
-- _change: `baseline`: it was so before the first recovery point that could tell; `added`: it came about since.
WITH RECURSIVE versions AS (
    SELECT scope, id, 'active role' AS what, roleDefinitionId AS target_id, principalId AS principal_id, NULL::VARCHAR AS kind,
        coalesce(directoryScopeId, appScopeId, '/') AS place, false AS is_activated, valid_from, _change
    FROM role_assignments_history
    UNION ALL
    SELECT scope, id, 'eligible role', roleDefinitionId, principalId, NULL, coalesce(directoryScopeId, appScopeId, '/'),
        false, valid_from, _change
    FROM role_eligibility_schedules_history WHERE coalesce(lower(memberType) = 'direct', true)
    UNION ALL
    SELECT scope, id, 'role schedule', roleDefinitionId, principalId, NULL, coalesce(directoryScopeId, appScopeId, '/'),
        lower(assignmentType) = 'activated', valid_from, _change
    FROM role_assignment_schedules_history
    UNION ALL
    SELECT scope, id, 'member schedule', groupId, principalId, NULL, NULL, lower(assignmentType) = 'activated',
        valid_from, _change
    FROM privileged_access_group_assignment_schedules_history WHERE accessId = 'member'
    UNION ALL
    SELECT scope, id, 'eligible member', groupId, principalId, NULL, NULL, false, valid_from, _change
    FROM privileged_access_group_eligibility_schedules_history
    WHERE accessId = 'member' AND coalesce(lower(memberType) = 'direct', true)
    UNION ALL
    SELECT scope, source_id || ' ' || target_id, 'active member', source_id, target_id, target_type, NULL, false,
        valid_from, _change
    FROM group_members_history
), lives AS MATERIALIZED (
    -- Versions of one object that follow each other are one life, from when it came until it was deleted.
    SELECT scope, id, what, target_id, principal_id, kind, place, is_activated, valid_from, _change, valid_to
    FROM (SELECT *, min(valid_from) FILTER (_change = 'deleted') OVER (PARTITION BY scope, what, id ORDER BY valid_from
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS valid_to FROM versions)
    WHERE _change IN ('baseline', 'added')
), schedules AS (
    SELECT a.scope, a.what, a.id, a.valid_from, bool_and(s.is_activated) AS is_activated
    FROM lives a
    JOIN lives s ON s.what = CASE a.what WHEN 'active role' THEN 'role schedule' ELSE 'member schedule' END
        AND s.scope = a.scope AND s.target_id = a.target_id AND s.principal_id = a.principal_id
        AND s.place IS NOT DISTINCT FROM a.place
        AND s.valid_from < coalesce(a.valid_to, 'infinity') AND a.valid_from < coalesce(s.valid_to, 'infinity')
    WHERE a.what IN ('active role', 'active member')
    GROUP BY a.scope, a.what, a.id, a.valid_from
), spans AS MATERIALIZED (
    SELECT l.scope, l.id, l.what, l.target_id, l.principal_id, l.kind, l.place, l.valid_from, l.valid_to, l._change,
        CASE WHEN l.what LIKE 'eligible %' THEN 'eligible' WHEN s.is_activated THEN 'activated' ELSE 'active' END AS state
    FROM lives l
    LEFT JOIN schedules s ON s.scope = l.scope AND s.what = l.what AND s.id = l.id AND s.valid_from = l.valid_from
    WHERE l.what NOT LIKE '% schedule'
), people AS MATERIALIZED (
    SELECT scope, id, max_by(label, valid_from) AS label, any_value(kind) AS kind
    FROM (SELECT scope, id, coalesce(displayName, userPrincipalName, id) AS label, 'user' AS kind, valid_from
          FROM users_history
          UNION ALL
          SELECT scope, id, coalesce(displayName, id), 'group', valid_from FROM groups_history
          UNION ALL
          SELECT scope, id, coalesce(displayName, appId, id), 'servicePrincipal', valid_from
          FROM service_principals_history)
    GROUP BY scope, id
), ways AS (
    SELECT scope, id AS assignment_id, target_id AS role_id, principal_id, kind, place, state, valid_from, valid_to, _change,
        []::VARCHAR[] AS group_ids, 'directly' AS how
    FROM spans WHERE what IN ('active role', 'eligible role')
    UNION ALL
    SELECT w.scope, w.assignment_id, w.role_id, i.principal_id, i.kind, w.place,
        CASE WHEN 'eligible' IN (w.state, i.state) THEN 'eligible'
            WHEN 'activated' IN (w.state, i.state) THEN 'activated' ELSE 'active' END,
        greatest(w.valid_from, i.valid_from), least(w.valid_to, i.valid_to),
        -- What came last decides; of two at once, what is known to have come.
        CASE WHEN w.valid_from = i.valid_from THEN least(w._change, i._change)
            WHEN w.valid_from > i.valid_from THEN w._change ELSE i._change END,
        list_append(w.group_ids, w.principal_id),
        CASE WHEN w.how = 'directly' THEN 'through ' ELSE w.how || ' and ' END || coalesce(g.label, w.principal_id)
    FROM ways w
    JOIN spans i ON i.what IN ('active member', 'eligible member') AND i.scope = w.scope AND i.target_id = w.principal_id
    LEFT JOIN people g ON g.scope = w.scope AND g.id = w.principal_id
    WHERE NOT list_contains(list_append(w.group_ids, w.principal_id), i.principal_id)
        AND w.valid_from < coalesce(i.valid_to, 'infinity') AND i.valid_from < coalesce(w.valid_to, 'infinity')
), all_ways AS MATERIALIZED (
    FROM ways
), roles AS (
    SELECT r.scope, r.id, max_by(r.displayName, r.valid_from) AS label, bool_or(p.template_id IS NOT NULL OR list_has_any(
            json_extract_string(r.rolePermissions, '$[*].allowedResourceActions[*]'),
            (SELECT list(action) FROM _privileged_actions))) AS is_privileged
    FROM role_definitions_history r LEFT JOIN _privileged_roles p ON p.template_id = r.templateId
    GROUP BY r.scope, r.id
)
SELECT w.scope, w.principal_id, coalesce(p.label, w.principal_id) AS principal, coalesce(p.kind, w.kind, 'unknown') AS kind,
    w.role_id, coalesce(r.label, w.role_id) AS role, coalesce(r.is_privileged, false) AS is_privileged, w.state, w.how,
    w.group_ids, w.place AS directory_scope, w.assignment_id, w.valid_from, w.valid_to,
    w._change = 'added' AND NOT EXISTS (
        FROM all_ways o WHERE o.scope = w.scope AND o.principal_id = w.principal_id AND o.role_id = w.role_id
        AND o.state = w.state AND o.valid_from < w.valid_from AND coalesce(o.valid_to >= w.valid_from, true)) AS became,
    w.valid_to IS NOT NULL AND NOT EXISTS (
        FROM all_ways o WHERE o.scope = w.scope AND o.principal_id = w.principal_id AND o.role_id = w.role_id
        AND o.state = w.state AND o.valid_from <= w.valid_to AND coalesce(o.valid_to > w.valid_to, true)) AS ceased,
    w._change
FROM all_ways w
LEFT JOIN people p ON p.scope = w.scope AND p.id = w.principal_id
LEFT JOIN roles r ON r.scope = w.scope AND r.id = w.role_id
