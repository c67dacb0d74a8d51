"""The tenant's policies: what everybody may do, how they sign in, whom they work with."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Read, Relation, kept, restored

_READ_POLICIES = ("Policy.Read.All",)


def _singleton(
    name: str,
    title: str,
    path: str,
    model: str,
    *permissions: str,
    how: str = "PATCH",
    inline: tuple[str, ...] = (),
) -> ObjectType:
    """A policy that every tenant has exactly once."""
    return ObjectType(
        name=name,
        category=Category.POLICIES,
        title=title,
        path=path,
        model=model,
        permissions=permissions or _READ_POLICIES,
        restore=restored(f"{how} /{path}"),
        singleton=True,
        inline=inline,
    )


def _assigned(name: str, title: str, segment: str, model: str) -> ObjectType:
    """A policy that is assigned to applications and service principals."""
    return ObjectType(
        name=name,
        category=Category.POLICIES,
        title=title,
        path=f"policies/{segment}",
        model=model,
        permissions=_READ_POLICIES,
        restore=restored(f"POST /policies/{segment}, PATCH, assignments by reference from the application"),
        relations=(Relation(f"{model}_applies_to", "appliesTo", Read.EACH),),
    )


TYPES = (
    _singleton("authorization_policy", "Authorization policy", "policies/authorizationPolicy", "authorization_policy"),
    _singleton(
        "authentication_methods_policy",
        "Authentication methods policy",
        "policies/authenticationMethodsPolicy",
        "authentication_methods_policy",
        "Policy.Read.AuthenticationMethod",
        *_READ_POLICIES,
        inline=("authenticationMethodConfigurations",),
    ),
    _singleton(
        "authentication_flows_policy",
        "Authentication flows policy",
        "policies/authenticationFlowsPolicy",
        "authentication_flows_policy",
    ),
    _singleton(
        "federated_token_validation_policy",
        "Federated token validation policy",
        "policies/federatedTokenValidationPolicy",
        "federated_token_validation_policy",
    ),
    _singleton(
        "identity_security_defaults_enforcement_policy",
        "Security defaults",
        "policies/identitySecurityDefaultsEnforcementPolicy",
        "identity_security_defaults_enforcement_policy",
    ),
    _singleton(
        "admin_consent_request_policy",
        "Admin consent request policy",
        "policies/adminConsentRequestPolicy",
        "admin_consent_request_policy",
        how="PUT",
    ),
    _singleton(
        "device_registration_policy",
        "Device registration policy",
        "policies/deviceRegistrationPolicy",
        "device_registration_policy",
        "Policy.Read.DeviceConfiguration",
        how="PUT",
    ),
    _singleton(
        "default_app_management_policy",
        "App management policy of the tenant",
        "policies/defaultAppManagementPolicy",
        "tenant_app_management_policy",
    ),
    _singleton(
        "cross_tenant_access_policy",
        "Cross-tenant access policy",
        "policies/crossTenantAccessPolicy",
        "cross_tenant_access_policy",
    ),
    _singleton(
        "cross_tenant_access_policy_default",
        "Cross-tenant access for all tenants",
        "policies/crossTenantAccessPolicy/default",
        "cross_tenant_access_policy_configuration_default",
    ),
    ObjectType(
        name="cross_tenant_access_policy_partners",
        category=Category.POLICIES,
        title="Cross-tenant access for a partner tenant",
        path="policies/crossTenantAccessPolicy/partners",
        model="cross_tenant_access_policy_configuration_partner",
        permissions=_READ_POLICIES,
        restore=restored("POST /policies/crossTenantAccessPolicy/partners, PATCH"),
        key="tenantId",
        identity=("tenantId",),
    ),
    _singleton(
        "multi_tenant_organization_partner_configuration_template",
        "Cross-tenant access for partners in a multitenant organization",
        "policies/crossTenantAccessPolicy/templates/multiTenantOrganizationPartnerConfiguration",
        "multi_tenant_organization_partner_configuration_template",
        "MultiTenantOrganization.Read.All",
    ),
    _singleton(
        "multi_tenant_organization_identity_sync_policy_template",
        "Identity synchronisation in a multitenant organization",
        "policies/crossTenantAccessPolicy/templates/multiTenantOrganizationIdentitySynchronization",
        "multi_tenant_organization_identity_sync_policy_template",
        "MultiTenantOrganization.Read.All",
    ),
    ObjectType(
        name="multi_tenant_organization",
        category=Category.POLICIES,
        title="Multitenant organization",
        path="tenantRelationships/multiTenantOrganization",
        model="multi_tenant_organization",
        permissions=("MultiTenantOrganization.Read.All",),
        restore=restored("PUT /tenantRelationships/multiTenantOrganization by its owner; another tenant joins again"),
        singleton=True,
    ),
    ObjectType(
        name="multi_tenant_organization_members",
        category=Category.POLICIES,
        title="Tenant of a multitenant organization",
        path="",
        model="multi_tenant_organization_member",
        permissions=("MultiTenantOrganization.Read.All",),
        restore=restored("POST to tenants of the multitenant organization, which each has to join again"),
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
        path="",
        model="cross_tenant_identity_sync_policy_partner",
        permissions=_READ_POLICIES,
        restore=restored("PUT identitySynchronization of the partner"),
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
        restore=restored(
            "POST /policies/permissionGrantPolicies with the same id, then includes and excludes; microsoft-*: fixed"
        ),
        inline=("includes", "excludes"),
        identity=("id", "displayName"),
    ),
    _assigned("claims_mapping_policies", "Claims mapping policy", "claimsMappingPolicies", "claims_mapping_policy"),
    _assigned(
        "home_realm_discovery_policies",
        "Home realm discovery policy",
        "homeRealmDiscoveryPolicies",
        "home_realm_discovery_policy",
    ),
    _assigned("token_issuance_policies", "Token issuance policy", "tokenIssuancePolicies", "token_issuance_policy"),
    _assigned("token_lifetime_policies", "Token lifetime policy", "tokenLifetimePolicies", "token_lifetime_policy"),
    _assigned("app_management_policies", "App management policy", "appManagementPolicies", "app_management_policy"),
    ObjectType(
        name="activity_based_timeout_policies",
        category=Category.POLICIES,
        title="Activity-based timeout policy",
        path="policies/activityBasedTimeoutPolicies",
        model="activity_based_timeout_policy",
        permissions=_READ_POLICIES,
        restore=restored("POST /policies/activityBasedTimeoutPolicies, PATCH"),
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
        delegated=True,
    ),
    ObjectType(
        name="feature_rollout_policies",
        category=Category.POLICIES,
        title="Staged rollout of a feature",
        path="policies/featureRolloutPolicies",
        model="feature_rollout_policy",
        permissions=("Directory.Read.All",),
        restore=kept("Graph offers it to a signed-in user only"),
        delegated=True,
    ),
)
