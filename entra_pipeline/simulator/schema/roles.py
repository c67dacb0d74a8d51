"""Privileged identity management: who may take which role or group membership, when, and under which rules."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet

_WRITE_RULES = ("RoleManagementPolicy.ReadWrite.AzureADGroup",)
_RULES = ("RoleManagementPolicy.Read.Directory", "RoleManagementPolicy.Read.AzureADGroup", *_WRITE_RULES)
_ROLE_READ = ("RoleManagement.Read.Directory", "RoleManagement.Read.All", "RoleManagement.ReadWrite.Directory")
_SCHEDULES = frozenset(["id", "createdDateTime", "modifiedDateTime", "createdUsing"])


def _group_schedule(kind: str, permission: str) -> EntitySet:
    return EntitySet(
        f"privilegedAccessGroup{kind.capitalize()}Schedule",
        f"identityGovernance/privilegedAccess/group/{kind}Schedules",
        f"privileged_access_group_{kind}_schedule",
        (f"{permission}.Read.AzureADGroup", f"{permission}.ReadWrite.AzureADGroup"),
        filters=(("groupId",), ("principalId",)),
        licensed=True,
        create=False,
        update=False,
        delete=False,
        read_only=_SCHEDULES,
    )


def _requests(name: str, path: str, model: str, read: tuple[str, ...], write: str, *ends: str) -> EntitySet:
    """Returns the set of requests for a kind of schedule; a request makes a schedule come or go."""
    return EntitySet(
        name,
        path,
        model,
        (*read, write),
        (write,),
        licensed=True,
        required=("action", "principalId", *ends),
        read_only=frozenset(["id", "status", "createdDateTime", "completedDateTime", "createdBy", "approvalId"]),
        update=False,
        delete=False,
    )


def _group_requests(kind: str, permission: str) -> EntitySet:
    return _requests(
        f"privilegedAccessGroup{kind.capitalize()}ScheduleRequest",
        f"identityGovernance/privilegedAccess/group/{kind}ScheduleRequests",
        f"privileged_access_group_{kind}_schedule_request",
        (f"{permission}.Read.AzureADGroup",),
        f"{permission}.ReadWrite.AzureADGroup",
        "groupId",
        "accessId",
    )


SETS: tuple[EntitySet, ...] = (
    EntitySet(
        "unifiedRoleEligibilitySchedule",
        "roleManagement/directory/roleEligibilitySchedules",
        "unified_role_eligibility_schedule",
        ("RoleEligibilitySchedule.Read.Directory", *_ROLE_READ),
        licensed=True,
        create=False,
        update=False,
        delete=False,
        read_only=_SCHEDULES,
    ),
    EntitySet(
        "unifiedRoleAssignmentSchedule",
        "roleManagement/directory/roleAssignmentSchedules",
        "unified_role_assignment_schedule",
        ("RoleAssignmentSchedule.Read.Directory", *_ROLE_READ),
        licensed=True,
        create=False,
        update=False,
        delete=False,
        read_only=_SCHEDULES,
    ),
    EntitySet(
        "unifiedRbacResourceAction",
        "roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions",
        "unified_rbac_resource_action",
        _ROLE_READ,
        on_select=frozenset(["authenticationContextId", "isAuthenticationContextSettable"]),
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "unifiedRoleManagementPolicy",
        "policies/roleManagementPolicies",
        "unified_role_management_policy",
        (*_ROLE_READ, *_RULES),
        _WRITE_RULES,
        filters=(("scopeId", "scopeType"),),
        expandable=("rules", "effectiveRules"),
        # Graph permissions reference: PATCH of a rule of roles has no application permission; of groups it has (Graph
        # doc: unifiedrolemanagementpolicy-update).
        by_application="Group_",
        by_user=("RoleManagementPolicy.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory"),
        licensed=True,
        create=False,
        delete=False,
    ),
    EntitySet(
        "unifiedRoleManagementPolicyAssignment",
        "policies/roleManagementPolicyAssignments",
        "unified_role_management_policy_assignment",
        (*_ROLE_READ, *_RULES),
        filters=(("scopeId", "scopeType"),),
        expandable=("policy",),
        licensed=True,
        create=False,
        update=False,
        delete=False,
    ),
    *(
        _requests(
            f"unifiedRole{kind}ScheduleRequest",
            f"roleManagement/directory/role{kind}ScheduleRequests",
            f"unified_role_{kind.lower()}_schedule_request",
            (f"Role{kind}Schedule.ReadWrite.Directory",),
            "RoleManagement.ReadWrite.Directory",
            "roleDefinitionId",
        )
        for kind in ("Eligibility", "Assignment")
    ),
    _group_schedule("eligibility", "PrivilegedEligibilitySchedule"),
    _group_schedule("assignment", "PrivilegedAssignmentSchedule"),
    _group_requests("eligibility", "PrivilegedEligibilitySchedule"),
    _group_requests("assignment", "PrivilegedAssignmentSchedule"),
)
