"""Makes up what a new user, group, application or enterprise application has."""

from __future__ import annotations

import re

import msgspec

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.graph.writing.creation.context import NO_ROLE, NewObjects, Preset, principal_exists
from entra_pipeline.simulator.protocol.failures import bad_request, not_found, same_key
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity


def _user(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    name = str(body.get("userPrincipalName") or f"made{new.count():06}@{new.identity.initial_domain}")
    if not trusted:
        new.check_user_name(name)
        new.check_addresses([str(body["mail"])] if body.get("mail") else [])
        new.check_identities(body.get("identities") or [])
    profile = body.pop("passwordProfile", None) or {}
    if "password" in profile:
        new.directory.passwords[name.lower()] = str(profile["password"])
    issuer = {"signInType": "userPrincipalName", "issuer": new.identity.initial_domain, "issuerAssignedId": name}
    made = {
        "accountEnabled": True,
        "displayName": name.partition("@")[0],
        "mailNickname": name.partition("@")[0],
        "userPrincipalName": name,
        "createdDateTime": new.directory.stamp(),
        "businessPhones": [],
        "assignedLicenses": [],
        "assignedPlans": [],
        "identities": [issuer],
        "imAddresses": [],
        "otherMails": [],
        "proxyAddresses": [f"SMTP:{body['mail']}"] if body.get("mail") else [],
        "userType": "Member",
    }
    return {**made, **body}


def _group(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    nickname = str(body.get("mailNickname") or f"made{new.count():06}")
    unified = "Unified" in (body.get("groupTypes") or ())
    if not trusted:
        if body.get("mailEnabled") and not unified:
            raise bad_request(
                "Mail-enabled security groups and distribution lists cannot be created in Microsoft Graph."
            )
        if unified and not body.get("mailEnabled"):
            raise bad_request("Property 'mailEnabled' must be true for a Microsoft 365 group.")
        dynamic = "DynamicMembership" in (body.get("groupTypes") or ())
        if dynamic != bool(body.get("membershipRule")):
            raise bad_request("Property 'membershipRule' is required for, and only for, dynamic groups.")
        if not re.fullmatch(r"[!#$%&'*+./0-9=?A-Z^_`a-z{|}~-]{1,64}", nickname):
            raise bad_request("Invalid value specified for property 'mailNickname' of resource 'Group'.")
    mail = f"{nickname}@{new.identity.domain}" if unified else None
    now = new.directory.stamp()
    made = {
        "createdDateTime": now,
        "renewedDateTime": now,
        "description": None,
        "displayName": nickname,
        "groupTypes": [],
        "mail": mail,
        "mailEnabled": unified,
        "mailNickname": nickname,
        "proxyAddresses": [f"SMTP:{mail}"] if mail else [],
        "resourceBehaviorOptions": [],
        "resourceProvisioningOptions": [],
        "securityEnabled": not unified,
        "visibility": "Public" if unified else None,
    }
    return {**made, **body}


def _application(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    if not trusted:
        new.check_uris(body.get("identifierUris") or [])
    made = {
        "appId": new.new_key(),
        "createdDateTime": new.directory.stamp(),
        "displayName": "Application",
        "publisherDomain": new.identity.initial_domain,
        "signInAudience": "AzureADandPersonalMicrosoftAccount",
        "identifierUris": [],
        "tags": [],
        "addIns": [],
        "appRoles": [],
        "keyCredentials": [],
        "passwordCredentials": [],
        "requiredResourceAccess": [],
    }
    return {**made, **body}


def _principal(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    app_id = str(body.get("appId", "")).lower()
    applications = new.directory.by_key("application", app_id)
    if not trusted and new.directory.by_key("servicePrincipal", app_id):
        raise principal_exists(app_id)
    elsewhere = new.applications_elsewhere().get(app_id, {})
    # Those of Microsoft are there for every tenant (Entra doc: configure-single-sign-on, New-MgServicePrincipal).
    known = applications or elsewhere or app_id in {builtin.GRAPH_APP_ID, builtin.CLOUD_LOGIN_APP_ID}
    if not known and not trusted:
        raise bad_request(
            f"The appId '{app_id}' of the service principal does not reference a valid application object."
        )
    application = msgspec.json.decode(applications[0].body) if applications else {}
    made = {
        "accountEnabled": True,
        "addIns": [],
        "alternativeNames": [],
        "appDisplayName": application.get("displayName"),
        "appOwnerOrganizationId": new.identity.tenant_id,
        "appRoleAssignmentRequired": False,
        "appRoles": application.get("appRoles", []),
        "displayName": application.get("displayName"),
        "keyCredentials": [],
        "oauth2PermissionScopes": (application.get("api") or {}).get("oauth2PermissionScopes", []),
        "passwordCredentials": [],
        "replyUrls": (application.get("web") or {}).get("redirectUris", []),
        "servicePrincipalNames": [app_id, *application.get("identifierUris", ())],
        "servicePrincipalType": "Application",
        "signInAudience": application.get("signInAudience"),
        "tags": [],
    }
    return {**made, **elsewhere, **body}


def _extension(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    return {"appDisplayName": "", "isMultiValued": False, "isSyncedFromOnPremises": False, **body}


def _app_role(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    principal = new.directory.find(str(body.get("principalId")))
    resource = new.directory.find(str(body.get("resourceId")), "servicePrincipal")
    if principal is None or resource is None:
        raise not_found(str(body.get("resourceId" if principal else "principalId")))
    if principal.type not in {"user", "group", "servicePrincipal"}:
        raise bad_request("The principal must be a user, a group or a service principal.")
    offered = msgspec.json.decode(resource.body)
    if not trusted:
        roles = {role["id"] for role in offered.get("appRoles") or ()}
        if body["appRoleId"] not in roles | {NO_ROLE}:
            raise bad_request(f"Permission being assigned was not found on application '{offered['appId']}'.")
        for row in new.directory.linked((LinkKind.ASSIGNMENTS,), principal.seq):
            held = msgspec.json.decode(row.body)
            if held["resourceId"] == resource.id and held["appRoleId"] == body["appRoleId"]:
                raise bad_request("Permission being assigned already exists on the object")
    made = {
        "createdDateTime": new.directory.stamp(),
        "principalDisplayName": msgspec.json.decode(principal.body).get("displayName"),
        "principalType": principal.type[:1].upper() + principal.type[1:],
        "resourceDisplayName": offered.get("displayName"),
    }
    return {"id": new.new_key().replace("-", "")[:27] + "AQ", **made, **body}


def _grant(new: NewObjects, body: Entity, trusted: bool) -> Entity:
    ends = ("clientId", "resourceId", *(["principalId"] if body.get("consentType") == "Principal" else []))
    for name in ends:
        if not trusted and new.directory.find(str(body.get(name))) is None:
            raise not_found(str(body.get(name)))
    client = new.directory.find(str(body.get("clientId")))
    for row in new.directory.linked((LinkKind.GRANT_CLIENT,), client.seq) if client and not trusted else ():
        held = msgspec.json.decode(row.body)
        if all(held.get(name) == body.get(name) for name in ("resourceId", "consentType", "principalId")):
            raise same_key("Permission entry already exists.")
    return {"principalId": None, **body, "id": body.get("id") or new.new_key().replace("-", "") + "_Xk"}


PRESETS: dict[str, Preset] = {
    "user": _user,
    "group": _group,
    "application": _application,
    "servicePrincipal": _principal,
    "appRoleAssignment": _app_role,
    "oAuth2PermissionGrant": _grant,
    "extensionProperty": _extension,
}
