"""Creating objects: what Graph demands and makes up for each type, and how a new object hangs together with others.

What belongs here: one method per type that has rules of its own, and the tables that name them. What does not: rules
that hold for every type (`writer`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.plan import Identity, Ids
from entra_pipeline.simulator.graph.writing import scheduling
from entra_pipeline.simulator.protocol.failures import Failure, bad_request, conflict, not_found, same_key
from entra_pipeline.simulator.schema import Link
from entra_pipeline.simulator.storage.database import Body, Row
from entra_pipeline.simulator.storage.directory import Directory

_BODIES = msgspec.json.Decoder(dict[str, Body])

_NO_ROLE = "00000000-0000-0000-0000-000000000000"


class Creation:
    """Creates objects in one tenant.

    A preset takes what the request sent and returns the object's first properties, `id` included where the type has its
    own kind; `trusted` skips the checks. A connection links the stored object to what it refers to.
    """

    def __init__(self, directory: Directory, identity: Identity, seed: int) -> None:
        self.directory = directory
        self.identity = identity
        self._ids = Ids(seed)

    def preset(self, type_name: str, body: Body, trusted: bool) -> Body:
        """The first properties of a new object. Raises Failure for what Graph refuses."""
        if type_name in scheduling.REQUESTS:
            return scheduling.preset(self.directory, type_name, body, self.mint())
        rule = _PRESETS.get(type_name)
        return rule(self, body, trusted) if rule else body

    def connect(self, row: Row, body: Body) -> None:
        """Links a new object to what it refers to."""
        if row.type in scheduling.REQUESTS:
            scheduling.carry_out(self.directory, row, self._give_role, self._take_role)
            return
        rule = _CONNECTIONS.get(row.type)
        if rule:
            rule(self, row, body)

    def mint(self) -> str:
        """A new id: by seed and how many have been minted."""
        return self._ids("created", self._count())

    def _count(self) -> int:
        number = int(self.directory.meta("created") or 0) + 1
        self.directory.remember("created", str(number))
        return number

    def check_user_name(self, name: str, seq: int = 0) -> None:
        """Raises Failure when the name is taken by a live user or its domain is not verified."""
        domain = name.rpartition("@")[2].lower()
        verified = {
            row.id.lower() for row in self.directory.page("domain") if msgspec.json.decode(row.body)["isVerified"]
        }
        if "@" not in name or domain not in verified:
            raise bad_request(
                "The domain portion of the userPrincipalName property is invalid. You must use one of the verified "
                "domain names in your organization."
            )
        if any(row.seq != seq for row in self.directory.by_key("user", name)):
            raise conflict("userPrincipalName")

    def check_uris(self, uris: list[str], seq: int = 0) -> None:
        """Raises Failure when an identifier URI is taken by another live application."""
        for uri in uris:
            where = "EXISTS (SELECT 1 FROM json_each(o.json, '$.identifierUris') j WHERE j.value = ? COLLATE NOCASE)"
            if any(row.seq != seq for row in self.directory.page("application", where=where, values=(uri,))):
                raise conflict("identifierUris")

    def mirror_role(self, assignment: Body, *, present: bool) -> None:
        """Keeps members of an activated role the same as the assignments of its definition over the directory."""
        if assignment.get("directoryScopeId") != "/":
            return
        roles = self.directory.by_key("directoryRole", str(assignment["roleDefinitionId"]))
        principal = self.directory.find(str(assignment["principalId"]))
        if roles and principal:
            change = self.directory.link if present else self.directory.unlink
            change(Link.ROLE_MEMBERS, roles[0].seq, principal.seq)

    def _preset_user(self, body: Body, trusted: bool) -> Body:
        name = str(body.get("userPrincipalName") or f"made{self._count():06}@{self.identity.initial_domain}")
        if not trusted:
            self.check_user_name(name)
        profile = body.pop("passwordProfile", None) or {}
        if "password" in profile:
            self.directory.passwords[name.lower()] = str(profile["password"])
        issuer = {"signInType": "userPrincipalName", "issuer": self.identity.initial_domain, "issuerAssignedId": name}
        made = {
            "accountEnabled": True,
            "displayName": name.partition("@")[0],
            "mailNickname": name.partition("@")[0],
            "userPrincipalName": name,
            "createdDateTime": self.directory.stamp(),
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

    def _preset_group(self, body: Body, trusted: bool) -> Body:
        nickname = str(body.get("mailNickname") or f"made{self._count():06}")
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
        mail = f"{nickname}@{self.identity.domain}" if unified else None
        now = self.directory.stamp()
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

    def _preset_application(self, body: Body, trusted: bool) -> Body:
        if not trusted:
            self.check_uris(body.get("identifierUris") or [])
        made = {
            "appId": self.mint(),
            "createdDateTime": self.directory.stamp(),
            "displayName": "Application",
            "publisherDomain": self.identity.initial_domain,
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

    def _preset_principal(self, body: Body, trusted: bool) -> Body:
        app_id = str(body.get("appId", "")).lower()
        applications = self.directory.by_key("application", app_id)
        if not trusted and self.directory.by_key("servicePrincipal", app_id):
            raise principal_exists(app_id)
        elsewhere = self._applications_elsewhere().get(app_id, {})
        if not applications and not elsewhere and not trusted and app_id != builtin.GRAPH_APP_ID:
            raise bad_request(
                f"The appId '{app_id}' of the service principal does not reference a valid application object."
            )
        application = msgspec.json.decode(applications[0].body) if applications else {}
        made = {
            "accountEnabled": True,
            "addIns": [],
            "alternativeNames": [],
            "appDisplayName": application.get("displayName"),
            "appOwnerOrganizationId": self.identity.tenant_id,
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

    def publish(self, applications: list[Body]) -> None:
        """Makes applications of other tenants known, by `appId`; enterprise applications can be made of them.

        Their other members are what an enterprise application takes over from its application.
        """
        known = {str(one["appId"]).lower(): {n: v for n, v in one.items() if n != "appId"} for one in applications}
        kept = {**self._applications_elsewhere(), **known}
        self.directory.remember("applications elsewhere", msgspec.json.encode(kept).decode())

    def _applications_elsewhere(self) -> dict[str, Body]:
        kept = self.directory.meta("applications elsewhere")
        return _BODIES.decode(kept) if kept else {}

    def _preset_role(self, body: Body, trusted: bool) -> Body:
        template = str(body.get("roleTemplateId", ""))
        found = [role for role in builtin.ROLES if role[0] == template]
        if not trusted and (not found or self.directory.by_key("directoryRole", template)):
            raise bad_request("A conflicting object with one or more of the specified property values is present.")
        return {"displayName": found[0][1] if found else "", "description": found[0][2] if found else "", **body}

    def _preset_definition(self, body: Body, trusted: bool) -> Body:
        identifier = str(body.get("templateId") or body.get("id") or self.mint())
        if not trusted and self.directory.find(identifier):
            raise conflict("templateId")
        made = {
            "isBuiltIn": False,
            "isEnabled": True,
            "resourceScopes": ["/"],
            "templateId": identifier,
            "version": None,
        }
        return {**made, **body, "id": identifier}

    def _preset_assignment(self, body: Body, trusted: bool) -> Body:
        principal = self.directory.find(str(body.get("principalId")))
        definition = self.directory.find(str(body.get("roleDefinitionId")), "unifiedRoleDefinition")
        if not trusted:
            if principal is None or definition is None:
                raise not_found(str(body.get("roleDefinitionId" if principal else "principalId")))
            if not body.get("directoryScopeId") and not body.get("appScopeId"):
                raise bad_request("A value is required for property 'directoryScopeId' or 'appScopeId'.")
            if principal.type == "group" and not msgspec.json.decode(principal.body).get("isAssignableToRole"):
                raise bad_request("The group is not assignable to roles (isAssignableToRole is false).")
            for row in self.directory.linked((Link.ROLE_ASSIGNED,), principal.seq):
                held = msgspec.json.decode(row.body)
                if all(held.get(n) == body.get(n) for n in ("roleDefinitionId", "directoryScopeId", "appScopeId")):
                    raise bad_request(
                        "A conflicting object with one or more of the specified property values is present."
                    )
        return {**body, "id": body.get("id") or self.mint().replace("-", "") + "-1"}

    def _preset_app_role(self, body: Body, trusted: bool) -> Body:
        principal = self.directory.find(str(body.get("principalId")))
        resource = self.directory.find(str(body.get("resourceId")), "servicePrincipal")
        if principal is None or resource is None:
            raise not_found(str(body.get("resourceId" if principal else "principalId")))
        if principal.type not in {"user", "group", "servicePrincipal"}:
            raise bad_request("The principal must be a user, a group or a service principal.")
        offered = msgspec.json.decode(resource.body)
        if not trusted:
            roles = {role["id"] for role in offered.get("appRoles") or ()}
            if body["appRoleId"] not in roles | {_NO_ROLE}:
                raise bad_request(f"Permission being assigned was not found on application '{offered['appId']}'.")
            for row in self.directory.linked((Link.ASSIGNMENTS,), principal.seq):
                held = msgspec.json.decode(row.body)
                if held["resourceId"] == resource.id and held["appRoleId"] == body["appRoleId"]:
                    raise bad_request("Permission being assigned already exists on the object")
        made = {
            "createdDateTime": self.directory.stamp(),
            "principalDisplayName": msgspec.json.decode(principal.body).get("displayName"),
            "principalType": principal.type[:1].upper() + principal.type[1:],
            "resourceDisplayName": offered.get("displayName"),
        }
        return {"id": self.mint().replace("-", "")[:27] + "AQ", **made, **body}

    def _preset_grant(self, body: Body, trusted: bool) -> Body:
        ends = ("clientId", "resourceId", *(["principalId"] if body.get("consentType") == "Principal" else []))
        for name in ends:
            if not trusted and self.directory.find(str(body.get(name))) is None:
                raise not_found(str(body.get(name)))
        client = self.directory.find(str(body.get("clientId")))
        for row in self.directory.linked((Link.GRANT_CLIENT,), client.seq) if client and not trusted else ():
            held = msgspec.json.decode(row.body)
            if all(held.get(name) == body.get(name) for name in ("resourceId", "consentType", "principalId")):
                raise same_key("Permission entry already exists.")
        return {"principalId": None, **body, "id": body.get("id") or self.mint().replace("-", "") + "_Xk"}

    def _preset_workflow(self, body: Body, trusted: bool) -> Body:
        now = self.directory.stamp()
        made = {"createdDateTime": now, "lastModifiedDateTime": now, "version": 1, "nextScheduleRunDateTime": None}
        tasks = [{"id": self.mint(), **{k: v for k, v in t.items() if k != "id"}} for t in body.get("tasks") or ()]
        return {"isEnabled": True, "isSchedulingEnabled": False, **made, **body, **({"tasks": tasks} if tasks else {})}

    def _preset_review(self, body: Body, trusted: bool) -> Body:
        now = self.directory.stamp()
        return {"createdDateTime": now, "lastModifiedDateTime": now, "status": "NotStarted", **body}

    def _preset_catalog(self, body: Body, trusted: bool) -> Body:
        return {"catalogType": "userManaged", "state": "published", **self._preset_dated(body, trusted)}

    def _preset_dated(self, body: Body, trusted: bool) -> Body:
        """What has a date of creation, and nothing else of its own."""
        return {"createdDateTime": self.directory.stamp(), "modifiedDateTime": None, **body}

    def _preset_strength(self, body: Body, trusted: bool) -> Body:
        made = {"policyType": "custom", "requirementsSatisfied": "mfa", "combinationConfigurations": []}
        return {**self._preset_dated(made, trusted), **body}

    def _preset_domain(self, body: Body, trusted: bool) -> Body:
        made = {
            "authenticationType": "Managed",
            "isAdminManaged": True,
            "isDefault": False,
            "isInitial": False,
            "isRoot": True,
            "isVerified": False,
            "supportedServices": [],
        }
        return {**made, **body}

    def _preset_branding(self, body: Body, trusted: bool) -> Body:
        return {**body, "id": "0"}

    def _preset_context(self, body: Body, trusted: bool) -> Body:
        if not trusted and not re.fullmatch(r"c[1-9]\d?", str(body["id"])):
            raise bad_request("The id of an authentication context is one of c1 to c99.")
        return {"isAvailable": False, **body}

    def _preset_attribute(self, body: Body, trusted: bool) -> Body:
        if not trusted and self.directory.find(str(body["attributeSet"]), "attributeSet") is None:
            raise not_found(str(body["attributeSet"]))
        return {"allowedValues": [], **body, "id": f"{body['attributeSet']}_{body['name']}"}

    def _preset_consent(self, body: Body, trusted: bool) -> Body:
        if not trusted and str(body["id"]).startswith("microsoft-"):
            raise bad_request("Ids that begin with 'microsoft-' are reserved.")
        return {"includes": [], "excludes": [], **body}

    def _preset_flow(self, body: Body, trusted: bool) -> Body:
        return {**body, "id": "B2X_1_" + str(body["id"]).removeprefix("B2X_1_")}

    def _preset_setting(self, body: Body, trusted: bool) -> Body:
        template = self.directory.find(str(body.get("templateId")), "groupSettingTemplate")
        if template is None and not trusted:
            raise bad_request("The value of property 'templateId' does not name a template.")
        name = msgspec.json.decode(template.body)["displayName"] if template else "Group.Unified"
        held = {msgspec.json.decode(row.body)["templateId"] for row in self.directory.page("groupSetting")}
        if not trusted and template and template.id in held:
            raise bad_request("A conflicting object with one or more of the specified property values is present.")
        return {"displayName": name, **body}

    def _preset_job(self, body: Body, trusted: bool) -> Body:
        made = {
            "schedule": {"expiration": None, "interval": "PT40M", "state": "Disabled"},
            "status": {"code": "NotConfigured", "countSuccessiveCompleteFailures": 0, "escrowsPruned": False},
            "synchronizationJobSettings": [],
        }
        return {**made, **body, "id": f"{body.get('templateId', 'scim')}.{self.mint()}"}

    def _preset_extension(self, body: Body, trusted: bool) -> Body:
        return {"appDisplayName": "", "isMultiValued": False, "isSyncedFromOnPremises": False, **body}

    # --- how a new object hangs together with others -----------------------------------------------------------------

    def _connect_assignment(self, row: Row, body: Body) -> None:
        principal = self.directory.find(str(body["principalId"]))
        if principal:
            self.directory.link(Link.ROLE_ASSIGNED, principal.seq, row.seq)
        self.mirror_role(body, present=True)

    def _give_role(self, assignment: Body) -> None:
        if not self._role_held(assignment):
            identifier = self.mint().replace("-", "") + "-1"
            row = self.directory.insert("unifiedRoleAssignment", identifier, assignment)
            self._connect_assignment(row, assignment)

    def _take_role(self, assignment: Body) -> None:
        for row in self._role_held(assignment):
            self.mirror_role(assignment, present=False)
            self.directory.purge(row.seq)

    def _role_held(self, assignment: Body) -> list[Row]:
        principal = str(assignment["principalId"])
        return self.directory.matching(Link.ROLE_ASSIGNED, principal, "unifiedRoleAssignment", assignment)

    def _connect_app_role(self, row: Row, body: Body) -> None:
        self._link_from(Link.ASSIGNED_TO, body.get("resourceId"), row)
        self._link_from(Link.ASSIGNMENTS, body.get("principalId"), row)

    def _connect_grant(self, row: Row, body: Body) -> None:
        self._link_from(Link.GRANT_CLIENT, body.get("clientId"), row)
        self._link_from(Link.GRANT_RESOURCE, body.get("resourceId"), row)
        self._link_from(Link.GRANT_PRINCIPAL, body.get("principalId"), row)

    def _link_from(self, code: Link, identifier: object, row: Row) -> None:
        source = self.directory.find(str(identifier)) if identifier else None
        if source:
            self.directory.link(code, source.seq, row.seq)


_PRESETS: dict[str, Callable[[Creation, Body, bool], Body]] = {
    "user": Creation._preset_user,
    "group": Creation._preset_group,
    "application": Creation._preset_application,
    "servicePrincipal": Creation._preset_principal,
    "directoryRole": Creation._preset_role,
    "unifiedRoleDefinition": Creation._preset_definition,
    "unifiedRoleAssignment": Creation._preset_assignment,
    "appRoleAssignment": Creation._preset_app_role,
    "oAuth2PermissionGrant": Creation._preset_grant,
    "conditionalAccessPolicy": Creation._preset_dated,
    "namedLocation": Creation._preset_dated,
    "authenticationStrengthPolicy": Creation._preset_strength,
    "domain": Creation._preset_domain,
    "workflow": Creation._preset_workflow,
    "accessReviewScheduleDefinition": Creation._preset_review,
    "accessPackageCatalog": Creation._preset_catalog,
    "accessPackage": Creation._preset_dated,
    "accessPackageAssignmentPolicy": Creation._preset_dated,
    "connectedOrganization": Creation._preset_dated,
    "extensionProperty": Creation._preset_extension,
    "organizationalBranding": Creation._preset_branding,
    "authenticationContextClassReference": Creation._preset_context,
    "customSecurityAttributeDefinition": Creation._preset_attribute,
    "permissionGrantPolicy": Creation._preset_consent,
    "b2xIdentityUserFlow": Creation._preset_flow,
    "groupSetting": Creation._preset_setting,
    "synchronizationJob": Creation._preset_job,
}
_CONNECTIONS: dict[str, Callable[[Creation, Row, Body], None]] = {
    "unifiedRoleAssignment": Creation._connect_assignment,
    "appRoleAssignment": Creation._connect_app_role,
    "oAuth2PermissionGrant": Creation._connect_grant,
}


def principal_exists(app_id: str) -> Failure:
    """The refusal of a second service principal for an application."""
    return same_key(
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app_id} is already in use."
    )
