-- title: New owner of a privileged application
-- changes: service_principal_owners, application_owners
-- after: service_principals, applications, role_assignments, app_role_assignments
-- Whoever owns an application can sign in as it. Privileged are those that hold a directory role, or a permission that
-- leads to any other (Graph doc: permissions-reference): Application.ReadWrite.All, AppRoleAssignment.ReadWrite.All,
-- RoleManagement.ReadWrite.Directory, Directory.ReadWrite.All.
WITH privileged AS (
    SELECT _raw->>'$.principalId' AS id, 'a directory role' AS holds FROM role_assignments_after
    UNION ALL
    SELECT _raw->>'$.principalId', 'a permission that leads to any other' FROM app_role_assignments_after
    WHERE lower(_raw->>'$.appRoleId') IN ('1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9', '06b708a9-e830-4db3-a914-8e69da51d44f',
        '9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8', '19dbc75e-c2e2-444c-a770-ec69d8559fc7')
),
apps AS (
    SELECT s.id, s._raw->>'$.displayName' AS name, s._raw->>'$.appId' AS app, any_value(holds) AS holds
    FROM service_principals_after s JOIN privileged USING (id) GROUP BY ALL
)
SELECT name AS application, apps.id, target_id AS new_owner, holds
FROM service_principal_owners_changes JOIN apps ON source_id = apps.id WHERE change = 'added'
UNION ALL
SELECT name, a.id, target_id, holds
FROM application_owners_changes JOIN applications_after a ON source_id = a.id
JOIN apps ON apps.app = a._raw->>'$.appId' WHERE change = 'added'
ORDER BY application, new_owner
