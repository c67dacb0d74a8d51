"""Directory roles (activated), role definitions and assignments, and privileged identity management (PIM)."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Personal, Read, Relation, Restore, kept
from entra_pipeline.catalogue.restoring import WriteStrategy

_READ_ROLES = ("RoleManagement.Read.Directory", "Directory.Read.All")

_PIM = "Microsoft Entra ID P2 or Microsoft Entra ID Governance"
_DIRECTORY_ROLES = "scopeId eq '/' and scopeType eq 'DirectoryRole'"
# PIM for groups takes neither dynamic groups nor groups of Active Directory (Entra doc: PIM for groups).
_ELIGIBLE_GROUPS = (
    "raw->>'$.onPremisesSyncEnabled' IS DISTINCT FROM 'true' "
    "AND coalesce(raw->>'$.groupTypes', '') NOT LIKE '%DynamicMembership%'"
)
_WRITE_ROLES = ("RoleManagement.ReadWrite.Directory",)
# Eligible members of a group have its roles without schedules of their own; activation ends by itself.
_DERIVED = "lower(raw->>'$.memberType') <> 'direct'"
_ACTIVATED = f"{_DERIVED} OR lower(raw->>'$.assignmentType') = 'activated'"
_SCHEDULE_COMPUTED = frozenset({"createdDateTime", "createdUsing", "memberType", "modifiedDateTime", "status"})
# A start that is past becomes the time of the request.
_SCHEDULE_PARTS = {"scheduleInfo": ("expiration", "recurrence")}
_PRINCIPALS = ("users", "groups", "service_principals")
_SCOPES = ("administrative_units", "applications")


def _schedules(kind: str, *permissions: str) -> Restore:
    """How PIM schedules of directory roles come back: Graph takes requests for them."""
    path = f"roleManagement/directory/role{kind}ScheduleRequests"
    return Restore(
        how=f"POST /{path}",
        permissions=(*permissions, *_WRITE_ROLES),
        change="",
        path=path,
        volatile=_SCHEDULE_COMPUTED | ({"assignmentType"} if kind == "Assignment" else set()),
        required=("directoryScopeId", "principalId", "roleDefinitionId", "scheduleInfo"),
        parts=_SCHEDULE_PARTS,
        ends="scheduleInfo",
        lost=("history of activations",),
        derived=_ACTIVATED if kind == "Assignment" else _DERIVED,
        strategy=WriteStrategy.SCHEDULE,
        after=(*_PRINCIPALS, *_SCOPES, "role_definitions"),
        refers=frozenset({"directoryScopeId", "principalId", "roleDefinitionId"}),
        link=True,
    )


def _group_schedules(kind: str, permission: str) -> ObjectType:
    segment = f"{kind}Schedules"
    requests = f"identityGovernance/privilegedAccess/group/{kind}ScheduleRequests"
    return ObjectType(
        name=f"privileged_access_group_{kind}_schedules",
        category=Category.ROLES,
        title=f"PIM {kind} in a group",
        irregular_plural=f"PIM {'eligibilities' if kind == 'eligibility' else 'assignments'} in groups",
        path="",
        model=f"privileged_access_group_{kind}_schedule",
        permissions=(permission,),
        restore=Restore(
            how=f"POST /{requests}",
            permissions=(permission.replace("Read", "ReadWrite"),),
            change="",
            path=requests,
            volatile=_SCHEDULE_COMPUTED | ({"assignmentType"} if kind == "assignment" else set()),
            required=("accessId", "groupId", "principalId", "scheduleInfo"),
            parts=_SCHEDULE_PARTS,
            ends="scheduleInfo",
            lost=("history of activations",),
            derived=_ACTIVATED if kind == "assignment" else _DERIVED,
            strategy=WriteStrategy.SCHEDULE,
            after=("users", "groups"),
            refers=frozenset({"groupId", "principalId"}),
            link=True,
        ),
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
        restore=kept("shows role_assignments at the whole tenant; they are restored", unique=("roleTemplateId",)),
        delta=True,
        count=False,
        aliases=("roleTemplateId",),
        relations=(Relation("directory_role_members", "members", Read.DELTA, inverse="memberOf"),),
    ),
    ObjectType(
        name="role_definitions",
        category=Category.ROLES,
        title="Role definition",
        path="roleManagement/directory/roleDefinitions",
        model="unified_role_definition",
        permissions=_READ_ROLES,
        restore=Restore(
            how="POST /roleManagement/directory/roleDefinitions with the same templateId, PATCH; built-in: fixed",
            permissions=_WRITE_ROLES,
            volatile=frozenset({"isBuiltIn", "resourceScopes"}),
            create_only=frozenset({"templateId"}),
            unique=("templateId",),
            required=("displayName", "isEnabled", "rolePermissions"),
            fixed="raw->>'$.isBuiltIn' = 'true'",
        ),
    ),
    ObjectType(
        name="role_assignments",
        category=Category.ROLES,
        title="Role assignment",
        path="roleManagement/directory/roleAssignments",
        model="unified_role_assignment",
        permissions=_READ_ROLES,
        restore=Restore(
            how="POST /roleManagement/directory/roleAssignments",
            permissions=_WRITE_ROLES,
            change="",
            volatile=frozenset({"principalOrganizationId"}),
            required=("principalId", "roleDefinitionId"),
            after=(*_PRINCIPALS, *_SCOPES, "role_definitions"),
            refers=frozenset({"directoryScopeId", "principalId", "roleDefinitionId"}),
            link=True,
        ),
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
        restore=_schedules("Eligibility", "RoleEligibilitySchedule.ReadWrite.Directory"),
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
        restore=_schedules("Assignment", "RoleAssignmentSchedule.ReadWrite.Directory"),
        identity=("id",),
        belongs_to="principalId",
        licence=_PIM,
    ),
    ObjectType(
        name="role_management_policies",
        category=Category.ROLES,
        title="PIM rules of a role",
        irregular_plural="PIM rules of roles",
        path="policies/roleManagementPolicies",
        model="unified_role_management_policy",
        permissions=("RoleManagement.Read.Directory",),
        restore=Restore(
            how="PATCH /policies/roleManagementPolicies/{id}/rules/{id} by a signed-in user (`--sign-in`)",
            # Graph permissions reference: changing a rule has no application permission.
            delegated=("RoleManagementPolicy.ReadWrite.Directory", "RoleManagement.ReadWrite.Directory"),
            create="",
            remove=False,
            volatile=frozenset(
                {
                    *("description", "displayName", "isOrganizationDefault", "lastModifiedBy"),
                    *("lastModifiedDateTime", "scopeId", "scopeType"),
                }
            ),
            strategy=WriteStrategy.PARTS,
            after=("users", "groups"),
            names_others=frozenset({"rules.claimValue"}),
        ),
        expand=("rules",),
        filter=_DIRECTORY_ROLES,
        count=False,
        licence=_PIM,
        personal=Personal("lastModifiedBy.id", frozenset({"lastModifiedBy"})),
    ),
    ObjectType(
        name="role_management_policy_assignments",
        category=Category.ROLES,
        title="Assignment of PIM rules to a role",
        irregular_plural="Assignments of PIM rules to roles",
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
        irregular_plural="PIM rules in groups",
        path="",
        model="unified_role_management_policy_assignment",
        permissions=("RoleManagementPolicy.Read.AzureADGroup", "RoleManagement.Read.Directory"),
        restore=Restore(
            how="PATCH /policies/roleManagementPolicies/{id}; a group has its policies from its creation on",
            # Graph doc: unifiedrolemanagementpolicy-update, for PIM for groups.
            permissions=("RoleManagementPolicy.ReadWrite.AzureADGroup",),
            create="",
            remove=False,
            volatile=frozenset({"policyId", "scopeId", "scopeType"}),
            unique=("roleDefinitionId",),
            parts={"policy": ("rules",)},
            strategy=WriteStrategy.GROUP_RULES,
            after=("users", "groups"),
            names_others=frozenset({"policy.rules.claimValue"}),
        ),
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
