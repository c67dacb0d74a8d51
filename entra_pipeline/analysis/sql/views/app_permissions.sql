-- What applications may do: a row for each application permission, and for each delegated permission of a grant.
--
-- @names applications, application_owners
-- scope: The scope.
-- client_id: Object id of the service principal that has the permission.
-- client: Its name.
-- client_app_id: Its appId.
-- client_tenant_id: The tenant that the application is from (appOwnerOrganizationId).
-- is_enabled: Whether the service principal may sign in.
-- kind: `application`: it acts as itself; `delegated`: it acts for a user who is signed in, within what the user may do.
-- resource_id: Object id of the service principal of the API.
-- resource: Its name.
-- permission: The name of the permission, by the API's own app roles and scopes; its id when the API no longer has it.
-- permission_title: What the API calls it for people.
-- tier: 0: leads to the control of the tenant; 1: changes data, or reads what is confidential; 2: reads; null: of an API
--     other than Microsoft Graph, which is not rated.
-- consent: `admin` for application permissions and for all users; `user` for one user.
-- user_id: Object id of the user whom a delegated permission is for; null: for all users.
-- user_name: The name of that user.
-- granted: When the application permission was granted; null of delegated ones, of which Graph does not tell it.
-- owner_ids: Object ids of the owners of the service principal and of its app registration.
-- owners: Their names.
-- grant_id: Id of the app role assignment, or of the OAuth 2.0 permission grant.
WITH principals_by_id AS MATERIALIZED (
    SELECT scope, id, appId AS app_id, coalesce(displayName, appDisplayName, appId, id) AS label,
        appOwnerOrganizationId AS tenant_id, accountEnabled AS is_enabled, appRoles, oauth2PermissionScopes
    FROM service_principals
), offered AS (
    SELECT scope, id AS resource_id, 'application' AS kind, one->>'$.id' AS permission_id, one->>'$.value' AS permission,
        one->>'$.displayName' AS title
    FROM (SELECT scope, id, unnest(json_extract(appRoles, '$[*]')) AS one FROM principals_by_id)
    UNION ALL
    SELECT scope, id, 'delegated', one->>'$.value', one->>'$.value', one->>'$.adminConsentDisplayName'
    FROM (SELECT scope, id, unnest(json_extract(oauth2PermissionScopes, '$[*]')) AS one FROM principals_by_id)
), granted AS (
    SELECT scope, id AS grant_id, 'application' AS kind, principalId AS client_id, resourceId AS resource_id,
        appRoleId AS permission_id, NULL AS user_id, createdDateTime AS granted
    FROM app_role_assignments WHERE principalType = 'ServicePrincipal'
    UNION ALL
    SELECT scope, id, 'delegated', clientId, resourceId, unnest(regexp_extract_all(scope_, '\S+')), principalId, NULL
    FROM oauth2_permission_grants
), named AS (
    SELECT g.*, f.title, coalesce(f.permission, CASE WHEN g.permission_id = '00000000-0000-0000-0000-000000000000'
        THEN 'default access' ELSE g.permission_id END) AS permission
    FROM granted g
    LEFT JOIN offered f ON f.scope = g.scope AND f.resource_id = g.resource_id AND f.kind = g.kind
        AND f.permission_id = g.permission_id
), owned AS (
    SELECT scope, source_id AS client_id, target_id AS owner_id FROM service_principal_owners
    UNION
    SELECT o.scope, s.id, o.target_id
    FROM application_owners o
    JOIN applications a ON a.scope = o.scope AND a.id = o.source_id
    JOIN principals_by_id s ON s.scope = a.scope AND s.app_id = a.appId
), people AS MATERIALIZED (
    SELECT scope, id, coalesce(displayName, userPrincipalName, id) AS label FROM users
    UNION ALL
    SELECT scope, id, label FROM principals_by_id
), owners AS (
    SELECT o.scope, o.client_id, list(o.owner_id ORDER BY o.owner_id) AS owner_ids,
        list(coalesce(p.label, o.owner_id) ORDER BY o.owner_id) AS owners
    FROM owned o LEFT JOIN people p ON p.scope = o.scope AND p.id = o.owner_id
    GROUP BY o.scope, o.client_id
)
SELECT g.scope, g.client_id, coalesce(c.label, g.client_id) AS client, c.app_id AS client_app_id,
    c.tenant_id AS client_tenant_id, c.is_enabled, g.kind, g.resource_id, coalesce(r.label, g.resource_id) AS resource,
    g.permission, g.title AS permission_title,
    CASE WHEN r.app_id IS DISTINCT FROM '00000003-0000-0000-c000-000000000000' THEN NULL
        WHEN t.tier IS NOT NULL THEN t.tier::BIGINT
        WHEN regexp_matches(g.permission, '^(openid|profile|email|offline_access)$|[.]Read(Basic)?([.]|$)') THEN 2
        ELSE 1 END AS tier,
    CASE WHEN g.user_id IS NULL THEN 'admin' ELSE 'user' END AS consent,
    g.user_id, coalesce(u.label, g.user_id) AS user_name, g.granted,
    coalesce(o.owner_ids, []) AS owner_ids, coalesce(o.owners, []) AS owners, g.grant_id
FROM named g
LEFT JOIN principals_by_id c ON c.scope = g.scope AND c.id = g.client_id
LEFT JOIN principals_by_id r ON r.scope = g.scope AND r.id = g.resource_id
LEFT JOIN _permission_tiers t ON t.permission = g.permission
LEFT JOIN people u ON u.scope = g.scope AND u.id = g.user_id
LEFT JOIN owners o ON o.scope = g.scope AND o.client_id = g.client_id
