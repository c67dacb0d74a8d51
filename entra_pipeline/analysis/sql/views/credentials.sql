-- What applications sign in with: a row for each secret, certificate and federated credential.
--
-- @names application_owners, service_principal_owners, users
-- scope: The scope.
-- kind: `secret`, `certificate` or `federated`.
-- object_kind: `application` (app registration) or `servicePrincipal` (enterprise application): where it is.
-- object_id: Object id of the application or service principal.
-- object: Its name.
-- app_id: Its appId.
-- credential_id: Id of the credential (keyId).
-- name: The name of the credential.
-- starts: From when on it is valid; null of federated ones.
-- expires: Until when it is valid; null of federated ones, which do not expire.
-- usage: What a certificate is for: `Verify` (signing in), `Sign` (SAML), `Encrypt`.
-- thumbprint: The customKeyIdentifier of a certificate, as Graph shows it.
-- hint: The first characters of a secret.
-- issuer: Whose tokens a federated credential takes.
-- subject: Of whom it takes them.
-- owner_ids: Object ids of the owners of the application or service principal.
-- owners: Their names.
WITH holders AS MATERIALIZED (
    SELECT scope, 'application' AS object_kind, id, coalesce(displayName, id) AS label, appId AS app_id,
        passwordCredentials, keyCredentials
    FROM applications
    UNION ALL
    SELECT scope, 'servicePrincipal', id, coalesce(displayName, appDisplayName, id), appId, passwordCredentials, keyCredentials
    FROM service_principals
), found AS (
    SELECT scope, 'secret' AS kind, object_kind, id, one->>'$.keyId' AS credential_id, one->>'$.displayName' AS name,
        one->>'$.startDateTime' AS starts, one->>'$.endDateTime' AS expires, NULL AS usage, NULL AS thumbprint,
        one->>'$.hint' AS hint, NULL AS issuer, NULL AS subject
    FROM (SELECT *, unnest(json_extract(passwordCredentials, '$[*]')) AS one FROM holders)
    UNION ALL
    SELECT scope, 'certificate', object_kind, id, one->>'$.keyId', one->>'$.displayName', one->>'$.startDateTime',
        one->>'$.endDateTime', one->>'$.usage', one->>'$.customKeyIdentifier', NULL, NULL, NULL
    FROM (SELECT *, unnest(json_extract(keyCredentials, '$[*]')) AS one FROM holders)
    UNION ALL
    SELECT scope, 'federated', 'application', _parent_id, id, name, NULL, NULL, NULL, NULL, NULL, issuer, subject
    FROM federated_identity_credentials
), owned AS (
    SELECT scope, source_id AS id, target_id AS owner_id FROM application_owners
    UNION ALL
    SELECT scope, source_id, target_id FROM service_principal_owners
), people AS (
    SELECT scope, id, coalesce(displayName, userPrincipalName, id) AS label FROM users
    UNION ALL
    SELECT scope, id, label FROM holders WHERE object_kind = 'servicePrincipal'
), owners AS (
    SELECT o.scope, o.id, list(o.owner_id ORDER BY o.owner_id) AS owner_ids,
        list(coalesce(p.label, o.owner_id) ORDER BY o.owner_id) AS owners
    FROM owned o LEFT JOIN people p ON p.scope = o.scope AND p.id = o.owner_id
    GROUP BY o.scope, o.id
)
SELECT f.scope, f.kind, f.object_kind, f.id AS object_id, coalesce(h.label, f.id) AS object, h.app_id, f.credential_id,
    f.name, f.starts::TIMESTAMPTZ AS starts, f.expires::TIMESTAMPTZ AS expires, f.usage, f.thumbprint, f.hint, f.issuer,
    f.subject, coalesce(o.owner_ids, []) AS owner_ids, coalesce(o.owners, []) AS owners
FROM found f
LEFT JOIN holders h ON h.scope = f.scope AND h.id = f.id
LEFT JOIN owners o ON o.scope = f.scope AND o.id = f.id
