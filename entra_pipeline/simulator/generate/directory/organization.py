"""Writes what every tenant has: domains, the organization, subscriptions, roles, authentication strengths."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import DOMAIN, EPOCH, stamp


def organization(loader: Loader) -> None:
    """Writes domains, the organization and its subscriptions."""
    domains = [(loader.who.initial_domain, True)]
    if not loader.plan.empty:
        domains += [(loader.who.domain, False), (f"corp.{loader.who.domain}", False), ("fabrikam.com", False)]
    elif loader.plan.domain != DOMAIN:
        domains.append((loader.who.domain, False))
    loader.write("domain", iter([_domain(name, initial, name == domains[-1][0]) for name, initial in domains]))
    loader.write(
        "organization",
        iter(
            [
                {
                    "id": loader.who.tenant_id,
                    "displayName": "Contoso",
                    "businessPhones": ["+46 8 555 010 00"],
                    "city": "Stockholm",
                    "country": None,
                    "countryLetterCode": "SE",
                    "createdDateTime": stamp(EPOCH),
                    "preferredLanguage": "en",
                    "technicalNotificationMails": [f"admin@{loader.who.initial_domain}"],
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
    loader.write("subscribedSku", iter([_sku(loader, number) for number in range(len(builtin.SKUS))]))


def _sku(loader: Loader, number: int) -> dict[str, Any]:
    sku_id, part, plans = builtin.SKUS[number]
    return {
        "id": f"{loader.who.tenant_id}_{sku_id}",
        "accountName": "contoso",
        "accountId": loader.who.tenant_id,
        "appliesTo": "User",
        "capabilityStatus": "Enabled",
        "consumedUnits": 0 if loader.plan.empty else loader.users // (2 + number),
        "prepaidUnits": {"enabled": loader.users + 25, "suspended": 0, "warning": 0, "lockedOut": 0},
        "servicePlans": [
            {"servicePlanId": i, "servicePlanName": name, "provisioningStatus": "Success", "appliesTo": "User"}
            for i, name in plans
        ],
        "skuId": sku_id,
        "skuPartNumber": part,
        "subscriptionIds": [loader.ids("subscription", number)],
    }


def roles(loader: Loader) -> None:
    """Writes role definitions and the activated directory roles."""
    definitions = [_role(*role, built_in=True) for role in builtin.ROLES]
    if not loader.plan.empty:
        for number, name in enumerate(("Group reader (custom)", "Åtkomstgranskare")):
            actions = ("microsoft.directory/groups/standard/read",)
            definitions.append(_role(loader.ids("role", number), name, "A custom role.", actions, built_in=False))
    loader.write("unifiedRoleDefinition", iter(definitions))
    activated = [
        {
            "id": loader.ids("directoryRole", number),
            "description": description,
            "displayName": name,
            "roleTemplateId": template,
        }
        for number, (template, name, description, _) in enumerate(builtin.ROLES[: builtin.ACTIVATED])
    ]
    loader.write("directoryRole", iter(activated), key="roleTemplateId")


def strengths(loader: Loader) -> Iterator[dict[str, Any]]:
    """Yields the authentication strengths."""
    for identifier, name, description, combinations in builtin.STRENGTHS:
        yield strength(identifier, name, description, combinations, "builtIn", EPOCH)
    if not loader.plan.empty:
        moment = EPOCH + timedelta(days=400)
        yield {
            **strength(loader.ids("strength", 0), "FIDO2 only 🔑", "", ("fido2",), "custom", moment),
            "combinationConfigurations": [
                {
                    "@odata.type": "#microsoft.graph.fido2CombinationConfiguration",
                    "id": loader.ids("combination", 0),
                    "appliesToCombinations": ["fido2"],
                    "allowedAAGUIDs": ["486be684-bc8c-4b0e-ab89-9e1b1dfb3b50"],
                }
            ],
        }


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


def strength(
    identifier: str, name: str, description: str, combinations: tuple[str, ...], policy_type: str, moment: datetime
) -> dict[str, Any]:
    """Returns an authentication strength."""
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
