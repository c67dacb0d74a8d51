"""Identity governance of a new tenant: entitlement management, access reviews, lifecycle workflows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind

_DAY = timedelta(days=1)
_MOST_ASSIGNMENTS = 50
_CATALOG_OWNER = "ae79f266-94d4-4dab-b730-feca7e132178"
_CATALOG_READER = "44272f93-9762-48e8-af59-1b5351b1d6b3"


def governance(loader: Loader) -> None:
    """Writes it; users, groups and applications have to be there already."""
    _settings(loader)
    catalogs = _catalogs(loader)
    if loader.plan.empty or not loader.users or not loader.groups:
        return
    _packages(loader, catalogs)
    _reviews(loader)
    _workflows(loader)


def _dated(number: int) -> dict[str, str]:
    moment = EPOCH + (300 + number) * _DAY
    return {"createdDateTime": stamp(moment, "74"), "modifiedDateTime": stamp(moment + _DAY, "74")}


def _settings(loader: Loader) -> None:
    loader.write(
        "entitlementManagementSettings",
        [
            {
                "id": "entitlementManagementSettings",
                "durationUntilExternalUserDeletedAfterBlocked": "P30D",
                "externalUserLifecycleAction": "blockSignInAndDelete",
            }
        ],
    )
    loader.write(
        "lifecycleManagementSettings",
        [
            {
                "id": "lifecycleManagementSettings",
                "workflowScheduleIntervalInHours": 3,
                "emailSettings": {"senderDomain": loader.who.initial_domain, "useCompanyBranding": False},
            }
        ],
    )
    loader.write(
        "entitlementRoleDefinition",
        [
            {
                "id": identifier,
                "templateId": identifier,
                "displayName": name,
                "description": f"{name} of access package catalogs.",
                "isBuiltIn": True,
                "isEnabled": True,
                "resourceScopes": [],
                "version": None,
                "rolePermissions": [
                    {"allowedResourceActions": ["microsoft.entitlementManagement/allEntities/read"], "condition": None}
                ],
            }
            for identifier, name in ((_CATALOG_OWNER, "Catalog owner"), (_CATALOG_READER, "Catalog reader"))
        ],
    )


def _catalogs(loader: Loader) -> int:
    """Writes the catalogs; the first is Microsoft's."""
    names = ["General"] if loader.plan.empty else ["General", "Försäljning", "Partners 🤝"]
    return loader.write(
        "accessPackageCatalog",
        [
            {
                "id": loader.ids("catalog", number),
                "displayName": name,
                "description": f"Access packages of {name}",
                "catalogType": "userManaged" if number else "serviceDefault",
                "state": "published",
                "isExternallyVisible": number != 1,
                **_dated(number),
            }
            for number, name in enumerate(names)
        ],
    )


# --- entitlement management ------------------------------------------------------------------------------------------


def _resource(loader: Loader, number: int) -> dict[str, Any]:
    """Returns a group that a catalog hands out."""
    group = number % loader.groups
    return {
        "id": loader.ids("packageResource", number),
        "originId": loader.ids("group", group),
        "originSystem": "AadGroup",
        "displayName": f"Group {group}",
        "description": None,
        **_dated(number),
        "attributes": [],
    }


def _role(loader: Loader, number: int) -> dict[str, Any]:
    group = loader.ids("group", number % loader.groups)
    return {
        "id": loader.ids("resourceRole", number),
        "originId": f"Member_{group}",
        "originSystem": "AadGroup",
        "displayName": "Member",
        "description": None,
    }


def _scope(loader: Loader, number: int) -> dict[str, Any]:
    return {
        "id": loader.ids("resourceScope", number),
        "originId": loader.ids("group", number % loader.groups),
        "originSystem": "AadGroup",
        "displayName": "Root",
        "description": "Root Scope",
        "isRootScope": True,
    }


def _extension(loader: Loader, number: int) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.accessPackageAssignmentRequestWorkflowExtension",
        "id": loader.ids("calloutExtension", number),
        "displayName": "Ärendesystemet",
        "description": "Opens a ticket",
        "createdDateTime": _dated(number)["createdDateTime"],
        "lastModifiedDateTime": _dated(number)["modifiedDateTime"],
        "authenticationConfiguration": {
            "@odata.type": "#microsoft.graph.azureAdPopTokenAuthentication",
        },
        "clientConfiguration": None,
        "callbackConfiguration": None,
        "endpointConfiguration": {
            "@odata.type": "#microsoft.graph.logicAppTriggerEndpointConfiguration",
            "subscriptionId": loader.ids("azure", 0),
            "resourceGroupName": "identity",
            "logicAppWorkflowName": "ticket",
            "url": "https://logic.contoso.com/ticket",
        },
    }


