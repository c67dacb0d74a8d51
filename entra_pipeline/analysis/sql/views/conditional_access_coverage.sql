-- Which policies of conditional access apply to a user by their assignment: a row for each user and policy.
--
-- scope: The scope.
-- user_id: Object id of the user.
-- user_name: The user's name.
-- is_enabled: Whether the user may sign in.
-- policy_id: Id of the policy.
-- policy: Its name.
-- state: `enabled`, `disabled` or `enabledForReportingButNotEnforced`.
-- mfa: `required`: the policy asks for multifactor authentication or an authentication strength; `or`: for that or another
--     control; null: not.
-- blocks: Whether the policy blocks access.
-- included_by: Why the user is in it: `all users`, `user`, `group`, `role`, `guests`.
-- applications: What it is for, as in Graph: `All`, appIds, names of Microsoft's suites; empty: actions or contexts only.
-- excluded_applications: The same of what is excepted.
-- narrowed_by: Other conditions that keep it from applying to every sign-in: `locations`, `platforms`, `clientAppTypes`,
--     `devices`, `signInRiskLevels`, `userRiskLevels`, `insiderRiskLevels`, `authenticationFlows`, `applicationFilter`.
-- is_certain: False where it depends on the home tenant of a guest, which the directory does not show.
WITH policies AS MATERIALIZED (
    SELECT scope, id AS policy_id, displayName AS policy, state, conditions->'$.users' AS u, conditions, grantControls,
        coalesce(json_extract_string(grantControls, '$.builtInControls[*]'), []) AS controls
    FROM conditional_access_policies
), assigned AS MATERIALIZED (
    SELECT scope, policy_id, 'include' AS side, 'user' AS kind, unnest(json_extract_string(u, '$.includeUsers[*]')) AS id
    FROM policies
    UNION ALL
    SELECT scope, policy_id, 'include', 'group', unnest(json_extract_string(u, '$.includeGroups[*]')) FROM policies
    UNION ALL
    SELECT scope, policy_id, 'include', 'role', unnest(json_extract_string(u, '$.includeRoles[*]')) FROM policies
    UNION ALL
    SELECT scope, policy_id, 'exclude', 'user', unnest(json_extract_string(u, '$.excludeUsers[*]')) FROM policies
    UNION ALL
    SELECT scope, policy_id, 'exclude', 'group', unnest(json_extract_string(u, '$.excludeGroups[*]')) FROM policies
    UNION ALL
    SELECT scope, policy_id, 'exclude', 'role', unnest(json_extract_string(u, '$.excludeRoles[*]')) FROM policies
), guests_of AS (
    SELECT scope, policy_id, 'include' AS side, u->'$.includeGuestsOrExternalUsers' AS guests FROM policies
    UNION ALL
    SELECT scope, policy_id, 'exclude', u->'$.excludeGuestsOrExternalUsers' FROM policies
), guest_kinds AS (
    SELECT scope, policy_id, side, unnest(string_split(guests->>'$.guestOrExternalUserTypes', ',')) AS guest_kind,
        coalesce(guests->>'$.externalTenants.membershipKind', 'all') = 'all' AS of_all_tenants
    FROM guests_of WHERE (guests->>'$.guestOrExternalUserTypes') IS NOT NULL
), people AS MATERIALIZED (
    -- Whether an account is of another tenant shows in its user principal name.
    SELECT scope, id AS user_id, coalesce(displayName, userPrincipalName, id) AS user_name, accountEnabled AS is_enabled,
        CASE WHEN contains(userPrincipalName, '#EXT#')
            THEN CASE WHEN userType = 'Guest' THEN 'b2bCollaborationGuest' ELSE 'b2bCollaborationMember' END
            WHEN userType = 'Guest' THEN 'internalGuest' END AS guest_kind
    FROM users
), matched AS MATERIALIZED (
    SELECT a.scope, a.policy_id, a.side, p.user_id, 'all users' AS reason, true AS is_certain
    FROM assigned a JOIN people p ON p.scope = a.scope WHERE a.kind = 'user' AND a.id = 'All'
    UNION ALL
    SELECT a.scope, a.policy_id, a.side, p.user_id, 'guests', true
    FROM assigned a JOIN people p ON p.scope = a.scope AND p.guest_kind IS NOT NULL
    WHERE a.kind = 'user' AND a.id = 'GuestsOrExternalUsers'
    UNION ALL
    SELECT scope, policy_id, side, id, 'user', true FROM assigned WHERE kind = 'user'
    UNION ALL
    SELECT a.scope, a.policy_id, a.side, m.member_id, 'group', true
    FROM assigned a JOIN group_members_transitive m ON m.scope = a.scope AND m.group_id = a.id AND m.kind = 'user'
    WHERE a.kind = 'group'
    UNION ALL
    -- Roles count where they hold in the whole tenant.
    SELECT a.scope, a.policy_id, a.side, h.principal_id, 'role', true
    FROM assigned a JOIN role_holders h ON h.scope = a.scope AND h.role_id = a.id
        AND h.kind = 'user' AND h.state <> 'eligible' AND h.directory_scope = '/'
    WHERE a.kind = 'role'
    UNION ALL
    SELECT g.scope, g.policy_id, g.side, p.user_id, 'guests', g.of_all_tenants
    FROM guest_kinds g JOIN people p ON p.scope = g.scope AND p.guest_kind = trim(g.guest_kind)
), included AS (
    SELECT scope, policy_id, user_id, list_sort(list(DISTINCT reason)) AS included_by, bool_or(is_certain) AS is_certain
    FROM matched WHERE side = 'include' GROUP BY scope, policy_id, user_id
), excluded AS (
    SELECT scope, policy_id, user_id, bool_or(is_certain) AS is_certain
    FROM matched WHERE side = 'exclude' GROUP BY scope, policy_id, user_id
)
SELECT i.scope, i.user_id, u.user_name, u.is_enabled, i.policy_id, p.policy, p.state,
    CASE WHEN NOT (list_contains(p.controls, 'mfa') OR (p.grantControls->>'$.authenticationStrength.id') IS NOT NULL) THEN NULL
        WHEN (p.grantControls->>'$.operator') = 'AND' OR len(p.controls)
            + ((p.grantControls->>'$.authenticationStrength.id') IS NOT NULL)::INTEGER
            + coalesce(json_array_length(p.grantControls, '$.termsOfUse'), 0)
            + coalesce(json_array_length(p.grantControls, '$.customAuthenticationFactors'), 0) = 1 THEN 'required'
        ELSE 'or' END AS mfa,
    list_contains(p.controls, 'block') AS blocks, i.included_by,
    coalesce(json_extract_string(p.conditions, '$.applications.includeApplications[*]'), []) AS applications,
    coalesce(json_extract_string(p.conditions, '$.applications.excludeApplications[*]'), []) AS excluded_applications,
    list_filter([
        CASE WHEN len(list_filter(json_extract_string(p.conditions, '$.locations.includeLocations[*]'),
                lambda l: l <> 'All')) > 0
            OR coalesce(json_array_length(p.conditions, '$.locations.excludeLocations'), 0) > 0 THEN 'locations' END,
        CASE WHEN json_array_length(p.conditions, '$.platforms.includePlatforms') > 0 THEN 'platforms' END,
        CASE WHEN len(list_filter(json_extract_string(p.conditions, '$.clientAppTypes[*]'), lambda c: c <> 'all')) > 0
            THEN 'clientAppTypes' END,
        CASE WHEN (p.conditions->>'$.devices.deviceFilter.rule') IS NOT NULL THEN 'devices' END,
        CASE WHEN json_array_length(p.conditions, '$.signInRiskLevels') > 0 THEN 'signInRiskLevels' END,
        CASE WHEN json_array_length(p.conditions, '$.userRiskLevels') > 0 THEN 'userRiskLevels' END,
        CASE WHEN (p.conditions->>'$.insiderRiskLevels') IS NOT NULL THEN 'insiderRiskLevels' END,
        CASE WHEN (p.conditions->>'$.authenticationFlows') IS NOT NULL THEN 'authenticationFlows' END,
        CASE WHEN (p.conditions->>'$.applications.applicationFilter') IS NOT NULL THEN 'applicationFilter' END
    ], lambda c: c IS NOT NULL) AS narrowed_by,
    i.is_certain AND x.user_id IS NULL AS is_certain
FROM included i
JOIN people u ON u.scope = i.scope AND u.user_id = i.user_id
JOIN policies p ON p.scope = i.scope AND p.policy_id = i.policy_id
LEFT JOIN excluded x ON x.scope = i.scope AND x.policy_id = i.policy_id AND x.user_id = i.user_id
WHERE NOT coalesce(x.is_certain, false)
