"""Identity governance: entitlement management, access reviews, lifecycle workflows."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet, LinkKind, NavigationProperty

_ENTITLEMENT = ("EntitlementManagement.Read.All", "EntitlementManagement.ReadWrite.All")
_REVIEWS = ("AccessReview.Read.All", "AccessReview.ReadWrite.All")
_WORKFLOWS = (
    "LifecycleWorkflows-Workflow.Read.All",
    "LifecycleWorkflows.Read.All",
    "LifecycleWorkflows.ReadWrite.All",
)
_EXTENSIONS = ("LifecycleWorkflows-CustomExt.Read.All", *_WORKFLOWS[1:])
_SERVER_MADE = frozenset(["id", "createdDateTime", "modifiedDateTime"])
_ROOT = "identityGovernance/entitlementManagement"


def _entitlement(name: str, segment: str, model: str, **more: object) -> EntitySet:
    return EntitySet(
        name,
        f"{_ROOT}/{segment}" if segment else "",
        model,
        _ENTITLEMENT,
        _ENTITLEMENT[1:],
        licensed=True,
        read_only=_SERVER_MADE,
        **more,  # type: ignore[arg-type]
    )


SETS: tuple[EntitySet, ...] = (
    _entitlement(
        "accessPackageCatalog",
        "catalogs",
        "access_package_catalog",
        relations=(
            NavigationProperty("resources", (LinkKind.CATALOG_RESOURCES,), part="accessPackageResource"),
            NavigationProperty(
                "customWorkflowExtensions", (LinkKind.CATALOG_EXTENSIONS,), part="customCalloutExtension"
            ),
        ),
        required=("displayName",),
    ),
    _entitlement(
        "accessPackageResource",
        "",
        "access_package_resource",
        expandable=("roles", "scopes"),
        create=False,
        update=False,
        delete=False,
    ),
    _entitlement(
        "accessPackageResourceRequest",
        "resourceRequests",
        "access_package_resource_request",
        required=("requestType", "resource", "catalog"),
        update=False,
        delete=False,
    ),
    _entitlement(
        "accessPackageAssignmentRequest",
        "assignmentRequests",
        "access_package_assignment_request",
        required=("requestType", "assignment"),
        update=False,
        delete=False,
    ),
    _entitlement(
        "customCalloutExtension",
        "",
        "custom_callout_extension",
        subtypes=(
            "access_package_assignment_request_workflow_extension",
            "access_package_assignment_workflow_extension",
        ),
        required=("displayName",),
    ),
    _entitlement(
        "accessPackage",
        "accessPackages",
        "access_package",
        relations=(
            NavigationProperty(
                "incompatibleAccessPackages", (LinkKind.INCOMPATIBLE_PACKAGES,), targets=("accessPackage",)
            ),
            NavigationProperty("incompatibleGroups", (LinkKind.INCOMPATIBLE_GROUPS,), targets=("group",)),
        ),
        expandable=("catalog", "resourceRoleScopes"),
        required=("displayName", "catalog"),
    ),
    _entitlement(
        "accessPackageAssignmentPolicy",
        "assignmentPolicies",
        "access_package_assignment_policy",
        expandable=("accessPackage", "catalog", "customExtensionStageSettings", "questions"),
        required=("displayName", "accessPackage"),
        changes=("PUT",),
    ),
    _entitlement(
        "accessPackageAssignment",
        "assignments",
        "access_package_assignment",
        expandable=("accessPackage", "assignmentPolicy", "target"),
        create=False,
        update=False,
        delete=False,
    ),
    _entitlement(
        "connectedOrganization",
        "connectedOrganizations",
        "connected_organization",
        relations=(
            NavigationProperty("internalSponsors", (LinkKind.INTERNAL_SPONSORS,), targets=("user", "group")),
            NavigationProperty("externalSponsors", (LinkKind.EXTERNAL_SPONSORS,), targets=("user", "group")),
        ),
        required=("displayName",),
    ),
    _entitlement(
        "entitlementManagementSettings",
        "settings",
        "entitlement_management_settings",
        singleton=True,
        create=False,
        delete=False,
    ),
    EntitySet(
        "entitlementRoleDefinition",
        "roleManagement/entitlementManagement/roleDefinitions",
        "unified_role_definition",
        ("RoleManagement.Read.All", "EntitlementManagement.Read.All"),
        licensed=True,
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "entitlementRoleAssignment",
        "roleManagement/entitlementManagement/roleAssignments",
        "unified_role_assignment",
        ("EntitlementManagement.Read.All", "EntitlementManagement.ReadWrite.All", "RoleManagement.Read.Directory"),
        ("EntitlementManagement.ReadWrite.All",),
        licensed=True,
        required=("principalId", "roleDefinitionId", "appScopeId"),
        read_only=frozenset(["id"]),
        update=False,
    ),
    EntitySet(
        "accessReviewScheduleDefinition",
        "identityGovernance/accessReviews/definitions",
        "access_review_schedule_definition",
        _REVIEWS,
        _REVIEWS[1:],
        licensed=True,
        largest_page=100,
        relations=(NavigationProperty("instances", (LinkKind.REVIEW_INSTANCES,), part="accessReviewInstance"),),
        required=("displayName", "scope"),
        changes=("PUT",),
        read_only=frozenset(["id", "createdDateTime", "lastModifiedDateTime", "status", "createdBy"]),
    ),
    EntitySet(
        "accessReviewInstance",
        "",
        "access_review_instance",
        _REVIEWS,
        _REVIEWS[1:],
        licensed=True,
        largest_page=100,
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "workflow",
        "identityGovernance/lifecycleWorkflows/workflows",
        "identity_governance.workflow",
        _WORKFLOWS,
        _WORKFLOWS[2:],
        bin="identityGovernance/lifecycleWorkflows/deletedItems/workflows",
        inline=(("tasks", "identity_governance.task"),),
        navigation=("versions",),
        list_hides=frozenset(["tasks", "executionConditions"]),
        licensed=True,
        required=("category", "displayName", "executionConditions", "tasks"),
        read_only=frozenset(["id", "createdDateTime", "lastModifiedDateTime", "version", "nextScheduleRunDateTime"]),
    ),
    EntitySet(
        "customTaskExtension",
        "identityGovernance/lifecycleWorkflows/customTaskExtensions",
        "identity_governance.custom_task_extension",
        _EXTENSIONS,
        _WORKFLOWS[2:],
        licensed=True,
        required=("displayName",),
        read_only=frozenset(["id", "createdDateTime", "lastModifiedDateTime"]),
    ),
    EntitySet(
        "lifecycleManagementSettings",
        "identityGovernance/lifecycleWorkflows/settings",
        "identity_governance.lifecycle_management_settings",
        _WORKFLOWS[1:],
        _WORKFLOWS[2:],
        licensed=True,
        singleton=True,
        create=False,
        delete=False,
        read_only=frozenset(["id"]),
    ),
)
