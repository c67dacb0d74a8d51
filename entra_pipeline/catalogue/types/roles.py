"""Directory roles (activated), role definitions and assignments, and privileged identity management (PIM)."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Read, Relation, kept, restored

_READ_ROLES = ("RoleManagement.Read.Directory", "Directory.Read.All")

_PIM = "Microsoft Entra ID P2 or Microsoft Entra ID Governance"
_DIRECTORY_ROLES = "scopeId eq '/' and scopeType eq 'DirectoryRole'"
# PIM for groups takes neither dynamic groups nor groups of Active Directory (Entra doc: PIM for groups).
_ELIGIBLE_GROUPS = (
    "raw->>'$.onPremisesSyncEnabled' IS DISTINCT FROM 'true' "
    "AND coalesce(raw->>'$.groupTypes', '') NOT LIKE '%DynamicMembership%'"
)


def _group_schedules(kind: str, permission: str) -> ObjectType:
    segment = f"{kind}Schedules"
    return ObjectType(
        name=f"privileged_access_group_{kind}_schedules",
        category=Category.ROLES,
        title=f"PIM {kind} in a group",
        path="",
        model=f"privileged_access_group_{kind}_schedule",
        permissions=(permission,),
        restore=restored(f"POST /identityGovernance/privilegedAccess/group/{kind}ScheduleRequests"),
        parent=Parent(
            "groups",
            segment,
            Read.EACH,
            path=f"identityGovernance/privilegedAccess/group/{segment}?$filter=groupId eq '{{id}}'",
            where=_ELIGIBLE_GROUPS,
        ),
        identity=("id",),
        belongs_to="groupId",
        licence=_PIM,
    )


TYPES = (
    ObjectType(
        name="directory_roles",
        category=Category.ROLES,
        title="Directory role",
        path="directoryRoles",
        model="directory_role",
        permissions=_READ_ROLES,
        restore=kept("shows role_assignments at the whole tenant; they are restored"),
        delta=True,
        count=False,
        relations=(Relation("directory_role_members", "members", Read.DELTA, inverse="memberOf"),),
    ),
    ObjectType(
        name="role_definitions",
        category=Category.ROLES,
        title="Role definition",
        path="roleManagement/directory/roleDefinitions",
        model="unified_role_definition",
        permissions=_READ_ROLES,
        restore=restored(
            "POST /roleManagement/directory/roleDefinitions with the same templateId, PATCH; built-in: fixed"
        ),
    ),
    ObjectType(
        name="role_assignments",
        category=Category.ROLES,
        title="Role assignment",
        path="roleManagement/directory/roleAssignments",
        model="unified_role_assignment",
        permissions=_READ_ROLES,
        restore=restored("POST /roleManagement/directory/roleAssignments"),
        identity=("id",),
        belongs_to="principalId",
    ),
    ObjectType(
        name="role_eligibility_schedules",
        category=Category.ROLES,
        title="PIM eligibility",
        path="roleManagement/directory/roleEligibilitySchedules",
        model="unified_role_eligibility_schedule",
        permissions=("RoleEligibilitySchedule.Read.Directory", *_READ_ROLES),
        restore=restored("POST /roleManagement/directory/roleEligibilityScheduleRequests"),
        identity=("id",),
        belongs_to="principalId",
        licence=_PIM,
    ),
    ObjectType(
        name="role_assignment_schedules",
        category=Category.ROLES,
        title="PIM active assignment",
        path="roleManagement/directory/roleAssignmentSchedules",
        model="unified_role_assignment_schedule",
        permissions=("RoleAssignmentSchedule.Read.Directory", *_READ_ROLES),
        restore=restored("POST /roleManagement/directory/roleAssignmentScheduleRequests"),
        identity=("id",),
        belongs_to="principalId",
        licence=_PIM,
    ),
    ObjectType(
        name="role_management_policies",
        category=Category.ROLES,
        title="PIM rules of a role",
        path="policies/roleManagementPolicies",
        model="unified_role_management_policy",
        permissions=("RoleManagement.Read.Directory",),
        restore=kept("Graph lets only a signed-in user change PIM rules"),
        expand=("rules",),
        filter=_DIRECTORY_ROLES,
        count=False,
        licence=_PIM,
    ),
    ObjectType(
        name="role_management_policy_assignments",
        category=Category.ROLES,
        title="Assignment of PIM rules to a role",
        path="policies/roleManagementPolicyAssignments",
        model="unified_role_management_policy_assignment",
        permissions=("RoleManagement.Read.Directory",),
        restore=kept("fixed: every role has its rules"),
        filter=_DIRECTORY_ROLES,
        count=False,
        identity=("id",),
        licence=_PIM,
    ),
    ObjectType(
        name="group_role_management_policy_assignments",
        category=Category.ROLES,
        title="PIM rules in a group",
        path="",
        model="unified_role_management_policy_assignment",
        permissions=("RoleManagementPolicy.Read.AzureADGroup", "RoleManagement.Read.Directory"),
        restore=kept("Graph lets only a signed-in user change PIM rules"),
        # The assignment says whether the rules are those of members or of owners; the policy alone does not.
        expand=("policy($expand=rules)",),
        parent=Parent(
            "groups",
            "roleManagementPolicyAssignments",
            Read.EACH,
            path="policies/roleManagementPolicyAssignments?$filter=scopeId eq '{id}' and scopeType eq 'Group'",
            where=_ELIGIBLE_GROUPS,
        ),
        identity=("id",),
        belongs_to="scopeId",
        licence=_PIM,
        shows="role_management_policy_assignments",
    ),
    _group_schedules("eligibility", "PrivilegedEligibilitySchedule.Read.AzureADGroup"),
    _group_schedules("assignment", "PrivilegedAssignmentSchedule.Read.AzureADGroup"),
)
