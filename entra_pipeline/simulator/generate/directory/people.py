"""Makes users, groups, administrative units and devices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp

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
CLEARED = {
    "customSecurityAttributes": {
        "Engineering": {"@odata.type": "#microsoft.graph.customSecurityAttributeValue", "Clearance": "Secret"}
    }
}
"""Custom security attributes of what is cleared for secrets."""


def user(loader: Loader, number: int) -> dict[str, Any]:
    """Returns the number-th user; every seventeenth is a guest, every fourth is synchronised."""
    identifier = loader.ids("user", number)
    given, family = _GIVEN[number * 7 % len(_GIVEN)], _FAMILY[number * 11 % len(_FAMILY)]
    guest, synced = number % 17 == 5, number % 4 == 1
    alias = f"user{number:06}"
    principal = f"{alias}_fabrikam.com#EXT#@{loader.who.initial_domain}" if guest else f"{alias}@{loader.who.domain}"
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
                "issuer": loader.who.initial_domain,
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
        "proxyAddresses": [f"SMTP:{mail}", f"smtp:{alias}@{loader.who.initial_domain}"],
        "surname": family,
        "userPrincipalName": principal,
        "userType": "Guest" if guest else "Member",
        "usageLocation": country,
        "securityIdentifier": f"S-1-12-1-{number}-1085393102-{loader.plan.seed}-77",
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
        body[loader.cost_center] = f"CC-{number % 90:04}"
        body[loader.level] = number % 5
    if synced:
        body["onPremisesSyncEnabled"] = True
        body["onPremisesImmutableId"] = identifier[:22] + "=="
        body["onPremisesSamAccountName"] = alias
        body["onPremisesDomainName"] = "corp.contoso.com"
        body["onPremisesLastSyncDateTime"] = created
        body["onPremisesDistinguishedName"] = f"CN={given} {family},OU=People,DC=corp,DC=contoso,DC=com"
        body["onPremisesUserPrincipalName"] = principal
        body["onPremisesSecurityIdentifier"] = f"S-1-5-21-1004336348-{number}-{loader.plan.seed}"
    if number % 10 == 0:
        body["employeeId"] = f"E{number:07}"
        body["employeeType"] = "Employee"
        body["employeeHireDate"] = created
        body["employeeOrgData"] = {"division": "Nord", "costCenter": str(number % 90)}
        body["mobilePhone"] = f"+46 70 555 {number % 1000:03}"
        body["passwordPolicies"] = "DisablePasswordExpiration"
    if number % 50 == 0:
        body |= CLEARED
    return body


def group(loader: Loader, number: int) -> dict[str, Any]:
    """Returns the number-th group; ten kinds take turns."""
    unified = number % 10 in {0, 1, 2}
    dynamic, role, synced = is_dynamic(number), number % 10 == 4, number % 10 == 5
    created = stamp(EPOCH + timedelta(minutes=number))
    alias = f"group{number:05}"
    body: dict[str, Any] = {
        "id": loader.ids("group", number),
        "createdDateTime": created,
        "description": f"Grupp {number} 👥" if number % 3 else None,
        "displayName": group_name(number),
        "groupTypes": (["Unified"] if unified else []) + (["DynamicMembership"] if dynamic else []),
        "mail": f"{alias}@{loader.who.domain}" if unified else None,
        "mailEnabled": unified,
        "mailNickname": alias,
        "proxyAddresses": [f"SMTP:{alias}@{loader.who.domain}"] if unified else [],
        "renewedDateTime": created,
        "resourceBehaviorOptions": ["WelcomeEmailDisabled"] if number % 20 == 0 else [],
        "resourceProvisioningOptions": ["Team"] if number % 20 == 1 else [],
        "securityEnabled": not unified,
        "securityIdentifier": f"S-1-12-1-{number}-2085393102-{loader.plan.seed}-11",
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
        body[loader.cost_center] = f"GC-{number % 90:04}"
    return body


def unit(loader: Loader, number: int) -> dict[str, Any]:
    """Returns the number-th administrative unit."""
    return {
        "id": loader.ids("administrativeUnit", number),
        "displayName": f"Enhet {_CITIES[number % len(_CITIES)][0]} {number}",
        "description": f"Everything in {_CITIES[number % len(_CITIES)][0]}",
        "visibility": "HiddenMembership" if number % 4 == 3 else None,
        "isMemberManagementRestricted": False,
    }


def device(loader: Loader, number: int) -> dict[str, Any]:
    """Returns the number-th device; two of three run Windows."""
    windows = number % 3 != 0
    return {
        "id": loader.ids("device", number),
        "accountEnabled": True,
        "alternativeSecurityIds": [{"type": 2, "identityProvider": None, "key": "WAA1ADAAOQA6" + f"{number:08}"}],
        "approximateLastSignInDateTime": stamp(EPOCH + timedelta(minutes=number)),
        "deviceId": loader.ids("deviceId", number),
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


def user_name(number: int) -> str:
    """Returns the display name of the number-th user."""
    return f"{_GIVEN[number * 7 % len(_GIVEN)]} {_FAMILY[number * 11 % len(_FAMILY)]}"


def group_name(number: int) -> str:
    """Returns the display name of the number-th group."""
    return f"{_DEPARTMENTS[number % len(_DEPARTMENTS)]} {number:05}"


def is_dynamic(number: int) -> bool:
    """Returns whether the number-th group has a membership rule."""
    return number % 10 in {2, 3}


def owner_pairs(loader: Loader, first: int, count: int, kind: str) -> list[tuple[int, int]]:
    """Returns pairs of object and owner: one to three users own each of the objects."""
    users = loader.first["user"]
    pairs = []
    for number in range(count):
        rng = loader.random(kind, number)
        owners = rng.sample(range(loader.users), min(loader.users, 1 + number % 3))
        pairs += [(first + number, users + owner) for owner in sorted(owners)]
    return pairs
