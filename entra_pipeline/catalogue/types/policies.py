"""The tenant's policies: what everybody may do, how they sign in, whom they work with."""

from collections.abc import Mapping

from entra_pipeline.catalogue.model import Category, LinkWrite, ObjectType, Parent, Read, Relation, Restore, kept
from entra_pipeline.catalogue.restoring import WriteMethod, WriteStrategy, protectable

_READ_POLICIES = ("Policy.Read.All",)
_CONFIGURATION = ("Policy.ReadWrite.ApplicationConfiguration",)
_CROSS_TENANT = ("Policy.ReadWrite.CrossTenantAccess",)
# What changes a property of them: part of the action's name (Entra doc: protected-actions-overview).
_CROSS_TENANT_PARTS = {
    "b2bCollaborationInbound": "b2bCollaboration",
    "b2bCollaborationOutbound": "b2bCollaboration",
    "b2bDirectConnectInbound": "b2bDirectConnect",
    "b2bDirectConnectOutbound": "b2bDirectConnect",
    "tenantRestrictions": "tenantRestrictions",
}
_MULTI_TENANT = ("MultiTenantOrganization.ReadWrite.All",)
_NAMED_BY_GRAPH = frozenset({"description", "displayName"})
_DELETED = frozenset({"deletedDateTime"})
# Of what is inbound, users and groups are the partner's.
_OUTBOUND = frozenset({"b2bCollaborationOutbound.usersAndGroups", "b2bDirectConnectOutbound.usersAndGroups"})
# What a condition set says; its id is Graph's.
_CONDITIONS = (
    "clientApplicationIds",
    "clientApplicationPublisherIds",
    "clientApplicationTenantIds",
    "clientApplicationsFromVerifiedPublisherOnly",
    "permissionClassification",
    "permissionType",
    "permissions",
    "resourceApplication",
)


def _singleton(
    name: str,
    title: str,
    path: str,
    model: str,
    *permissions: str,
    write: str,
    besides: tuple[str, ...] = (),
    change: WriteMethod = "PATCH",
    inline: tuple[str, ...] = (),
    volatile: frozenset[str] = _DELETED,
    required: tuple[str, ...] = (),
    strategy: WriteStrategy = WriteStrategy.GENERIC,
    after: tuple[str, ...] = (),
    refers: frozenset[str] = frozenset(),
    actions: Mapping[str, str] | None = None,
) -> ObjectType:
    """A policy that every tenant has exactly once."""
    return ObjectType(
        name=name,
        category=Category.POLICIES,
        title=title,
        path=path,
        model=model,
        permissions=permissions or _READ_POLICIES,
        restore=Restore(
            how=f"{change} /{path}",
            permissions=(write,),
            besides=besides,
            create="",
            change=change,
            remove=False,
            volatile=volatile,
            required=required,
            strategy=strategy,
            after=after,
            refers=refers,
            actions=actions or {},
        ),
        singleton=True,
        inline=inline,
    )


def _assigned(
    name: str, title: str, segment: str, model: str, *owners: str, required: tuple[str, ...] = ("definition",)
) -> ObjectType:
    """A policy that is assigned to applications or service principals, whose collections are `owners`."""
    paths: Mapping[str, str] = {owner.removesuffix("s"): f"{owner}/{{target}}/{segment}" for owner in owners}
    return ObjectType(
        name=name,
        category=Category.POLICIES,
        title=title,
        path=f"policies/{segment}",
        model=model,
        permissions=_READ_POLICIES,
        restore=Restore(
            how=f"POST /policies/{segment}, PATCH, assignments by reference from the application",
            permissions=_CONFIGURATION,
            volatile=_DELETED,
            required=(*required, "displayName"),
            after=("extension_properties",),
        ),
        relations=(
            Relation(
                f"{model}_applies_to",
                "appliesTo",
                Read.EACH,
                write=LinkWrite(
                    from_target=paths,
                    permissions=("Application.ReadWrite.All",),
                    besides=(*_CONFIGURATION, *_READ_POLICIES),
                ),
            ),
        ),
    )