def _packages(loader: Loader, catalogs: int) -> None:
    resources = [(catalogs + 1 + number % 2, _resource(loader, number)) for number in range(4)]
    for number, (_, body) in enumerate(resources):
        body["roles"] = [_role(loader, number)]
        body["scopes"] = [_scope(loader, number)]
    loader.write_parts("accessPackageResource", resources, LinkKind.CATALOG_RESOURCES)
    loader.write_parts("customCalloutExtension", [(catalogs + 1, _extension(loader, 0))], LinkKind.CATALOG_EXTENSIONS)
    packages = [_package(loader, number) for number in range(4)]
    first = loader.write("accessPackage", packages)
    loader.directory.load_links(LinkKind.INCOMPATIBLE_PACKAGES, [(first, first + 1), (first + 2, first + 3)])
    loader.directory.load_links(LinkKind.INCOMPATIBLE_GROUPS, [(first, loader.seq("group", loader.groups - 1))])
    policies = [_policy(loader, number) for number in range(4)]
    loader.write("accessPackageAssignmentPolicy", policies)
    loader.write(
        "accessPackageAssignment",
        [_assignment(loader, number) for number in range(min(_MOST_ASSIGNMENTS, loader.users))],
    )
    organizations = loader.write(
        "connectedOrganization",
        [
            {
                "id": loader.ids("connected", number),
                "displayName": name,
                "description": f"{name}, connected",
                "state": "configured",
                **_dated(number),
                "identitySources": [
                    {
                        "@odata.type": "#microsoft.graph.azureActiveDirectoryTenant",
                        "tenantId": loader.ids("partner", number),
                        "displayName": name,
                    }
                ],
            }
            for number, name in enumerate(("Fabrikam", "Wingtip Toys"))
        ],
    )
    users = loader.seq("user", 0)
    loader.directory.load_links(LinkKind.INTERNAL_SPONSORS, [(organizations, users), (organizations + 1, users)])
    loader.directory.load_links(LinkKind.EXTERNAL_SPONSORS, [(organizations, loader.seq("user", 5 % loader.users))])
    loader.write(
        "entitlementRoleAssignment",
        [
            {
                "id": loader.ids("entitlementRole", number),
                "principalId": loader.ids("user", number % loader.users),
                "roleDefinitionId": definition,
                "directoryScopeId": None,
                "appScopeId": f"/AccessPackageCatalog/{loader.ids('catalog', 1)}",
            }
            for number, definition in enumerate((_CATALOG_OWNER, _CATALOG_READER))
        ],
    )


def _package(loader: Loader, number: int) -> dict[str, Any]:
    return {
        "id": loader.ids("package", number),
        "displayName": f"Paket {number}: Sälj & CRM" if number % 2 else f"Package {number}",
        "description": "What the work takes",
        "isHidden": number == 3,
        **_dated(number),
        "catalog": {"id": loader.ids("catalog", 1 + number % 2)},
        "resourceRoleScopes": [
            {
                "id": f"{loader.ids('resourceRole', number)}_{loader.ids('resourceScope', number)}",
                "createdDateTime": _dated(number)["createdDateTime"],
                "role": _role(loader, number),
                "scope": _scope(loader, number),
            }
        ],
    }


