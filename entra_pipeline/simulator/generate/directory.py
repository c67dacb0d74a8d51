"""A tenant made up from a seed: the same seed gives the same tenant, name by name and id by id.

What belongs here: the directory (users, groups, applications, roles, devices) and conditional access. What does not:
everything else, which modules of their own write (`policies`, `tenant`, `identity`, `governance`, `details`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.details import details
from entra_pipeline.simulator.generate.governance import governance
from entra_pipeline.simulator.generate.identity import identities
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import DOMAIN, EPOCH, Plan, stamp
from entra_pipeline.simulator.generate.policies import policies
from entra_pipeline.simulator.generate.tenant import tenant
from entra_pipeline.simulator.schema import Link
from entra_pipeline.simulator.storage.directory import Directory

_EVERYONE = "00000000-0000-0000-0000-000000000000"
_GIVEN = [
    "Adele",
    "Alex",
    "Åsa",
    "Björn",
    "Çağla",
    "Chloé",
    "Diego",
    "Élodie",
    "Emma",
    "Fatima",
    "Grady",
    "Hanna",
    "Henrietta",
    "Isaiah",
    "Jón",
    "Johanna",
    "Joni",
    "Lee",
    "Lidia",
    "Lynne",
    "Łukasz",
    "Megan",
    "Miriam",
    "Nestor",
    "Núria",
    "Patti",
    "Pradeep",
    "Søren",
    "Sanjay",
    "美咲",
    "伟",
    "Zoë",
    "Ólafur",
    "Σοφία",
    "Иван",
    "מרים",
]
_FAMILY = [
    "Andersson",
    "Bowen",
    "Cloud",
    "Cramer",
    "Dvořák",
    "Fernández",
    "Gruber",
    "Håkansson",
    "Ivanov",
    "Johansson",
    "Kowalski",
    "Langer",
    "Müller",
    "Nguyễn",
    "O'Neil",
    "Öberg",
    "Patel",
    "Quinn",
    "Robbins",
    "Siciliani",
    "Şahin",
    "Tanaka",
    "Uddin",
    "Vance",
    "Wilke",
    "Xu",
    "Young",
    "Zimmermann",
    "佐藤",
    "王",
    "Æbelø",
    "Ward",
]
_DEPARTMENTS = ("Engineering", "Försäljning", "Finance", "HR", "Legal", "Support", "R&D 🚀", "Operations")
_TITLES = ("Engineer", "Manager", "Analyst", "Assistant", "Director", "Consultant", "Säljare")
_CITIES = (("Stockholm", "SE"), ("Köln", "DE"), ("Paris", "FR"), ("Oslo", "NO"), ("Seattle", "US"), ("東京", "JP"))
_BATCH = 10_000
_CLEARED = {
    "customSecurityAttributes": {
        "Engineering": {"@odata.type": "#microsoft.graph.customSecurityAttributeValue", "Clearance": "Secret"}
    }
}


def fill(directory: Directory, plan: Plan) -> None:
    """Writes the whole tenant."""
    with directory.writing():
        _Maker(directory, plan).everything()
    directory.finish_loading()


class _Maker(Loader):
    """Writes the directory; what else a tenant has is written by modules of its own."""

    def __init__(self, directory: Directory, plan: Plan) -> None:
        super().__init__(directory, plan)
        extension_app = self.ids("appId", 0).replace("-", "")
        self.cost_center = f"extension_{extension_app}_costCenter"
        self.level = f"extension_{extension_app}_securityLevel"

    def everything(self) -> None:
        """Every type, then the links between them."""
        self._tenant()
        self._roles()
        self.write("authenticationStrengthPolicy", self._strengths())
        self.write("application", map(self._application, range(self.applications)), key="appId")
        self.write("servicePrincipal", self._service_principals(), key="appId")
        self.write("user", map(self._user, range(self.users)), key="userPrincipalName")
        self.write("group", map(self._group, range(self.groups)))
        if not self.plan.empty:
            self._directory()
        policies(self)
        tenant(self)
        identities(self)
        governance(self)
        details(self)

    def _directory(self) -> None:
        """What only a tenant with people has of the directory, and all links."""
        self.write("administrativeUnit", map(self._unit, range(self.units)))
        self.write("device", map(self._device, range(self.devices)))
        self._user_links()
        self._group_links()
        self._unit_links()
        self._device_links()
        self._application_parts()
        self._assignments()
        self._grants()
        self._role_assignments()
        self._conditional_access()

    # --- what every tenant has ---------------------------------------------------------------------------------------

    def _tenant(self) -> None:
        domains = [(self.who.initial_domain, True)]
        if not self.plan.empty:
            domains += [(self.who.domain, False), (f"corp.{self.who.domain}", False), ("fabrikam.com", False)]
        elif self.plan.domain != DOMAIN:
            domains.append((self.who.domain, False))
        self.write("domain", iter([_domain(name, initial, name == domains[-1][0]) for name, initial in domains]))
        self.write(
            "organization",
            iter(
                [
                    {
                        "id": self.who.tenant_id,
                        "displayName": "Contoso",
                        "businessPhones": ["+46 8 555 010 00"],
                        "city": "Stockholm",
                        "country": None,
                        "countryLetterCode": "SE",
                        "createdDateTime": stamp(EPOCH),
                        "preferredLanguage": "en",
                        "technicalNotificationMails": [f"admin@{self.who.initial_domain}"],
                        "tenantType": "AAD",
                        "verifiedDomains": [
                            {
                                "capabilities": "Email, OfficeCommunicationsOnline",
                                "isDefault": name == domains[-1][0],
                                "isInitial": initial,
                                "name": name,
                                "type": "Federated" if name.startswith("corp.") else "Managed",
                            }
                            for name, initial in domains
                        ],
                        "assignedPlans": [
                            {
                                "assignedDateTime": stamp(EPOCH),
                                "capabilityStatus": "Enabled",
                                "service": "exchange",
                                "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
                            }
                        ],
                        "privacyProfile": {"contactEmail": "privacy@contoso.com", "statementUrl": None},
                        "directorySizeQuota": {"used": 698, "total": 300000},
                    }
                ]
            ),
        )
        self.write("subscribedSku", iter([self._sku(number) for number in range(len(builtin.SKUS))]))

    def _sku(self, number: int) -> dict[str, Any]:
        sku_id, part, plans = builtin.SKUS[number]
        return {
            "id": f"{self.who.tenant_id}_{sku_id}",
            "accountName": "contoso",
            "accountId": self.who.tenant_id,
            "appliesTo": "User",
            "capabilityStatus": "Enabled",
            "consumedUnits": 0 if self.plan.empty else self.users // (2 + number),
            "prepaidUnits": {"enabled": self.users + 25, "suspended": 0, "warning": 0, "lockedOut": 0},
            "servicePlans": [
                {"servicePlanId": i, "servicePlanName": name, "provisioningStatus": "Success", "appliesTo": "User"}
                for i, name in plans
            ],
            "skuId": sku_id,
            "skuPartNumber": part,
            "subscriptionIds": [self.ids("subscription", number)],
        }

    def _roles(self) -> None:
        definitions = [_role(*role, built_in=True) for role in builtin.ROLES]
        if not self.plan.empty:
            for number, name in enumerate(("Group reader (custom)", "Åtkomstgranskare")):
                actions = ("microsoft.directory/groups/standard/read",)
                definitions.append(_role(self.ids("role", number), name, "A custom role.", actions, built_in=False))
        self.write("unifiedRoleDefinition", iter(definitions))
        activated = [
            {
                "id": self.ids("directoryRole", number),
                "description": description,
                "displayName": name,
                "roleTemplateId": template,
            }
            for number, (template, name, description, _) in enumerate(builtin.ROLES[: builtin.ACTIVATED])
        ]
        self.write("directoryRole", iter(activated), key="roleTemplateId")

    def _strengths(self) -> Iterator[dict[str, Any]]:
        for identifier, name, description, combinations in builtin.STRENGTHS:
            yield _strength(identifier, name, description, combinations, "builtIn", EPOCH)
        if not self.plan.empty:
            moment = EPOCH + timedelta(days=400)
            yield {
                **_strength(self.ids("strength", 0), "FIDO2 only 🔑", "", ("fido2",), "custom", moment),
                "combinationConfigurations": [
                    {
                        "@odata.type": "#microsoft.graph.fido2CombinationConfiguration",
                        "id": self.ids("combination", 0),
                        "appliesToCombinations": ["fido2"],
                        "allowedAAGUIDs": ["486be684-bc8c-4b0e-ab89-9e1b1dfb3b50"],
                    }
                ],
            }

    # --- applications ------------------------------------------------------------------------------------------------

    def _roles_of(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "allowedMemberTypes": ["User", "Application"] if role else ["User"],
                "description": f"{name} of application {number}",
                "displayName": name,
                "id": self.ids(f"appRole{role}", number),
                "isEnabled": True,
                "origin": "Application",
                "value": name.lower(),
            }
            for role, name in enumerate(("Reader", "Writer")[: 1 + number % 2])
        ]

    def _scopes_of(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "adminConsentDescription": "Reads as the signed-in user",
                "adminConsentDisplayName": "Read",
                "id": self.ids("scope", number),
                "isEnabled": True,
                "type": "User",
                "userConsentDescription": None,
                "userConsentDisplayName": None,
                "value": "user_impersonation",
            }
        ]

    def _application(self, number: int) -> dict[str, Any]:
        app_id = self.ids("appId", number)
        moment = EPOCH + timedelta(hours=number, seconds=number % 3600)
        body: dict[str, Any] = {
            "id": self.ids("application", number),
            "appId": app_id,
            "createdDateTime": stamp(moment, f"{number * 7919 % 10**7:07}"),
            "displayName": f"Application {number:04}" + (" – Lönesystem 💶" if number % 7 == 1 else ""),
            "description": None,
            "identifierUris": [f"api://{app_id}"] if number % 2 == 0 else [],
            "publisherDomain": self.who.domain,
            "signInAudience": "AzureADMyOrg" if number % 5 else "AzureADMultipleOrgs",
            "tags": ["internal", "HR"] if number % 3 == 0 else [],
            "api": {
                "acceptMappedClaims": None,
                "knownClientApplications": [],
                "requestedAccessTokenVersion": 2,
                "oauth2PermissionScopes": self._scopes_of(number),
                "preAuthorizedApplications": [],
            },
            "appRoles": self._roles_of(number),
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
            "keyCredentials": self._certificates(number) if number % 4 == 0 else [],
            "passwordCredentials": [
                {
                    "customKeyIdentifier": None,
                    "displayName": "deploy",
                    "endDateTime": stamp(moment + timedelta(days=730)),
                    "hint": "Qr8",
                    "keyId": self.ids("password", number),
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

    def _certificates(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "customKeyIdentifier": "F5B0C6D9A1E2",
                "displayName": f"CN=app{number}",
                "endDateTime": "2027-01-01T00:00:00Z",
                "key": "MIIC8jCCAdqgAwIBAgIQ" + self.ids("certificate", number).replace("-", ""),
                "keyId": self.ids("certificate", number),
                "startDateTime": "2025-01-01T00:00:00Z",
                "type": "AsymmetricX509Cert",
                "usage": "Verify",
            }
        ]

    def _service_principals(self) -> Iterator[dict[str, Any]]:
        yield {
            **_principal(self.ids("graphSp", 0), builtin.GRAPH_APP_ID, "Microsoft Graph", builtin.MICROSOFT_TENANT),
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
        for number in range(self.applications):
            app_id = self.ids("appId", number)
            yield {
                **_principal(self.ids("sp", number), app_id, f"Application {number:04}", self.who.tenant_id),
                "servicePrincipalNames": [app_id],
                "appRoleAssignmentRequired": number % 3 == 0,
                "appRoles": self._roles_of(number),
                "oauth2PermissionScopes": self._scopes_of(number),
                "homepage": f"https://app{number}.contoso.com/",
                "replyUrls": [f"https://app{number}.contoso.com/auth"],
                "tags": ["WindowsAzureActiveDirectoryIntegratedApp", "HideApp"][: 1 + number % 2],
                "keyCredentials": self._certificates(number) if number % 4 == 1 else [],
                "notes": "Ägs av IT" if number % 4 == 0 else None,
                **(_CLEARED if number % 4 == 0 else {}),
            }

        if not self.plan.empty:
            yield _principal(
                self.ids("cloudLoginSp", 0), builtin.CLOUD_LOGIN_APP_ID, "Windows Cloud Login", builtin.MICROSOFT_TENANT
            )

    def _application_parts(self) -> None:
        links: dict[Link, list[tuple[int, int]]] = {Link.CREDENTIALS: [], Link.EXTENSIONS: []}
        first = self.first["application"]
        credentials: list[tuple[int, dict[str, Any]]] = []
        extensions: list[tuple[int, dict[str, Any]]] = []
        for number in range(0, self.applications, 3):
            credentials.append(
                (
                    number,
                    {
                        "id": self.ids("fic", number),
                        "name": f"github-{number}",
                        "issuer": "https://token.actions.githubusercontent.com",
                        "subject": f"repo:contoso/app{number}:ref:refs/heads/main",
                        "description": None,
                        "audiences": ["api://AzureADTokenExchange"],
                    },
                )
            )
        for number, (name, kind, targets) in enumerate(
            ((self.cost_center, "String", ["User", "Group"]), (self.level, "Integer", ["User"]))
        ):
            extensions.append(
                (
                    0,
                    {
                        "id": self.ids("extension", number),
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
            ("federatedIdentityCredential", Link.CREDENTIALS, credentials),
            ("extensionProperty", Link.EXTENSIONS, extensions),
        ):
            base = self.write(type_name, iter([body for _, body in parts]))
            links[code] = [(first + owner, base + index) for index, (owner, _) in enumerate(parts)]
            self.directory.load_links(code, links[code])
        if self.users:
            owners = self._owner_pairs(first, self.applications, "applicationOwner")
            self.directory.load_links(Link.APPLICATION_OWNERS, owners)
            principals = self._owner_pairs(self.first["servicePrincipal"] + 1, self.applications, "spOwner")
            self.directory.load_links(Link.PRINCIPAL_OWNERS, principals)

    def _assignments(self) -> None:
        """3 to 40 assignments per application, to users and groups; every third application may use Graph."""
        bodies: list[dict[str, Any]] = []
        links: dict[Link, list[tuple[int, int]]] = {Link.ASSIGNED_TO: [], Link.ASSIGNMENTS: []}
        base = self.next

        def assign(
            resource: int, resource_id: str, resource_name: str, principal: tuple[int, str, str, str], role: str
        ) -> None:
            seq = base + len(bodies)
            number = len(bodies)
            links[Link.ASSIGNED_TO].append((resource, seq))
            links[Link.ASSIGNMENTS].append((principal[0], seq))
            bodies.append(
                {
                    "id": self.ids("assignment", number).replace("-", "")[:27] + "AQ",
                    "appRoleId": role,
                    "createdDateTime": stamp(EPOCH + timedelta(minutes=number), f"{number * 104729 % 10**7:07}"),
                    "principalDisplayName": principal[2],
                    "principalId": principal[1],
                    "principalType": principal[3],
                    "resourceDisplayName": resource_name,
                    "resourceId": resource_id,
                }
            )

        first = self.first["servicePrincipal"]
        for number in range(self.applications):
            chance = self.random("assignments", number)
            name = f"Application {number:04}"
            role = self.ids("appRole0", number) if number % 4 else _EVERYONE
            wanted = min(chance.randint(3, 40), self.users)
            for user in chance.sample(range(self.users), wanted):
                assign(first + 1 + number, self.ids("sp", number), name, self._as_principal("user", user), role)
            if self.groups:
                group = self._as_principal("group", chance.randrange(self.groups))
                assign(first + 1 + number, self.ids("sp", number), name, group, role)
            if number % 3 == 0:
                me = (first + 1 + number, self.ids("sp", number), name, "ServicePrincipal")
                assign(first, self.ids("graphSp", 0), "Microsoft Graph", me, builtin.GRAPH_APP_ROLES[0][0])
        self.write("appRoleAssignment", iter(bodies))
        for code, pairs in links.items():
            self.directory.load_links(code, sorted(pairs))

    def _as_principal(self, kind: str, number: int) -> tuple[int, str, str, str]:
        names: dict[str, Callable[[int], str]] = {"user": self._user_name, "group": self._group_name}
        return self.first[kind] + number, self.ids(kind, number), names[kind](number), kind.capitalize()

    def _grants(self) -> None:
        bodies: list[dict[str, Any]] = []
        links: dict[Link, list[tuple[int, int]]] = {
            Link.GRANT_CLIENT: [],
            Link.GRANT_RESOURCE: [],
            Link.GRANT_PRINCIPAL: [],
        }
        first = self.first["servicePrincipal"]
        base = self.next
        for number in range(self.applications):
            users = [None, *([number * 13 % self.users] if self.users and number % 2 else [])]
            for user in users:
                seq = base + len(bodies)
                links[Link.GRANT_CLIENT].append((first + 1 + number, seq))
                links[Link.GRANT_RESOURCE].append((first, seq))
                if user is not None:
                    links[Link.GRANT_PRINCIPAL].append((self.first["user"] + user, seq))
                bodies.append(
                    {
                        "id": self.ids("grant", len(bodies)).replace("-", "") + "_Xk",
                        "clientId": self.ids("sp", number),
                        "consentType": "AllPrincipals" if user is None else "Principal",
                        "principalId": None if user is None else self.ids("user", user),
                        "resourceId": self.ids("graphSp", 0),
                        "scope": " openid profile User.Read" if user is None else "User.ReadBasic.All",
                    }
                )
        self.write("oAuth2PermissionGrant", iter(bodies))
        for code, pairs in links.items():
            self.directory.load_links(code, sorted(pairs))

    # --- users, groups, units, devices -------------------------------------------------------------------------------

    def _user_name(self, number: int) -> str:
        return f"{_GIVEN[number * 7 % len(_GIVEN)]} {_FAMILY[number * 11 % len(_FAMILY)]}"

    def _user(self, number: int) -> dict[str, Any]:
        identifier = self.ids("user", number)
        given, family = _GIVEN[number * 7 % len(_GIVEN)], _FAMILY[number * 11 % len(_FAMILY)]
        guest, synced = number % 17 == 5, number % 4 == 1
        alias = f"user{number:06}"
        principal = f"{alias}_fabrikam.com#EXT#@{self.who.initial_domain}" if guest else f"{alias}@{self.who.domain}"
        mail = f"{alias}@fabrikam.com" if guest else principal
        city, country = _CITIES[number % len(_CITIES)]
        created = f"{2021 + number % 4}-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:07Z"
        body: dict[str, Any] = {
            "id": identifier,
            "accountEnabled": number % 23 != 7,
            "assignedLicenses": [],
            "assignedPlans": [],
            "businessPhones": [f"+46 8 555 {number % 1000:03} {number % 97:02}"] if number % 3 else [],
            "city": city,
            "companyName": "Fabrikam" if guest else "Contoso",
            "country": country,
            "createdDateTime": created,
            "department": _DEPARTMENTS[number % len(_DEPARTMENTS)],
            "displayName": f"{given} {family}",
            "givenName": given,
            "identities": [
                {"signInType": "federated", "issuer": "ExternalAzureAD", "issuerAssignedId": None}
                if guest
                else {
                    "signInType": "userPrincipalName",
                    "issuer": self.who.initial_domain,
                    "issuerAssignedId": principal,
                }
            ],
            "imAddresses": [] if guest else [mail],
            "jobTitle": _TITLES[number % len(_TITLES)] if number % 9 else None,
            "mail": mail,
            "mailNickname": alias,
            "officeLocation": f"{number % 40}/{number % 900 + 100}" if number % 4 else None,
            "otherMails": [mail] if guest else [],
            "preferredLanguage": "sv-SE" if country == "SE" else None,
            "proxyAddresses": [f"SMTP:{mail}", f"smtp:{alias}@{self.who.initial_domain}"],
            "surname": family,
            "userPrincipalName": principal,
            "userType": "Guest" if guest else "Member",
            "usageLocation": country,
            "securityIdentifier": f"S-1-12-1-{number}-1085393102-{self.plan.seed}-77",
        }
        if guest:
            body["externalUserState"] = "Accepted" if number % 2 else "PendingAcceptance"
            body["externalUserStateChangeDateTime"] = created
            body["creationType"] = "Invitation"
            return body
        if number % 3 == 0:
            body["assignedLicenses"] = [{"disabledPlans": [], "skuId": builtin.SKUS[number % 2][0]}]
            body["licenseAssignmentStates"] = [
                {
                    "skuId": builtin.SKUS[number % 2][0],
                    "disabledPlans": [],
                    "assignedByGroup": None,
                    "state": "Active",
                    "error": "None",
                    "lastUpdatedDateTime": created,
                }
            ]
        if number % 5 == 0:
            body["onPremisesExtensionAttributes"] = {
                f"extensionAttribute{i}": f"värde {number % 50}" if i in {1, 7} else None for i in range(1, 16)
            }
        if number % 6 == 0:
            body[self.cost_center] = f"CC-{number % 90:04}"
            body[self.level] = number % 5
        if synced:
            body["onPremisesSyncEnabled"] = True
            body["onPremisesImmutableId"] = identifier[:22] + "=="
            body["onPremisesSamAccountName"] = alias
            body["onPremisesDomainName"] = "corp.contoso.com"
            body["onPremisesLastSyncDateTime"] = created
            body["onPremisesDistinguishedName"] = f"CN={given} {family},OU=People,DC=corp,DC=contoso,DC=com"
            body["onPremisesUserPrincipalName"] = principal
            body["onPremisesSecurityIdentifier"] = f"S-1-5-21-1004336348-{number}-{self.plan.seed}"
        if number % 10 == 0:
            body["employeeId"] = f"E{number:07}"
            body["employeeType"] = "Employee"
            body["employeeHireDate"] = created
            body["employeeOrgData"] = {"division": "Nord", "costCenter": str(number % 90)}
            body["mobilePhone"] = f"+46 70 555 {number % 1000:03}"
            body["passwordPolicies"] = "DisablePasswordExpiration"
        if number % 50 == 0:
            body |= _CLEARED
        return body

    def _group_name(self, number: int) -> str:
        return f"{_DEPARTMENTS[number % len(_DEPARTMENTS)]} {number:05}"

    def _dynamic(self, number: int) -> bool:
        return number % 10 in {2, 3}

    def _group(self, number: int) -> dict[str, Any]:
        unified = number % 10 in {0, 1, 2}
        dynamic, role, synced = self._dynamic(number), number % 10 == 4, number % 10 == 5
        created = stamp(EPOCH + timedelta(minutes=number))
        alias = f"group{number:05}"
        body: dict[str, Any] = {
            "id": self.ids("group", number),
            "createdDateTime": created,
            "description": f"Grupp {number} 👥" if number % 3 else None,
            "displayName": self._group_name(number),
            "groupTypes": (["Unified"] if unified else []) + (["DynamicMembership"] if dynamic else []),
            "mail": f"{alias}@{self.who.domain}" if unified else None,
            "mailEnabled": unified,
            "mailNickname": alias,
            "proxyAddresses": [f"SMTP:{alias}@{self.who.domain}"] if unified else [],
            "renewedDateTime": created,
            "resourceBehaviorOptions": ["WelcomeEmailDisabled"] if number % 20 == 0 else [],
            "resourceProvisioningOptions": ["Team"] if number % 20 == 1 else [],
            "securityEnabled": not unified,
            "securityIdentifier": f"S-1-12-1-{number}-2085393102-{self.plan.seed}-11",
            "visibility": ("Public" if number % 2 else "Private") if unified else None,
        }
        if dynamic:
            body["membershipRule"] = f'(user.department -eq "{_DEPARTMENTS[number % len(_DEPARTMENTS)]}")'
            body["membershipRuleProcessingState"] = "On"
        if role:
            body["isAssignableToRole"] = True
        if synced:
            body["onPremisesSyncEnabled"] = True
            body["onPremisesLastSyncDateTime"] = created
            body["onPremisesSamAccountName"] = alias
            body["onPremisesDomainName"] = "corp.contoso.com"
            body["onPremisesSecurityIdentifier"] = f"S-1-5-21-1004336348-{number}-512"
        if number % 8 == 6:
            body["assignedLicenses"] = [{"disabledPlans": [], "skuId": builtin.SKUS[0][0]}]
        if number % 6 == 0:
            body[self.cost_center] = f"GC-{number % 90:04}"
        return body

    def _unit(self, number: int) -> dict[str, Any]:
        return {
            "id": self.ids("administrativeUnit", number),
            "displayName": f"Enhet {_CITIES[number % len(_CITIES)][0]} {number}",
            "description": f"Everything in {_CITIES[number % len(_CITIES)][0]}",
            "visibility": "HiddenMembership" if number % 4 == 3 else None,
            "isMemberManagementRestricted": False,
        }

    def _device(self, number: int) -> dict[str, Any]:
        windows = number % 3 != 0
        return {
            "id": self.ids("device", number),
            "accountEnabled": True,
            "alternativeSecurityIds": [{"type": 2, "identityProvider": None, "key": "WAA1ADAAOQA6" + f"{number:08}"}],
            "approximateLastSignInDateTime": stamp(EPOCH + timedelta(minutes=number)),
            "deviceId": self.ids("deviceId", number),
            "displayName": f"{'DESKTOP' if windows else 'iPhone'}-{number:06}",
            "extensionAttributes": {
                f"extensionAttribute{i}": "BYOD" if i == 1 and not windows else None for i in range(1, 16)
            },
            "isCompliant": number % 5 != 0,
            "isManaged": True,
            "operatingSystem": "Windows" if windows else "IPhone",
            "operatingSystemVersion": "10.0.26100.1" if windows else "18.1",
            "physicalIds": [f"[GID]:g:{number}"],
            "profileType": "RegisteredDevice",
            "registrationDateTime": stamp(EPOCH + timedelta(minutes=number)),
            "systemLabels": [],
            "trustType": "AzureAd" if windows else "Workplace",
        }

    # --- links -------------------------------------------------------------------------------------------------------

    def _owner_pairs(self, first: int, count: int, kind: str) -> list[tuple[int, int]]:
        """One to three users own each of the objects."""
        users = self.first["user"]
        pairs = []
        for number in range(count):
            chance = self.random(kind, number)
            owners = chance.sample(range(self.users), min(self.users, 1 + number % 3))
            pairs += [(first + number, users + owner) for owner in sorted(owners)]
        return pairs

    def _user_links(self) -> None:
        first = self.first["user"]
        # A tree: everyone but the first reports to somebody with a lower number.
        managers = ((first + n, first + (n - 1) // 8) for n in range(1, self.users) if n % 11)
        self.directory.load_links(Link.USER_MANAGER, managers)
        sponsors = ((first + n, first + n * 7 % self.users) for n in range(5, self.users, 17))
        self.directory.load_links(Link.USER_SPONSORS, sponsors)

    def _group_links(self) -> None:
        if not self.groups or not self.users:
            return
        total = 5 * self.users if self.plan.memberships is None else self.plan.memberships
        weights = [(number + 1) ** -0.6 for number in range(self.groups)]
        # Which group is large is a matter of chance, not of its number, so that every kind of group has large ones.
        self.random("sizes").shuffle(weights)
        scale = total / sum(weights)
        users, groups = self.first["user"], self.first["group"]
        pending: list[tuple[int, int]] = []
        for number, weight in enumerate(weights):
            size = min(self.users, max(1, round(weight * scale)))
            chance = self.random("members", number)
            pending += [(groups + number, users + user) for user in sorted(chance.sample(range(self.users), size))]
            nested = number + 1 + number % 7
            # Groups that are assignable to roles (every tenth, from the fifth) have no groups as members.
            if number % 9 == 8 and nested < self.groups and not self._dynamic(number) and number % 10 != 4:
                pending.append((groups + number, groups + nested))
            if len(pending) > _BATCH * 10:
                self.directory.load_links(Link.GROUP_MEMBERS, pending)
                pending = []
        self.directory.load_links(Link.GROUP_MEMBERS, pending)
        self.directory.load_links(Link.GROUP_OWNERS, self._owner_pairs(groups, self.groups, "groupOwner"))

    def _unit_links(self) -> None:
        users, units = self.first["user"], self.first["administrativeUnit"]
        members = sorted((units + n % self.units, users + n) for n in range(0, self.users, 5))
        self.directory.load_links(Link.UNIT_MEMBERS, members)
        if self.groups:
            groups = [(units + n, self.first["group"] + n % self.groups) for n in range(self.units)]
            self.directory.load_links(Link.UNIT_MEMBERS, groups)
        if not self.users:
            return
        bodies: list[dict[str, Any]] = []
        owner_links, user_links = [], []
        base = self.next
        for number in range(0, self.units, 2):
            user = number * 3 % self.users
            owner_links.append((units + number, base + len(bodies)))
            user_links.append((users + user, base + len(bodies)))
            bodies.append(
                {
                    "id": self.ids("scopedRole", number).replace("-", "") + "-U",
                    "roleId": self.ids("directoryRole", 3),
                    "administrativeUnitId": self.ids("administrativeUnit", number),
                    "roleMemberInfo": {"id": self.ids("user", user), "displayName": self._user_name(user)},
                }
            )
        self.write("scopedRoleMembership", iter(bodies))
        self.directory.load_links(Link.SCOPED_MEMBERS, owner_links)
        self.directory.load_links(Link.SCOPED_MEMBER_USER, user_links)

    def _device_links(self) -> None:
        if not self.users:
            return
        users, devices = self.first["user"], self.first["device"]
        owners = [(devices + n, users + n * 2 % self.users) for n in range(self.devices)]
        self.directory.load_links(Link.DEVICE_OWNERS, owners)
        self.directory.load_links(Link.DEVICE_USERS, owners)
        second = [(devices + n, users + (n * 2 + 1) % self.users) for n in range(0, self.devices, 10)]
        self.directory.load_links(Link.DEVICE_USERS, second)

    def _role_assignments(self) -> None:
        """Role assignments over the whole directory, and the same as members of the activated roles."""
        if not self.users:
            return
        users, roles = self.first["user"], self.first["directoryRole"]
        bodies: list[dict[str, Any]] = []
        pairs: list[tuple[int, int]] = []
        members: list[tuple[int, int]] = []
        base = self.next

        def assign(seq: int, principal: str, definition: str, scope: str) -> None:
            pairs.append((seq, base + len(bodies)))
            bodies.append(
                {
                    "id": self.ids("roleAssignment", len(bodies)).replace("-", "")[:29] + "-1",
                    "principalId": principal,
                    "directoryScopeId": scope,
                    "roleDefinitionId": definition,
                }
            )

        for role in range(builtin.ACTIVATED):
            for number in sorted({(role * 5 + i * 3) % self.users for i in range(1 + role % 3)}):
                assign(users + number, self.ids("user", number), builtin.ROLES[role][0], "/")
                self.role_holders.append((number, builtin.ROLES[role][0]))
                members.append((roles + role, users + number))
        for number in range(4, self.groups, 10):
            if number > 40:
                break
            assign(self.first["group"] + number, self.ids("group", number), builtin.ROLES[1][0], "/")
            members.append((roles + 1, self.first["group"] + number))
        unit = f"/administrativeUnits/{self.ids('administrativeUnit', 0)}"
        assign(users, self.ids("user", 0), self.ids("role", 0), unit)
        self.write("unifiedRoleAssignment", iter(bodies))
        self.directory.load_links(Link.ROLE_ASSIGNED, sorted(pairs))
        self.directory.load_links(Link.ROLE_MEMBERS, sorted(members))

    # --- conditional access ------------------------------------------------------------------------------------------

    def _conditional_access(self) -> None:
        moment = EPOCH + timedelta(days=90)
        locations: list[dict[str, Any]] = [
            {
                "@odata.type": "#microsoft.graph.ipNamedLocation",
                "id": self.ids("location", 0),
                "displayName": "Huvudkontoret",
                "createdDateTime": stamp(moment, "5796446"),
                "modifiedDateTime": stamp(moment, "5796446"),
                "isTrusted": True,
                "ipRanges": [
                    {"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "203.0.113.0/24"},
                    {"@odata.type": "#microsoft.graph.iPv6CidrRange", "cidrAddress": "2001:db8::/48"},
                ],
            },
            {
                "@odata.type": "#microsoft.graph.countryNamedLocation",
                "id": self.ids("location", 1),
                "displayName": "Nordics ❄️",
                "createdDateTime": stamp(moment, "7238848"),
                "modifiedDateTime": None,
                "countriesAndRegions": ["SE", "NO", "DK", "FI", "IS"],
                "includeUnknownCountriesAndRegions": False,
                "countryLookupMethod": "clientIpAddress",
            },
            {
                "@odata.type": "#microsoft.graph.ipNamedLocation",
                "id": self.ids("location", 2),
                "displayName": "Partner office",
                "createdDateTime": stamp(moment),
                "modifiedDateTime": None,
                "isTrusted": False,
                "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "198.51.100.7/32"}],
            },
        ]
        self.write("namedLocation", iter(locations))
        self.write("conditionalAccessPolicy", map(self._policy, range(6)))

    def _policy(self, number: int) -> dict[str, Any]:
        moment = EPOCH + timedelta(days=100 + number)
        strong = number % 3 == 1
        contexts = ["c1"] if number == 2 else []
        applications = [] if contexts else ["All"]
        if number % 2:
            applications = [self.ids("appId", number % self.applications)]
        body: dict[str, Any] = {
            "id": self.ids("policy", number),
            "templateId": None,
            "displayName": f"CA{number:03} – " + ("Kräv stark inloggning" if strong else "Require MFA"),
            "createdDateTime": stamp(moment, "2742618"),
            "modifiedDateTime": stamp(moment + timedelta(days=3)) if number % 2 else None,
            "state": ("enabled", "enabledForReportingButNotEnforced", "disabled")[number % 3],
            "conditions": {
                "clientAppTypes": ["all"],
                "signInRiskLevels": [],
                "userRiskLevels": [],
                "servicePrincipalRiskLevels": [],
                "insiderRiskLevels": None,
                "platforms": None,
                "devices": None,
                "clientApplications": None,
                "authenticationFlows": None,
                "applications": {
                    "includeApplications": applications,
                    "excludeApplications": [],
                    "includeUserActions": [],
                    "includeAuthenticationContextClassReferences": contexts,
                    "applicationFilter": None,
                },
                "locations": {
                    "includeLocations": ["All"],
                    "excludeLocations": [self.ids("location", number % 3)],
                },
                "users": {
                    "includeUsers": ["All"] if number % 2 else [],
                    "excludeUsers": [self.ids("user", number)] if self.users > number else [],
                    "includeGroups": [self.ids("group", number)] if not number % 2 and self.groups > number else [],
                    "excludeGroups": [],
                    "includeRoles": [builtin.ROLES[0][0]],
                    "excludeRoles": [],
                    "includeGuestsOrExternalUsers": None,
                    "excludeGuestsOrExternalUsers": None,
                },
            },
            "grantControls": {
                "operator": "OR",
                "builtInControls": [] if strong else ["mfa"],
                "customAuthenticationFactors": [],
                "termsOfUse": [self.ids("agreement", 0)] if number == 3 else [],
                "authenticationStrength": None,
            },
            "sessionControls": None,
        }
        if strong:
            body["grantControls"]["authenticationStrength"] = _strength(
                *builtin.STRENGTHS[2][:4], policy_type="builtIn", moment=EPOCH
            )
        if number == 0:
            body["futureControls"] = {"tokenProtection": {"enabled": True}, "labels": ["α", "β"]}
        return body


def _domain(name: str, initial: bool, default: bool) -> dict[str, Any]:
    return {
        "id": name,
        "authenticationType": "Federated" if name.startswith("corp.") else "Managed",
        "availabilityStatus": None,
        "isAdminManaged": True,
        "isDefault": default,
        "isInitial": initial,
        "isRoot": not name.startswith("corp."),
        "isVerified": True,
        "manufacturer": None,
        "model": None,
        "passwordNotificationWindowInDays": 14,
        "passwordValidityPeriodInDays": 90,
        "state": None,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
    }


def _role(template: str, name: str, description: str, actions: tuple[str, ...], *, built_in: bool) -> dict[str, Any]:
    return {
        "id": template,
        "description": description,
        "displayName": name,
        "isBuiltIn": built_in,
        "isEnabled": True,
        "resourceScopes": ["/"],
        "templateId": template,
        "version": "1" if built_in else None,
        "rolePermissions": [{"allowedResourceActions": list(actions), "condition": None}],
    }


def _strength(
    identifier: str, name: str, description: str, combinations: tuple[str, ...], policy_type: str, moment: datetime
) -> dict[str, Any]:
    return {
        "id": identifier,
        "createdDateTime": stamp(moment),
        "modifiedDateTime": stamp(moment),
        "displayName": name,
        "description": description,
        "policyType": policy_type,
        "requirementsSatisfied": "mfa",
        "allowedCombinations": list(combinations),
        "combinationConfigurations": [],
    }


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
