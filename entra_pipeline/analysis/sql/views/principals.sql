-- Who and what may hold access: a row for each user, group, service principal and device.
--
-- @part users: kind = 'user'
-- @part groups: kind = 'group'
-- @part service_principals: kind = 'servicePrincipal'
-- @part devices: kind = 'device'
-- scope: The scope.
-- id: The object id in Entra.
-- kind: `user`, `group`, `servicePrincipal` or `device`.
-- label: What people call it: the display name, else the next best name, else the id.
-- unique_name: What names it only: the user principal name, the mail address of a group, the appId, the deviceId.
-- subtype: `Member` or `Guest` of users; `Microsoft 365`, `security` or `distribution` of groups; of service principals
--     Graph's servicePrincipalType (`Application`, `ManagedIdentity` …); the operating system of devices.
-- is_enabled: Whether it may sign in; null of groups, which do not.
-- is_synced: Whether Active Directory is its source.
-- created: When it was created; of devices, when it was registered; null of service
--     principals.
SELECT scope, id, 'user' AS kind, coalesce(displayName, userPrincipalName, id) AS label,
    userPrincipalName AS unique_name, userType AS subtype, accountEnabled AS is_enabled,
    coalesce(onPremisesSyncEnabled, false) AS is_synced, createdDateTime AS created
FROM users
UNION ALL
SELECT scope, id, 'group', coalesce(displayName, mailNickname, id), mail,
    CASE WHEN list_contains(groupTypes, 'Unified') THEN 'Microsoft 365'
        WHEN securityEnabled THEN 'security' ELSE 'distribution' END,
    NULL, coalesce(onPremisesSyncEnabled, false), createdDateTime
FROM groups
UNION ALL
SELECT scope, id, 'servicePrincipal', coalesce(displayName, appDisplayName, appId, id), appId, servicePrincipalType,
    accountEnabled, false, NULL
FROM service_principals
UNION ALL
SELECT scope, id, 'device', coalesce(displayName, deviceId, id), deviceId, operatingSystem, accountEnabled,
    coalesce(onPremisesSyncEnabled, false), registrationDateTime
FROM devices
