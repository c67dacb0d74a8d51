"""Writes named locations and policies of conditional access."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.directory.organization import strength
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp


def conditional_access(loader: Loader) -> None:
    """Writes them; applications, groups and users have to be there already."""
    moment = EPOCH + timedelta(days=90)
    locations: list[dict[str, Any]] = [
        {
            "@odata.type": "#microsoft.graph.ipNamedLocation",
            "id": loader.ids("location", 0),
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
            "id": loader.ids("location", 1),
            "displayName": "Nordics ❄️",
            "createdDateTime": stamp(moment, "7238848"),
            "modifiedDateTime": None,
            "countriesAndRegions": ["SE", "NO", "DK", "FI", "IS"],
            "includeUnknownCountriesAndRegions": False,
            "countryLookupMethod": "clientIpAddress",
        },
        {
            "@odata.type": "#microsoft.graph.ipNamedLocation",
            "id": loader.ids("location", 2),
            "displayName": "Partner office",
            "createdDateTime": stamp(moment),
            "modifiedDateTime": None,
            "isTrusted": False,
            "ipRanges": [{"@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "198.51.100.7/32"}],
        },
    ]
    loader.write("namedLocation", iter(locations))
    loader.write("conditionalAccessPolicy", (_policy(loader, number) for number in range(6)))


def _policy(loader: Loader, number: int) -> dict[str, Any]:
    moment = EPOCH + timedelta(days=100 + number)
    strong = number % 3 == 1
    contexts = ["c1"] if number == 2 else []
    applications = [] if contexts else ["All"]
    if number % 2:
        applications = [loader.ids("appId", number % loader.applications)]
    body: dict[str, Any] = {
        "id": loader.ids("policy", number),
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
                "excludeLocations": [loader.ids("location", number % 3)],
            },
            "users": {
                "includeUsers": ["All"] if number % 2 else [],
                "excludeUsers": [loader.ids("user", number)] if loader.users > number else [],
                "includeGroups": [loader.ids("group", number)] if not number % 2 and loader.groups > number else [],
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
            "termsOfUse": [loader.ids("agreement", 0)] if number == 3 else [],
            "authenticationStrength": None,
        },
        "sessionControls": None,
    }
    if strong:
        body["grantControls"]["authenticationStrength"] = strength(
            *builtin.STRENGTHS[2][:4], policy_type="builtIn", moment=EPOCH
        )
    if number == 0:
        body["futureControls"] = {"tokenProtection": {"enabled": True}, "labels": ["α", "β"]}
    return body