def _policy(loader: Loader, number: int) -> dict[str, Any]:
    approver = {"@odata.type": "#microsoft.graph.singleUser", "userId": loader.ids("user", 0), "description": None}
    return {
        "id": loader.ids("packagePolicy", number),
        "displayName": f"Initial policy {number}",
        "description": "Vem som får fråga",
        "allowedTargetScope": "specificDirectoryUsers" if number % 2 else "allMemberUsers",
        "specificAllowedTargets": [
            {
                "@odata.type": "#microsoft.graph.groupMembers",
                "groupId": loader.ids("group", number % loader.groups),
                "description": None,
            }
        ]
        if number % 2
        else [],
        "questions": [
            {
                "@odata.type": "#microsoft.graph.accessPackageTextInputQuestion",
                "id": loader.ids("question", number),
                "text": "Varför?",
                "isRequired": True,
                "isAnswerEditable": False,
                "isSingleLineQuestion": True,
                "regexPattern": None,
                "sequence": 1,
                "localizations": [{"languageCode": "en", "text": "Why?"}],
            }
        ],
        "customExtensionStageSettings": [
            {
                "id": loader.ids("stageSetting", number),
                "stage": "assignmentRequestCreated",
                "customExtension": _extension(loader, 0),
            }
        ]
        if number == 0
        else [],
        "automaticRequestSettings": None,
        "expiration": {"type": "afterDuration", "duration": "P365D", "endDateTime": None},
        "requestorSettings": {
            "enableTargetsToSelfAddAccess": True,
            "enableTargetsToSelfUpdateAccess": False,
            "enableTargetsToSelfRemoveAccess": True,
            "allowCustomAssignmentSchedule": True,
            "enableOnBehalfRequestorsToAddAccess": False,
            "enableOnBehalfRequestorsToUpdateAccess": False,
            "enableOnBehalfRequestorsToRemoveAccess": False,
            "onBehalfRequestors": [],
        },
        "requestApprovalSettings": {
            "isApprovalRequiredForAdd": True,
            "isApprovalRequiredForUpdate": False,
            "stages": [
                {
                    "durationBeforeAutomaticDenial": "P14D",
                    "isApproverJustificationRequired": True,
                    "isEscalationEnabled": False,
                    "durationBeforeEscalation": "PT0S",
                    "primaryApprovers": [approver],
                    "fallbackPrimaryApprovers": [],
                    "escalationApprovers": [],
                    "fallbackEscalationApprovers": [],
                }
            ],
        },
        "reviewSettings": None,
        **_dated(number),
        "accessPackage": {"id": loader.ids("package", number)},
        "catalog": {"id": loader.ids("catalog", 1 + number % 2)},
    }


def _assignment(loader: Loader, number: int) -> dict[str, Any]:
    package = number % 4
    return {
        "id": loader.ids("packageAssignment", number),
        "state": "delivered" if number % 5 else "expired",
        "status": "Delivered" if number % 5 else "Expired",
        "expiredDateTime": None if number % 5 else stamp(EPOCH + 500 * _DAY),
        "customExtensionCalloutInstances": [],
        "schedule": {
            "startDateTime": stamp(EPOCH + 310 * _DAY),
            "recurrence": None,
            "expiration": {"type": "noExpiration", "endDateTime": None, "duration": None},
        },
        "accessPackage": {"id": loader.ids("package", package)},
        "assignmentPolicy": {"id": loader.ids("packagePolicy", package)},
        "target": {
            "id": loader.ids("packageSubject", number),
            "objectId": loader.ids("user", number),
            "subjectType": "user",
            "altSecId": None,
        },
    }


# --- access reviews --------------------------------------------------------------------------------------------------


def _reviews(loader: Loader) -> None:
    first = loader.next
    query = {"@odata.type": "#microsoft.graph.accessReviewQueryScope", "queryType": "MicrosoftGraph", "queryRoot": None}
    loader.write(
        "accessReviewScheduleDefinition",
        [
            {
                "id": loader.ids("review", number),
                "displayName": f"Åtkomstgranskning {number}",
                "descriptionForAdmins": "Quarterly",
                "descriptionForReviewers": "Behövs den fortfarande?",
                "createdBy": {"id": loader.ids("user", 0), "displayName": None, "userPrincipalName": None},
                "createdDateTime": stamp(EPOCH + (400 + number) * _DAY),
                "lastModifiedDateTime": stamp(EPOCH + (401 + number) * _DAY),
                "status": "InProgress" if number else "NotStarted",
                "scope": {**query, "query": f"/groups/{loader.ids('group', number % loader.groups)}/transitiveMembers"},
                "instanceEnumerationScope": {
                    **query,
                    "query": f"/groups/{loader.ids('group', number % loader.groups)}",
                },
                "reviewers": [{"query": "./manager", "queryType": "MicrosoftGraph", "queryRoot": "decisions"}],
                "fallbackReviewers": [
                    {
                        "query": f"/users/{loader.ids('user', 0)}",
                        "queryType": "MicrosoftGraph",
                        "queryRoot": None,
                    }
                ],
                "additionalNotificationRecipients": [],
                "stageSettings": [],
                "settings": {
                    "mailNotificationsEnabled": True,
                    "reminderNotificationsEnabled": True,
                    "justificationRequiredOnApproval": True,
                    "defaultDecisionEnabled": False,
                    "defaultDecision": "None",
                    "instanceDurationInDays": 14,
                    "autoApplyDecisionsEnabled": False,
                    "recommendationsEnabled": True,
                    "recurrence": {
                        "pattern": {"type": "absoluteMonthly", "interval": 3, "dayOfMonth": 1},
                        "range": {"type": "noEnd", "startDate": "2024-09-01", "endDate": None},
                    },
                    "applyActions": [],
                },
            }
            for number in range(3)
        ],
    )
    loader.write_parts(
        "accessReviewInstance",
        [
            (
                first + number,
                {
                    "id": loader.ids("reviewInstance", 2 * number + turn),
                    "startDateTime": stamp(EPOCH + (1300 + 90 * turn) * _DAY),
                    "endDateTime": stamp(EPOCH + (1314 + 90 * turn) * _DAY),
                    "status": "InProgress" if turn else "Applied",
                    "scope": {**query, "query": f"/groups/{loader.ids('group', number % loader.groups)}/members"},
                    "reviewers": [],
                    "fallbackReviewers": [],
                    "errors": [],
                },
            )
            for number in (1, 2)
            for turn in range(2)
        ],
        LinkKind.REVIEW_INSTANCES,
    )


