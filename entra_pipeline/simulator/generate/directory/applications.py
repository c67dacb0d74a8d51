"""Writes applications and enterprise applications, their parts, assignments and grants."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.directory.people import CLEARED, group_name, owner_pairs, user_name
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind

_EVERYONE = "00000000-0000-0000-0000-000000000000"


def application(loader: Loader, number: int) -> dict[str, Any]:
    """Returns the number-th application."""
    app_id = loader.ids("appId", number)
    moment = EPOCH + timedelta(hours=number, seconds=number % 3600)
    body: dict[str, Any] = {
        "id": loader.ids("application", number),
        "appId": app_id,
        "createdDateTime": stamp(moment, f"{number * 7919 % 10**7:07}"),
        "displayName": f"Application {number:04}" + (" – Lönesystem 💶" if number % 7 == 1 else ""),
        "description": None,
        "identifierUris": [f"api://{app_id}"] if number % 2 == 0 else [],
        "publisherDomain": loader.who.domain,
        "signInAudience": "AzureADMyOrg" if number % 5 else "AzureADMultipleOrgs",
        "tags": ["internal", "HR"] if number % 3 == 0 else [],
        "api": {
            "acceptMappedClaims": None,
            "knownClientApplications": [],
            "requestedAccessTokenVersion": 2,
            "oauth2PermissionScopes": _scopes_of(loader, number),
            "preAuthorizedApplications": [],
        },
        "appRoles": _roles_of(loader, number),
        "authenticationBehaviors": {"removeUnverifiedEmailClaim": True, "requireClientServicePrincipal": True}
        if number % 3 == 0
        else None,
        "info": {
            "termsOfServiceUrl": None,
            "supportUrl": None,
            "privacyStatementUrl": None,
            "marketingUrl": f"https://app{number}.contoso.com/",
            "logoUrl": None,
        },
        "keyCredentials": _certificates(loader, number) if number % 4 == 0 else [],
        "passwordCredentials": [
            {
                "customKeyIdentifier": None,
                "displayName": "deploy",
                "endDateTime": stamp(moment + timedelta(days=730)),
                "hint": "Qr8",
                "keyId": loader.ids("password", number),
                "secretText": None,
                "startDateTime": stamp(moment, "1234567"),
            }
        ],
        "requiredResourceAccess": [
            {
                "resourceAppId": builtin.GRAPH_APP_ID,
                "resourceAccess": [
                    {"id": builtin.GRAPH_SCOPES[0][0], "type": "Scope"},
                    {"id": builtin.GRAPH_APP_ROLES[0][0], "type": "Role"},
                ],
            }
        ],
        "web": {
            "redirectUris": [f"https://app{number}.contoso.com/auth"],
            "homePageUrl": f"https://app{number}.contoso.com/",
            "logoutUrl": None,
            "implicitGrantSettings": {"enableIdTokenIssuance": False, "enableAccessTokenIssuance": False},
            "redirectUriSettings": [{"uri": f"https://app{number}.contoso.com/auth", "index": None}],
        },
        "spa": {"redirectUris": []},
        "publicClient": {"redirectUris": []},
        "addIns": [],
        "parentalControlSettings": {"countriesBlockedForMinors": [], "legalAgeGroupRule": "Allow"},
    }
    if number % 5 == 0:
        # Graph grows properties faster than SDKs do: a client must keep what it does not know.
        body["futureSetting"] = {"mode": "strict", "weights": [1, 2.5, None], "note": "naïve ☕"}
    return body


def service_principals(loader: Loader) -> Iterator[dict[str, Any]]:
    """Yields the enterprise applications: Microsoft Graph first, then one per application."""
    yield {
        **_principal(loader.ids("graphSp", 0), builtin.GRAPH_APP_ID, "Microsoft Graph", builtin.MICROSOFT_TENANT),
        "servicePrincipalNames": [builtin.GRAPH_APP_ID, "https://graph.microsoft.com"],
        "appRoles": [
            {
                "allowedMemberTypes": ["Application"],
                "description": name,
                "displayName": name,
                "id": i,
                "isEnabled": True,
                "origin": "Application",
                "value": name,
            }
            for i, name in builtin.GRAPH_APP_ROLES
        ],
        "oauth2PermissionScopes": [
            {"id": i, "isEnabled": True, "type": "User", "value": name} for i, name in builtin.GRAPH_SCOPES
        ],
    }
    for number in range(loader.applications):
        app_id = loader.ids("appId", number)
        yield {
            **_principal(loader.ids("sp", number), app_id, f"Application {number:04}", loader.who.tenant_id),
            "servicePrincipalNames": [app_id],
            "appRoleAssignmentRequired": number % 3 == 0,
            "appRoles": _roles_of(loader, number),
            "oauth2PermissionScopes": _scopes_of(loader, number),
            "homepage": f"https://app{number}.contoso.com/",
            "replyUrls": [f"https://app{number}.contoso.com/auth"],
            "tags": ["WindowsAzureActiveDirectoryIntegratedApp", "HideApp"][: 1 + number % 2],
            "keyCredentials": _certificates(loader, number) if number % 4 == 1 else [],
            "notes": "Ägs av IT" if number % 4 == 0 else None,
            **(CLEARED if number % 4 == 0 else {}),
        }

    if not loader.plan.empty:
        yield _principal(
            loader.ids("cloudLoginSp", 0), builtin.CLOUD_LOGIN_APP_ID, "Windows Cloud Login", builtin.MICROSOFT_TENANT
        )


def application_parts(loader: Loader) -> None:
    """Writes federated credentials, extension properties and owners."""
    links: dict[LinkKind, list[tuple[int, int]]] = {LinkKind.CREDENTIALS: [], LinkKind.EXTENSIONS: []}
    first = loader.first["application"]
    credentials: list[tuple[int, dict[str, Any]]] = []
    extensions: list[tuple[int, dict[str, Any]]] = []
    for number in range(0, loader.applications, 3):
        credentials.append(
            (
                number,
                {
                    "id": loader.ids("fic", number),
                    "name": f"github-{number}",
                    "issuer": "https://token.actions.githubusercontent.com",
                    "subject": f"repo:contoso/app{number}:ref:refs/heads/main",
                    "description": None,
                    "audiences": ["api://AzureADTokenExchange"],
                },
            )
        )
    for number, (name, kind, targets) in enumerate(
        ((loader.cost_center, "String", ["User", "Group"]), (loader.level, "Integer", ["User"]))
    ):
        extensions.append(
            (
                0,
                {
                    "id": loader.ids("extension", number),
                    "appDisplayName": "Application 0000",
                    "dataType": kind,
                    "isMultiValued": False,
                    "isSyncedFromOnPremises": False,
                    "name": name,
                    "targetObjects": targets,
                },
            )
        )
    for type_name, code, parts in (
        ("federatedIdentityCredential", LinkKind.CREDENTIALS, credentials),
        ("extensionProperty", LinkKind.EXTENSIONS, extensions),
    ):
        base = loader.write(type_name, iter([body for _, body in parts]))
        links[code] = [(first + owner, base + index) for index, (owner, _) in enumerate(parts)]
        loader.directory.load_links(code, links[code])
    if loader.users:
        owners = owner_pairs(loader, first, loader.applications, "applicationOwner")
        loader.directory.load_links(LinkKind.APPLICATION_OWNERS, owners)
        principals = owner_pairs(loader, loader.first["servicePrincipal"] + 1, loader.applications, "spOwner")
        loader.directory.load_links(LinkKind.PRINCIPAL_OWNERS, principals)


def assignments(loader: Loader) -> None:
    """Writes 3 to 40 assignments per application, to users and groups; every third application may use Graph."""
    bodies: list[dict[str, Any]] = []
    links: dict[LinkKind, list[tuple[int, int]]] = {LinkKind.ASSIGNED_TO: [], LinkKind.ASSIGNMENTS: []}
    base = loader.next

    def assign(
        resource: int, resource_id: str, resource_name: str, principal: tuple[int, str, str, str], role: str
    ) -> None:
        seq = base + len(bodies)
        number = len(bodies)
        links[LinkKind.ASSIGNED_TO].append((resource, seq))
        links[LinkKind.ASSIGNMENTS].append((principal[0], seq))
        bodies.append(
            {
                "id": loader.ids("assignment", number).replace("-", "")[:27] + "AQ",
                "appRoleId": role,
                "createdDateTime": stamp(EPOCH + timedelta(minutes=number), f"{number * 104729 % 10**7:07}"),
                "principalDisplayName": principal[2],
                "principalId": principal[1],
                "principalType": principal[3],
                "resourceDisplayName": resource_name,
                "resourceId": resource_id,
            }
        )

    first = loader.first["servicePrincipal"]
    for number in range(loader.applications):
        rng = loader.random("assignments", number)
        name = f"Application {number:04}"
        role = loader.ids("appRole0", number) if number % 4 else _EVERYONE
        wanted = min(rng.randint(3, 40), loader.users)
        for user in rng.sample(range(loader.users), wanted):
            assign(first + 1 + number, loader.ids("sp", number), name, _as_principal(loader, "user", user), role)
        if loader.groups:
            group = _as_principal(loader, "group", rng.randrange(loader.groups))
            assign(first + 1 + number, loader.ids("sp", number), name, group, role)
        if number % 3 == 0:
            me = (first + 1 + number, loader.ids("sp", number), name, "ServicePrincipal")
            assign(first, loader.ids("graphSp", 0), "Microsoft Graph", me, builtin.GRAPH_APP_ROLES[0][0])
    loader.write("appRoleAssignment", iter(bodies))
    for code, pairs in links.items():
        loader.directory.load_links(code, sorted(pairs))


def _as_principal(loader: Loader, kind: str, number: int) -> tuple[int, str, str, str]:
    name = user_name(number) if kind == "user" else group_name(number)
    return loader.first[kind] + number, loader.ids(kind, number), name, kind.capitalize()


def grants(loader: Loader) -> None:
    """Writes delegated grants of Microsoft Graph: one for everybody, for some applications one for a user, too."""
    bodies: list[dict[str, Any]] = []
    links: dict[LinkKind, list[tuple[int, int]]] = {
        LinkKind.GRANT_CLIENT: [],
        LinkKind.GRANT_RESOURCE: [],
        LinkKind.GRANT_PRINCIPAL: [],
    }
    first = loader.first["servicePrincipal"]
    base = loader.next
    for number in range(loader.applications):
        users = [None, *([number * 13 % loader.users] if loader.users and number % 2 else [])]
        for user in users:
            seq = base + len(bodies)
            links[LinkKind.GRANT_CLIENT].append((first + 1 + number, seq))
            links[LinkKind.GRANT_RESOURCE].append((first, seq))
            if user is not None:
                links[LinkKind.GRANT_PRINCIPAL].append((loader.first["user"] + user, seq))
            bodies.append(
                {
                    "id": loader.ids("grant", len(bodies)).replace("-", "") + "_Xk",
                    "clientId": loader.ids("sp", number),
                    "consentType": "AllPrincipals" if user is None else "Principal",
                    "principalId": None if user is None else loader.ids("user", user),
                    "resourceId": loader.ids("graphSp", 0),
                    "scope": " openid profile User.Read" if user is None else "User.ReadBasic.All",
                }
            )
    loader.write("oAuth2PermissionGrant", iter(bodies))
    for code, pairs in links.items():
        loader.directory.load_links(code, sorted(pairs))


def _roles_of(loader: Loader, number: int) -> list[dict[str, Any]]:
    return [
        {
            "allowedMemberTypes": ["User", "Application"] if role else ["User"],
            "description": f"{name} of application {number}",
            "displayName": name,
            "id": loader.ids(f"appRole{role}", number),
            "isEnabled": True,
            "origin": "Application",
            "value": name.lower(),
        }
        for role, name in enumerate(("Reader", "Writer")[: 1 + number % 2])
    ]


def _scopes_of(loader: Loader, number: int) -> list[dict[str, Any]]:
    return [
        {
            "adminConsentDescription": "Reads as the signed-in user",
            "adminConsentDisplayName": "Read",
            "id": loader.ids("scope", number),
            "isEnabled": True,
            "type": "User",
            "userConsentDescription": None,
            "userConsentDisplayName": None,
            "value": "user_impersonation",
        }
    ]


def _certificates(loader: Loader, number: int) -> list[dict[str, Any]]:
    return [
        {
            "customKeyIdentifier": "F5B0C6D9A1E2",
            "displayName": f"CN=app{number}",
            "endDateTime": "2037-01-01T00:00:00Z",
            "key": "MIIC8jCCAdqgAwIBAgIQ" + loader.ids("certificate", number).replace("-", ""),
            "keyId": loader.ids("certificate", number),
            "startDateTime": "2025-01-01T00:00:00Z",
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
        }
    ]


def _principal(identifier: str, app_id: str, name: str, owner: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "accountEnabled": True,
        "addIns": [],
        "alternativeNames": [],
        "appDisplayName": name,
        "appId": app_id,
        "appOwnerOrganizationId": owner,
        "appRoleAssignmentRequired": False,
        "appRoles": [],
        "displayName": name,
        "info": {"logoUrl": None, "marketingUrl": None},
        "keyCredentials": [],
        "notificationEmailAddresses": [],
        "oauth2PermissionScopes": [],
        "passwordCredentials": [],
        "replyUrls": [],
        "servicePrincipalNames": [app_id],
        "servicePrincipalType": "Application",
        "signInAudience": "AzureADMyOrg",
        "tags": [],
    }
