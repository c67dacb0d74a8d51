-- Every version of users, groups, service principals and devices, with the time in which it was valid.
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
--     Graph's servicePrincipalType; the operating system of devices.
-- is_enabled: Whether it might sign in; null of groups, which do not.
-- is_synced: Whether Active Directory was its source.
-- created: When it was created; of devices, when it was registered; null of service
--     principals.
-- valid_from: Moment of the first recovery point with this version.
-- valid_to: Moment of the first recovery point with the next one; null: still valid.
-- _change: `baseline`, `added`, `changed` or `deleted`; a deleted row has the last known values.
SELECT scope, id, 'user' AS kind, coalesce(displayName, userPrincipalName, id) AS label,
    userPrincipalName AS unique_name, userType AS subtype, accountEnabled AS is_enabled,
    coalesce(onPremisesSyncEnabled, false) AS is_synced, createdDateTime AS created, valid_from, valid_to, _change
FROM users_history
UNION ALL
SELECT scope, id, 'group', coalesce(displayName, mailNickname, id), mail,
    CASE WHEN list_contains(groupTypes, 'Unified') THEN 'Microsoft 365'
        WHEN securityEnabled THEN 'security' ELSE 'distribution' END,
    NULL, coalesce(onPremisesSyncEnabled, false), createdDateTime, valid_from, valid_to, _change
FROM groups_history
UNION ALL
SELECT scope, id, 'servicePrincipal', coalesce(displayName, appDisplayName, appId, id), appId, servicePrincipalType,
    accountEnabled, false, NULL, valid_from, valid_to, _change
FROM service_principals_history
UNION ALL
SELECT scope, id, 'device', coalesce(displayName, deviceId, id), deviceId, operatingSystem, accountEnabled,
    coalesce(onPremisesSyncEnabled, false), registrationDateTime, valid_from, valid_to, _change
FROM devices_history