# --- lifecycle workflows ---------------------------------------------------------------------------------------------


def _workflows(loader: Loader) -> None:
    extension = loader.ids("taskExtension", 0)
    loader.write(
        "customTaskExtension",
        [
            {
                "id": extension,
                "displayName": "Beställ dator",
                "description": "Orders a computer",
                "createdDateTime": stamp(EPOCH + 500 * _DAY),
                "lastModifiedDateTime": stamp(EPOCH + 501 * _DAY),
                "authenticationConfiguration": {"@odata.type": "#microsoft.graph.azureAdPopTokenAuthentication"},
                "clientConfiguration": None,
                "callbackConfiguration": None,
                "endpointConfiguration": {
                    "@odata.type": "#microsoft.graph.logicAppTriggerEndpointConfiguration",
                    "subscriptionId": loader.ids("azure", 0),
                    "resourceGroupName": "identity",
                    "logicAppWorkflowName": "computer",
                    "url": "https://logic.contoso.com/computer",
                },
            }
        ],
    )
    loader.write("workflow", [_workflow(loader, number, extension) for number in range(3)])


def _workflow(loader: Loader, number: int, extension: str) -> dict[str, Any]:
    joiner = number != 2
    arguments = [{"name": "groupID", "value": loader.ids("group", number % loader.groups)}]
    return {
        "id": loader.ids("workflow", number),
        "category": "joiner" if joiner else "leaver",
        "displayName": ("Pre-hire", "Första dagen", "Sista dagen")[number],
        "description": "What has to be done for a new colleague" if joiner else "What has to be undone",
        "createdDateTime": stamp(EPOCH + (510 + number) * _DAY),
        "lastModifiedDateTime": stamp(EPOCH + (520 + number) * _DAY),
        "isEnabled": True,
        "isSchedulingEnabled": number != 1,
        "nextScheduleRunDateTime": None,
        "version": 1 + number,
        "executionConditions": {
            "@odata.type": "#microsoft.graph.identityGovernance.triggerAndScopeBasedConditions",
            "scope": {
                "@odata.type": "#microsoft.graph.identityGovernance.ruleBasedSubjectSet",
                "rule": "(department eq 'Försäljning')",
            },
            "trigger": {
                "@odata.type": "#microsoft.graph.identityGovernance.timeBasedAttributeTrigger",
                "timeBasedAttribute": "employeeHireDate" if joiner else "employeeLeaveDateTime",
                "offsetInDays": -7 if number == 0 else 0,
            },
        },
        "tasks": [
            {
                "id": loader.ids("task", 2 * number + order),
                "category": "joiner,leaver,mover",
                "continueOnError": bool(order),
                "description": description,
                "displayName": description,
                "executionSequence": order + 1,
                "isEnabled": True,
                "taskDefinitionId": definition,
                "arguments": given,
            }
            for order, (description, definition, given) in enumerate(
                (
                    ("Add user to groups", "22085229-5809-45e8-97fd-270d28d66910", arguments),
                    (
                        "Run a custom task extension",
                        "d79d1fcc-16be-490c-a865-f4533b1639ee",
                        [{"name": "customTaskExtensionID", "value": extension}],
                    ),
                )
            )
        ],
    }