TYPES = (
    _singleton(
        "authorization_policy",
        "Authorization policy",
        "policies/authorizationPolicy",
        "authorization_policy",
        write="Policy.ReadWrite.Authorization",
        after=("permission_grant_policies",),
    ),
    _singleton(
        "authentication_methods_policy",
        "Authentication methods policy",
        "policies/authenticationMethodsPolicy",
        "authentication_methods_policy",
        "Policy.Read.AuthenticationMethod",
        *_READ_POLICIES,
        write="Policy.ReadWrite.AuthenticationMethod",
        inline=("authenticationMethodConfigurations",),
        volatile=_NAMED_BY_GRAPH | {"lastModifiedDateTime", "policyVersion"},
        strategy=WriteStrategy.PARTS,
        after=("users", "groups"),
        refers=frozenset(
            {
                "authenticationMethodConfigurations.excludeTargets",
                "authenticationMethodConfigurations.includeTargets",
                "registrationEnforcement.authenticationMethodsRegistrationCampaign.excludeTargets",
                "registrationEnforcement.authenticationMethodsRegistrationCampaign.includeTargets",
            }
        ),
    ),
    _singleton(
        "authentication_flows_policy",
        "Authentication flows policy",
        "policies/authenticationFlowsPolicy",
        "authentication_flows_policy",
        write="Policy.ReadWrite.AuthenticationFlows",
        volatile=_NAMED_BY_GRAPH,
    ),
    _singleton(
        "federated_token_validation_policy",
        "Federated token validation policy",
        "policies/federatedTokenValidationPolicy",
        "federated_token_validation_policy",
        write="Policy.ReadWrite.FedTokenValidation",
    ),
    _singleton(
        "identity_security_defaults_enforcement_policy",
        "Security defaults",
        "policies/identitySecurityDefaultsEnforcementPolicy",
        "identity_security_defaults_enforcement_policy",
        write="Policy.ReadWrite.SecurityDefaults",
        besides=_READ_POLICIES,
        volatile=_NAMED_BY_GRAPH | _DELETED,
    ),
    _singleton(
        "admin_consent_request_policy",
        "Admin consent request policy",
        "policies/adminConsentRequestPolicy",
        "admin_consent_request_policy",
        write="Policy.ReadWrite.ConsentRequest",
        change="PUT",
        volatile=frozenset({"version"}),
        required=("isEnabled", "notifyReviewers", "remindersEnabled", "requestDurationInDays", "reviewers"),
        after=("users", "groups", "role_definitions"),
        refers=frozenset({"reviewers"}),
    ),
    _singleton(
        "device_registration_policy",
        "Device registration policy",
        "policies/deviceRegistrationPolicy",
        "device_registration_policy",
        "Policy.Read.DeviceConfiguration",
        write="Policy.ReadWrite.DeviceConfiguration",
        change="PUT",
        volatile=_NAMED_BY_GRAPH,
        required=(
            "azureADJoin",
            "azureADRegistration",
            "localAdminPassword",
            "multiFactorAuthConfiguration",
            "userDeviceQuota",
        ),
        after=("users", "groups"),
        refers=frozenset({"azureADJoin", "azureADRegistration"}),
    ),
    _singleton(
        "default_app_management_policy",
        "App management policy of the tenant",
        "policies/defaultAppManagementPolicy",
        "tenant_app_management_policy",
        write=_CONFIGURATION[0],
        volatile=_NAMED_BY_GRAPH | _DELETED,
    ),
    _singleton(
        "cross_tenant_access_policy",
        "Cross-tenant access policy",
        "policies/crossTenantAccessPolicy",
        "cross_tenant_access_policy",
        write=_CROSS_TENANT[0],
        volatile=_NAMED_BY_GRAPH | _DELETED | {"partners"},
        actions=protectable("crossTenantAccessPolicy", allowedCloudEndpoints="allowedCloudEndpoints"),
    ),
    _singleton(
        "cross_tenant_access_policy_default",
        "Cross-tenant access for all tenants",
        "policies/crossTenantAccessPolicy/default",
        "cross_tenant_access_policy_configuration_default",
        write=_CROSS_TENANT[0],
        volatile=frozenset({"automaticUserConsentSettings", "isServiceDefault"}),
        actions=protectable("crossTenantAccessPolicy/default", **_CROSS_TENANT_PARTS),
        after=("users", "groups", "service_principals"),
        refers=_OUTBOUND,
    ),
    ObjectType(
        name="cross_tenant_access_policy_partners",
        category=Category.POLICIES,
        title="Cross-tenant access for a partner tenant",
        irregular_plural="Cross-tenant access for partner tenants",
        path="policies/crossTenantAccessPolicy/partners",
        model="cross_tenant_access_policy_configuration_partner",
        permissions=_READ_POLICIES,
        restore=Restore(
            how="POST /policies/crossTenantAccessPolicy/partners, PATCH",
            permissions=_CROSS_TENANT,
            volatile=frozenset({"identitySynchronization", "isInMultiTenantOrganization"}),
            create_only=frozenset({"tenantId"}),
            required=("tenantId",),
            actions=protectable("crossTenantAccessPolicy/partners", "create", "delete", **_CROSS_TENANT_PARTS),
            after=("users", "groups", "service_principals"),
            refers=_OUTBOUND,
        ),
        key="tenantId",
        identity=("tenantId",),
    ),
    _singleton(
        "multi_tenant_organization_partner_configuration_template",
        "Cross-tenant access for partners in a multitenant organization",
        "policies/crossTenantAccessPolicy/templates/multiTenantOrganizationPartnerConfiguration",
        "multi_tenant_organization_partner_configuration_template",
        "MultiTenantOrganization.Read.All",
        write=_MULTI_TENANT[0],
        volatile=frozenset(),
    ),
    _singleton(
        "multi_tenant_organization_identity_sync_policy_template",
        "Identity synchronisation in a multitenant organization",
        "policies/crossTenantAccessPolicy/templates/multiTenantOrganizationIdentitySynchronization",
        "multi_tenant_organization_identity_sync_policy_template",
        "MultiTenantOrganization.Read.All",
        write=_MULTI_TENANT[0],
        volatile=frozenset(),
    ),
    ObjectType(
        name="multi_tenant_organization",
        category=Category.POLICIES,
        title="Multitenant organization",
        path="tenantRelationships/multiTenantOrganization",
        model="multi_tenant_organization",
        permissions=("MultiTenantOrganization.Read.All",),
        restore=Restore(
            how="PUT /tenantRelationships/multiTenantOrganization by its owner; another tenant joins again",
            permissions=_MULTI_TENANT,
            create="PUT",
            remove=False,
            volatile=frozenset({"createdDateTime", "state"}),
            required=("displayName",),
        ),
        singleton=True,
        may_be_absent=True,
    ),
    ObjectType(
        name="multi_tenant_organization_members",
        category=Category.POLICIES,
        title="Tenant of a multitenant organization",
        irregular_plural="Tenants of a multitenant organization",
        path="",
        model="multi_tenant_organization_member",
        permissions=("MultiTenantOrganization.Read.All",),
        restore=Restore(
            how="POST to tenants of the multitenant organization, which each has to join again",
            permissions=_MULTI_TENANT,
            volatile=frozenset(
                {
                    "addedByTenantId",
                    "addedDateTime",
                    "deletedDateTime",
                    "joinedDateTime",
                    "state",
                    "transitionDetails",
                }
            ),
            create_only=frozenset({"tenantId"}),
            required=("tenantId",),
            lost=("consent of the tenant that joins",),
        ),
        key="tenantId",
        parent=Parent(
            "multi_tenant_organization",
            "tenants",
            Read.EACH,
            path="tenantRelationships/multiTenantOrganization/tenants",
        ),
        identity=("displayName", "tenantId"),
    ),
    ObjectType(
        name="cross_tenant_identity_sync_policies",
        category=Category.POLICIES,
        title="Identity synchronisation from a partner tenant",
        irregular_plural="Identity synchronisation from partner tenants",
        path="",
        model="cross_tenant_identity_sync_policy_partner",
        permissions=_READ_POLICIES,
        restore=Restore(
            how="PUT identitySynchronization of the partner",
            permissions=_CROSS_TENANT,
            create="PUT",
            # Graph doc: crosstenantaccesspolicyconfigurationpartner-delete.
            removed_first=True,
            volatile=frozenset({"tenantId"}),
            required=("userSyncInbound",),
        ),
        key="tenantId",
        parent=Parent("cross_tenant_access_policy_partners", "identitySynchronization", Read.EACH, many=False),
    ),
    ObjectType(
        name="permission_grant_policies",
        category=Category.POLICIES,
        title="Permission grant policy",
        path="policies/permissionGrantPolicies",
        model="permission_grant_policy",
        permissions=("Policy.Read.PermissionGrant",),
        restore=Restore(
            how="POST /policies/permissionGrantPolicies with the same id, then includes and excludes; microsoft-*: "
            "fixed",
            permissions=("Policy.ReadWrite.PermissionGrant",),
            volatile=_DELETED,
            change_only=frozenset({"excludes", "includes"}),
            required=("displayName", "id"),
            parts={"excludes": _CONDITIONS, "includes": _CONDITIONS},
            fixed="raw->>'$.id' LIKE 'microsoft-%'",
            strategy=WriteStrategy.PARTS,
            after=("service_principals",),
        ),
        inline=("includes", "excludes"),
        identity=("id", "displayName"),
    ),
    # Which of them applications take, and which service principals: Graph doc, the policies' "Assign" pages.
    _assigned(
        "claims_mapping_policies",
        "Claims mapping policy",
        "claimsMappingPolicies",
        "claims_mapping_policy",
        "servicePrincipals",
    ),
    _assigned(
        "home_realm_discovery_policies",
        "Home realm discovery policy",
        "homeRealmDiscoveryPolicies",
        "home_realm_discovery_policy",
        "servicePrincipals",
    ),
    _assigned(
        "token_issuance_policies",
        "Token issuance policy",
        "tokenIssuancePolicies",
        "token_issuance_policy",
        "applications",
        "servicePrincipals",
    ),
    _assigned(
        "token_lifetime_policies",
        "Token lifetime policy",
        "tokenLifetimePolicies",
        "token_lifetime_policy",
        "applications",
        "servicePrincipals",
    ),
    _assigned(
        "app_management_policies",
        "App management policy",
        "appManagementPolicies",
        "app_management_policy",
        "applications",
        "servicePrincipals",
        required=("restrictions",),
    ),
    ObjectType(
        name="activity_based_timeout_policies",
        category=Category.POLICIES,
        title="Activity-based timeout policy",
        path="policies/activityBasedTimeoutPolicies",
        model="activity_based_timeout_policy",
        permissions=_READ_POLICIES,
        restore=Restore(
            how="POST /policies/activityBasedTimeoutPolicies, PATCH",
            permissions=_CONFIGURATION,
            volatile=_DELETED,
            required=("definition", "displayName"),
        ),
    ),
    ObjectType(
        name="ownerless_group_policy",
        category=Category.POLICIES,
        title="Policy for groups without owners",
        path="policies/ownerlessGroupPolicy",
        model="ownerless_group_policy",
        permissions=("Policy.Read.All",),
        restore=kept("Graph offers it to a signed-in user only"),
        singleton=True,
        may_be_absent=True,
        delegated=True,
    ),
    ObjectType(
        name="feature_rollout_policies",
        category=Category.POLICIES,
        title="Staged rollout of a feature",
        irregular_plural="Staged rollouts of features",
        path="policies/featureRolloutPolicies",
        model="feature_rollout_policy",
        permissions=("Directory.Read.All",),
        restore=kept("Graph offers it to a signed-in user only"),
        delegated=True,
    ),
)
