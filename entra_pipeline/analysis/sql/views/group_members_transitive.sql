-- Who is in a group, directly or through groups in it: a row for each group and member.
--
-- @names users, service_principals, devices
-- scope: The scope.
-- group_id: Object id of the group.
-- group_name: Its name.
-- member_id: Object id of the member.
-- member: Its name; the id of one that the recovery point does not have.
-- kind: The type of the member in Graph: `user`, `group`, `servicePrincipal`, `device`, `orgContact`.
-- depth: 1: directly; else how many groups are on the shortest way, the outermost included.
-- group_ids: Ids of the groups on a shortest way, the outermost first.
-- how: `directly`, or `through` the names of the inner groups on that way.
WITH RECURSIVE named AS MATERIALIZED (
    SELECT scope, id, coalesce(displayName, id) AS label FROM groups
), edges_inside AS MATERIALIZED (
    SELECT scope, source_id, target_id, target_type FROM group_members
), nested AS MATERIALIZED (
    SELECT scope, source_id, target_id FROM edges_inside WHERE target_type = 'group'
), ways AS (
    SELECT DISTINCT scope, source_id AS group_id, source_id AS inner_id, [source_id] AS group_ids, 'directly' AS how
    FROM edges_inside
    UNION ALL
    SELECT w.scope, w.group_id, n.target_id, list_append(w.group_ids, n.target_id),
        CASE WHEN w.how = 'directly' THEN 'through ' ELSE w.how || ' and ' END || coalesce(g.label, n.target_id)
    FROM ways w
    JOIN nested n ON n.scope = w.scope AND n.source_id = w.inner_id
    LEFT JOIN named g ON g.scope = n.scope AND g.id = n.target_id
    WHERE NOT list_contains(w.group_ids, n.target_id)
), shortest AS (
    SELECT scope, group_id, inner_id, min_by({group_ids: group_ids, how: how}, {n: len(group_ids), how: how}) AS way
    FROM ways GROUP BY scope, group_id, inner_id
), found AS (
    SELECT s.scope, s.group_id, e.target_id AS member_id, any_value(e.target_type) AS kind,
        min_by(s.way, {n: len(s.way.group_ids), how: s.way.how}) AS way
    FROM shortest s JOIN edges_inside e ON e.scope = s.scope AND e.source_id = s.inner_id
    GROUP BY s.scope, s.group_id, e.target_id
), people AS (
    SELECT scope, id, coalesce(displayName, userPrincipalName, id) AS label FROM users
    UNION ALL
    FROM named
    UNION ALL
    SELECT scope, id, coalesce(displayName, appId, id) FROM service_principals
    UNION ALL
    SELECT scope, id, coalesce(displayName, id) FROM devices
)
SELECT f.scope, f.group_id, coalesce(g.label, f.group_id) AS group_name, f.member_id, coalesce(p.label, f.member_id) AS member,
    f.kind, len(f.way.group_ids) AS depth, f.way.group_ids AS group_ids, f.way.how AS how
FROM found f
LEFT JOIN named g ON g.scope = f.scope AND g.id = f.group_id
LEFT JOIN people p ON p.scope = f.scope AND p.id = f.member_id
