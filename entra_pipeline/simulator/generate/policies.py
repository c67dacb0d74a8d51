"""Writes the policies of a new tenant, and the settings of groups.

What belongs here: contents. What every tenant has comes first in each part; the rest is for tenants with people.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.application_policies import application_policies, stamped_policy
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.generate.privileged import actions, role_rules, schedules
from entra_pipeline.simulator.schema import LinkKind

_UNIFIED_TEMPLATE = "62375ab9-6b52-47ed-826b-58e47e0e304b"
_ANYONE = {
    "permissionClassification": "all",
    "resourceApplication": "any",
    "permissions": ["all"],
    "clientApplicationIds": ["all"],
    "clientApplicationTenantIds": ["all"],
    "clientApplicationPublisherIds": ["all"],
    "clientApplicationsFromVerifiedPublisherOnly": False,
}
_UNIFIED_SETTINGS = (
    ("EnableMIPLabels", "System.Boolean", "false", "Whether Microsoft Purview labels can be assigned."),
    ("CustomBlockedWordsList", "System.String", "", "Words that names and aliases cannot contain."),
    ("PrefixSuffixNamingRequirement", "System.String", "", "The naming convention of groups."),
    ("AllowGuestsToBeGroupOwner", "System.Boolean", "false", "Whether guests can own groups."),
    ("AllowGuestsToAccessGroups", "System.Boolean", "true", "Whether guests can see the content of groups."),
    ("GuestUsageGuidelinesUrl", "System.String", "", "Where guests read how to use groups."),
    ("GroupCreationAllowedGroupId", "System.Guid", "", "The group whose members may create groups."),
    ("AllowToAddGuests", "System.Boolean", "true", "Whether guests can be added."),
    ("EnableGroupCreation", "System.Boolean", "true", "Whether everybody may create groups."),
)


def policies(loader: Loader) -> None:
    """Writes them; users, groups, applications, roles and contexts have to be there already."""
    _of_the_tenant(loader)
    _across_tenants(loader)
    _consent(loader)
    _group_settings(loader)
    role_rules(loader)
    actions(loader)
    if loader.plan.empty:
        return
    application_policies(loader)
    _conditions(loader)
    schedules(loader)


# --- the tenant as a whole -------------------------------------------------------------------------------------------


def _of_the_tenant(loader: Loader) -> None:
    lived_in = not loader.plan.empty
    restrictions = [
        {
            "restrictionType": "passwordAddition",
            "maxLifetime": None,
            "restrictForAppsCreatedAfterDateTime": stamp(EPOCH),
            "state": "enabled",
        }
    ]
    reviewers = [{"query": f"/users/{loader.ids('user', 0)}", "queryType": "MicrosoftGraph", "queryRoot": None}]
    for type_name, body in (
        (
            "authorizationPolicy",
            {
                "id": "authorizationPolicy",
                "displayName": "Authorization Policy",
                "description": "Used to manage authorization related settings across the company.",
                "allowInvitesFrom": "adminsAndGuestInviters" if lived_in else "everyone",
                "allowedToSignUpEmailBasedSubscriptions": True,
                "allowedToUseSSPR": True,
                "allowEmailVerifiedUsersToJoinOrganization": False,
                "allowUserConsentForRiskyApps": None,
                "blockMsolPowerShell": False,
                "guestUserRoleId": "10dae51f-b6af-4016-8d66-8c2a99b929b3",
                "defaultUserRolePermissions": {
                    "allowedToCreateApps": not lived_in,
                    "allowedToCreateSecurityGroups": True,
                    "allowedToCreateTenants": not lived_in,
                    "allowedToReadBitlockerKeysForOwnedDevice": True,
                    "allowedToReadOtherUsers": True,
                    "permissionGrantPoliciesAssigned": ["ManagePermissionGrantsForSelf.microsoft-user-default-low"],
                },
            },
        ),
        (
            "authenticationMethodsPolicy",
            {
                "id": "authenticationMethodsPolicy",
                "displayName": "Authentication Methods Policy",
                "description": "Which authentication methods the tenant allows, and who has to register for them.",
                "lastModifiedDateTime": stamp(EPOCH + timedelta(days=40), "6044384"),
                "policyVersion": "1.5",
                "policyMigrationState": "migrationComplete",
                "registrationEnforcement": {
                    "authenticationMethodsRegistrationCampaign": {
                        "snoozeDurationInDays": 1,
                        "enforceRegistrationAfterAllowedSnoozes": True,
                        "state": "default",
                        "excludeTargets": [],
                        "includeTargets": [
                            {
                                "id": "all_users",
                                "targetType": "group",
                                "targetedAuthenticationMethod": "microsoftAuthenticator",
                            }
                        ],
                    }
                },
                "authenticationMethodConfigurations": list(_methods(loader)),
            },
        ),
        (
            "authenticationFlowsPolicy",
            {
                "id": "authenticationFlowsPolicy",
                "displayName": "Authentication flows policy",
                "description": "Which authentication flows the tenant allows.",
                "selfServiceSignUp": {"isEnabled": lived_in},
            },
        ),
        (
            "federatedTokenValidationPolicy",
            {
                "id": loader.ids("federatedTokens", 0),
                "deletedDateTime": None,
                "validatingDomains": {
                    "@odata.type": "#microsoft.graph.allDomains",
                    "rootDomains": "all" if lived_in else "none",
                },
            },
        ),
        (
            "ownerlessGroupPolicy",
            {"id": "ownerlessGroupPolicy", "isEnabled": lived_in, "maxMembersToNotify": 10},
        ),
        (
            "identitySecurityDefaultsEnforcementPolicy",
            {
                "id": "00000000-0000-0000-0000-000000000005",
                "displayName": "Security Defaults",
                "description": "Security defaults is a set of basic identity security mechanisms.",
                "isEnabled": not lived_in,
            },
        ),
        (
            "adminConsentRequestPolicy",
            {
                "isEnabled": lived_in and loader.users > 0,
                "notifyReviewers": lived_in,
                "remindersEnabled": lived_in,
                "requestDurationInDays": 30 if lived_in else 0,
                "version": 2 if lived_in else 0,
                "reviewers": reviewers if loader.users else [],
            },
        ),
        (
            "deviceRegistrationPolicy",
            {
                "id": "deviceRegistrationPolicy",
                "displayName": "Device Registration Policy",
                "description": "Who may register and join devices, and how many.",
                "userDeviceQuota": 20 if lived_in else 50,
                "multiFactorAuthConfiguration": "required" if lived_in else "notRequired",
                "azureADRegistration": {
                    "isAdminConfigurable": False,
                    "allowedToRegister": {"@odata.type": "#microsoft.graph.allDeviceRegistrationMembership"},
                },
                "azureADJoin": {
                    "isAdminConfigurable": True,
                    "allowedToJoin": {
                        "@odata.type": "#microsoft.graph.enumeratedDeviceRegistrationMembership",
                        "users": [],
                        "groups": [loader.ids("group", 4)],
                    }
                    if loader.groups > 4
                    else {"@odata.type": "#microsoft.graph.allDeviceRegistrationMembership"},
                    "localAdmins": {"enableGlobalAdmins": True, "registeringUsers": None},
                },
                "localAdminPassword": {"isEnabled": lived_in},
            },
        ),
        (
            "tenantAppManagementPolicy",
            {
                "id": "00000000-0000-0000-0000-000000000000",
                "displayName": "Default app management tenant policy",
                "description": "Restrictions on credentials of all applications and service principals.",
                "isEnabled": lived_in,
                "applicationRestrictions": {
                    "passwordCredentials": restrictions if lived_in else [],
                    "keyCredentials": [],
                },
                "servicePrincipalRestrictions": {"passwordCredentials": [], "keyCredentials": []},
            },
        ),
    ):
        loader.write(type_name, [body])
    if lived_in:
        definition = (
            '{"ActivityBasedTimeoutPolicy":{"Version":1,"ApplicationPolicies":[{"ApplicationId":"default",'
            '"WebSessionIdleTimeout":"02:00:00"}]}}'
        )
        loader.write("activityBasedTimeoutPolicy", [stamped_policy(loader, "timeout", "Två timmar", definition, True)])
        loader.write(
            "featureRolloutPolicy",
            [
                {
                    "id": loader.ids("rollout", 0),
                    "displayName": "Staged rollout of password hash sync",
                    "description": None,
                    "feature": "passwordHashSync",
                    "isEnabled": True,
                    "isAppliedToOrganization": False,
                }
            ],
        )


def _methods(loader: Loader) -> Iterator[dict[str, Any]]:
    everybody = {"targetType": "group", "id": "all_users", "isRegistrationRequired": False}
    chosen = [{**everybody, "id": loader.ids("group", 0)}] if loader.groups else [everybody]
    yield {
        "@odata.type": "#microsoft.graph.fido2AuthenticationMethodConfiguration",
        "id": "Fido2",
        "state": "disabled" if loader.plan.empty else "enabled",
        "isSelfServiceRegistrationAllowed": True,
        "isAttestationEnforced": True,
        "keyRestrictions": {"isEnforced": False, "enforcementType": "block", "aaGuids": []},
        "includeTargets": chosen,
        "excludeTargets": [],
    }
    yield {
        "@odata.type": "#microsoft.graph.microsoftAuthenticatorAuthenticationMethodConfiguration",
        "id": "MicrosoftAuthenticator",
        "state": "enabled",
        "isSoftwareOathEnabled": False,
        "includeTargets": [{**everybody, "authenticationMode": "any"}],
        "excludeTargets": [],
    }
    for name, kind, state in (
        ("TemporaryAccessPass", "temporaryAccessPass", "enabled"),
        ("Sms", "sms", "disabled"),
        ("SoftwareOath", "softwareOath", "disabled"),
        ("X509Certificate", "x509Certificate", "disabled"),
        ("Email", "email", "enabled"),
    ):
        yield {
            "@odata.type": f"#microsoft.graph.{kind}AuthenticationMethodConfiguration",
            "id": name,
            "state": state,
            "includeTargets": [everybody] if state == "enabled" else [],
            "excludeTargets": [],
        }


# --- other tenants ---------------------------------------------------------------------------------------------------


def _access(kind: str, users: str = "AllUsers", applications: str = "AllApplications") -> dict[str, Any]:
    return {
        "usersAndGroups": {"accessType": kind, "targets": [_target(users, "user")]},
        "applications": {"accessType": kind, "targets": [_target(applications, "application")]},
    }


def _target(target: str, kind: str) -> dict[str, str]:
    return {"target": target, "targetType": kind}


def _trust(accepted: bool) -> dict[str, bool]:
    return {
        "isMfaAccepted": accepted,
        "isCompliantDeviceAccepted": accepted,
        "isHybridAzureADJoinedDeviceAccepted": False,
    }


def _across_tenants(loader: Loader) -> None:
    loader.write(
        "crossTenantAccessPolicy",
        [
            {
                "id": "crossTenantAccessPolicy",
                "displayName": "CrossTenantAccessPolicy",
                "description": None,
                "allowedCloudEndpoints": [] if loader.plan.empty else ["microsoftonline.us"],
            }
        ],
    )
    loader.write(
        "crossTenantAccessPolicyConfigurationDefault",
        [
            {
                "isServiceDefault": loader.plan.empty,
                "automaticUserConsentSettings": {"inboundAllowed": False, "outboundAllowed": False},
                "inboundTrust": _trust(accepted=not loader.plan.empty),
                "b2bCollaborationOutbound": _access("allowed"),
                "b2bCollaborationInbound": _access("allowed"),
                "b2bDirectConnectOutbound": _access("blocked"),
                "b2bDirectConnectInbound": _access("blocked"),
                "invitationRedemptionIdentityProviderConfiguration": {
                    "primaryIdentityProviderPrecedenceOrder": [
                        "externalFederation",
                        "azureActiveDirectory",
                        "socialIdentityProviders",
                    ],
                    "fallbackIdentityProvider": "defaultConfiguredIdp",
                },
            }
        ],
    )
    level = "newPartners" if not loader.plan.empty else "none"
    loader.write(
        "multiTenantOrganizationPartnerConfigurationTemplate",
        [
            {
                "id": loader.ids("partnerTemplate", 0),
                "templateApplicationLevel": level,
                "inboundTrust": _trust(accepted=True) if not loader.plan.empty else None,
                "automaticUserConsentSettings": {"inboundAllowed": True, "outboundAllowed": True},
                "b2bCollaborationInbound": None,
                "b2bCollaborationOutbound": None,
                "b2bDirectConnectInbound": None,
                "b2bDirectConnectOutbound": None,
            }
        ],
    )
    loader.write(
        "multiTenantOrganizationIdentitySyncPolicyTemplate",
        [
            {
                "id": loader.ids("syncTemplate", 0),
                "templateApplicationLevel": level,
                "userSyncInbound": {"isSyncAllowed": not loader.plan.empty},
            }
        ],
    )
    if loader.plan.empty:
        return
    loader.write(
        "multiTenantOrganization",
        [
            {
                "id": loader.ids("multiTenant", 0),
                "createdDateTime": stamp(EPOCH + timedelta(days=60)),
                "displayName": "Contoso & Fabrikam",
                "description": "Koncernen",
                "state": "active",
            }
        ],
    )
    loader.write(
        "multiTenantOrganizationMember",
        [
            {
                "tenantId": tenant,
                "displayName": name,
                "role": "owner" if owner else "member",
                "state": "active",
                "addedByTenantId": loader.who.tenant_id,
                "addedDateTime": stamp(EPOCH + timedelta(days=60)),
                "joinedDateTime": stamp(EPOCH + timedelta(days=61)),
                "transitionDetails": None,
                "deletedDateTime": None,
            }
            for tenant, name, owner in (
                (loader.who.tenant_id, "Contoso", True),
                (loader.ids("partner", 0), "Fabrikam", False),
            )
        ],
    )
    first = loader.write(
        "crossTenantAccessPolicyConfigurationPartner",
        [
            {
                "tenantId": loader.ids("partner", number),
                "isServiceProvider": number == 2,
                "isInMultiTenantOrganization": False,
                "inboundTrust": _trust(accepted=True) if number else None,
                "automaticUserConsentSettings": {"inboundAllowed": number == 0, "outboundAllowed": number == 0},
                "b2bCollaborationInbound": None,
                "b2bCollaborationOutbound": _access("allowed", applications="Office365") if number == 1 else None,
                "b2bDirectConnectInbound": _access("allowed", applications="Office365") if number == 0 else None,
                "b2bDirectConnectOutbound": None,
            }
            for number in range(3)
        ],
    )
    synchronization = {
        "tenantId": loader.ids("partner", 0),
        "displayName": "Fabrikam – personal",
        "userSyncInbound": {"isSyncAllowed": True},
    }
    loader.write_parts("crossTenantIdentitySyncPolicyPartner", [(first, synchronization)], LinkKind.IDENTITY_SYNC)


# --- consent ---------------------------------------------------------------------------------------------------------


def _consent(loader: Loader) -> None:
    bodies = [
        {
            "id": identifier,
            "displayName": name,
            "description": f"{name}, as it comes with every tenant.",
            "includes": [
                {**_ANYONE, "id": loader.ids(identifier, index), "permissionType": kind, **more}
                for index, (kind, more) in enumerate(included)
            ],
            "excludes": [],
        }
        for identifier, name, included in builtin.CONSENT
    ]
    if not loader.plan.empty:
        bodies.append(
            {
                "id": "tier-1",
                "displayName": "Tier 1 Help Desk",
                "description": "Vad supporten får samtycka till",
                "includes": [
                    {
                        **_ANYONE,
                        "id": loader.ids("consentIncluded", 0),
                        "permissionClassification": "low",
                        "permissionType": "delegated",
                        "clientApplicationsFromVerifiedPublisherOnly": True,
                    }
                ],
                "excludes": [
                    {
                        **_ANYONE,
                        "id": loader.ids("consentExcluded", 0),
                        "permissionType": "delegated",
                        "resourceApplication": builtin.GRAPH_APP_ID,
                        "permissions": [builtin.GRAPH_SCOPES[1][0]],
                    }
                ],
            }
        )
    loader.write("permissionGrantPolicy", bodies)


# --- groups ----------------------------------------------------------------------------------------------------------


def _group_settings(loader: Loader) -> None:
    loader.write(
        "groupSettingTemplate",
        [
            {
                "id": _UNIFIED_TEMPLATE,
                "displayName": "Group.Unified",
                "description": "Settings for Microsoft 365 groups.",
                "values": [
                    {"name": name, "type": kind, "defaultValue": value, "description": text}
                    for name, kind, value, text in _UNIFIED_SETTINGS
                ],
            },
            {
                "id": "08d542b9-071f-4e16-94b0-74abb372e3d9",
                "displayName": "Group.Unified.Guest",
                "description": "Settings for a specific Microsoft 365 group.",
                "values": [
                    {
                        "name": "AllowToAddGuests",
                        "type": "System.Boolean",
                        "defaultValue": "true",
                        "description": "Whether guests can be added to the group.",
                    }
                ],
            },
        ],
    )
    if loader.plan.empty:
        return
    chosen = {
        "PrefixSuffixNamingRequirement": "[Contoso-][GroupName]",
        "GuestUsageGuidelinesUrl": "https://contoso.com/gäster",
        "GroupCreationAllowedGroupId": loader.ids("group", 4) if loader.groups > 4 else "",
        "EnableGroupCreation": "false",
    }
    loader.write(
        "groupSetting",
        [
            {
                "id": loader.ids("groupSetting", 0),
                "displayName": "Group.Unified",
                "templateId": _UNIFIED_TEMPLATE,
                "values": [{"name": name, "value": chosen.get(name, value)} for name, _, value, _ in _UNIFIED_SETTINGS],
            }
        ],
    )
    loader.write(
        "groupLifecyclePolicy",
        [
            {
                "id": loader.ids("groupLifecycle", 0),
                "groupLifetimeInDays": 180,
                "managedGroupTypes": "All",
                "alternateNotificationEmails": "admin@contoso.com",
            }
        ],
    )


# --- conditional access ----------------------------------------------------------------------------------------------


def _conditions(loader: Loader) -> None:
    loader.write(
        "authenticationContextClassReference",
        [
            {
                "id": f"c{number}",
                "displayName": name,
                "description": f"Access is only allowed with: {name}",
                "isAvailable": number != 3,
            }
            for number, name in enumerate(("Trusted locations", "Stark inloggning", "Pilot"), 1)
        ],
    )
    loader.write(
        "agreement",
        [
            {
                "id": loader.ids("agreement", 0),
                "displayName": "Användarvillkor",
                "isPerDeviceAcceptanceRequired": False,
                "isViewingBeforeAcceptanceRequired": True,
                "termsExpiration": {"startDateTime": stamp(EPOCH), "frequency": "P365D"},
                "userReacceptRequiredFrequency": "P90D",
            }
        ],
    )
