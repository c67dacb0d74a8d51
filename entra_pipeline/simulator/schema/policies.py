"""Policies of the tenant as a whole, and those that applications are tied to."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet, LinkKind, NavigationProperty

_POLICY = ("Policy.Read.All",)
_APPLICATION_CONFIGURATION = ("Policy.Read.All", "Policy.ReadWrite.ApplicationConfiguration")
_MULTI_TENANT = ("MultiTenantOrganization.Read.All", "MultiTenantOrganization.ReadWrite.All")
_SERVER_MADE = frozenset(["id", "deletedDateTime"])


def _singleton(
    name: str, path: str, model: str, read: tuple[str, ...], write: str, *, fixed: tuple[str, ...] = (), **more: object
) -> EntitySet:
    return EntitySet(
        name,
        path,
        model,
        (*read, write),
        (write,),
        singleton=True,
        create=False,
        delete=False,
        read_only=frozenset(["id", "deletedDateTime", *fixed]),
        **more,  # type: ignore[arg-type]
    )


def _assigned(name: str, segment: str, model: str, code: LinkKind) -> EntitySet:
    """Returns a policy that applications and service principals point to."""
    return EntitySet(
        name,
        f"policies/{segment}",
        model,
        _APPLICATION_CONFIGURATION,
        ("Policy.ReadWrite.ApplicationConfiguration",),
        relations=(NavigationProperty("appliesTo", (code,), inverse=True),),
        required=("displayName",),
        read_only=_SERVER_MADE,
    )


SETS: tuple[EntitySet, ...] = (
    _singleton(
        "authorizationPolicy",
        "policies/authorizationPolicy",
        "authorization_policy",
        _POLICY,
        "Policy.ReadWrite.Authorization",
    ),
    _singleton(
        "authenticationMethodsPolicy",
        "policies/authenticationMethodsPolicy",
        "authentication_methods_policy",
        ("Policy.Read.AuthenticationMethod", *_POLICY),
        "Policy.ReadWrite.AuthenticationMethod",
        inline=(("authenticationMethodConfigurations", "authentication_method_configuration"),),
        fixed=("authenticationMethodConfigurations",),
    ),
    _singleton(
        "authenticationFlowsPolicy",
        "policies/authenticationFlowsPolicy",
        "authentication_flows_policy",
        _POLICY,
        "Policy.ReadWrite.AuthenticationFlows",
    ),
    _singleton(
        "federatedTokenValidationPolicy",
        "policies/federatedTokenValidationPolicy",
        "federated_token_validation_policy",
        _POLICY,
        "Policy.ReadWrite.FedTokenValidation",
    ),
    _singleton(
        "identitySecurityDefaultsEnforcementPolicy",
        "policies/identitySecurityDefaultsEnforcementPolicy",
        "identity_security_defaults_enforcement_policy",
        _POLICY,
        "Policy.ReadWrite.SecurityDefaults",
    ),
    _singleton(
        "adminConsentRequestPolicy",
        "policies/adminConsentRequestPolicy",
        "admin_consent_request_policy",
        _POLICY,
        "Policy.ReadWrite.ConsentRequest",
        changes=("PUT",),
        anonymous=True,
    ),
    _singleton(
        "deviceRegistrationPolicy",
        "policies/deviceRegistrationPolicy",
        "device_registration_policy",
        ("Policy.Read.DeviceConfiguration",),
        "Policy.ReadWrite.DeviceConfiguration",
        changes=("PATCH", "PUT"),
    ),
    _singleton(
        "tenantAppManagementPolicy",
        "policies/defaultAppManagementPolicy",
        "tenant_app_management_policy",
        _APPLICATION_CONFIGURATION,
        "Policy.ReadWrite.ApplicationConfiguration",
    ),
    _singleton(
        "crossTenantAccessPolicy",
        "policies/crossTenantAccessPolicy",
        "cross_tenant_access_policy",
        _POLICY,
        "Policy.ReadWrite.CrossTenantAccess",
        navigation=("partners",),
    ),
    _singleton(
        "crossTenantAccessPolicyConfigurationDefault",
        "policies/crossTenantAccessPolicy/default",
        "cross_tenant_access_policy_configuration_default",
        _POLICY,
        "Policy.ReadWrite.CrossTenantAccess",
        anonymous=True,
        fixed=("isServiceDefault",),
    ),
    EntitySet(
        "crossTenantAccessPolicyConfigurationPartner",
        "policies/crossTenantAccessPolicy/partners",
        "cross_tenant_access_policy_configuration_partner",
        _POLICY,
        ("Policy.ReadWrite.CrossTenantAccess",),
        key="tenantId",
        relations=(
            NavigationProperty(
                "identitySynchronization",
                (LinkKind.IDENTITY_SYNC,),
                many=False,
                part="crossTenantIdentitySyncPolicyPartner",
            ),
        ),
        required=("tenantId",),
        immutable=frozenset(["tenantId"]),
    ),
    EntitySet(
        "crossTenantIdentitySyncPolicyPartner",
        "",
        "cross_tenant_identity_sync_policy_partner",
        _POLICY,
        ("Policy.ReadWrite.CrossTenantAccess",),
        key="tenantId",
        read_only=frozenset(["tenantId"]),
        changes=("PATCH", "PUT"),
        upsert=("PUT",),
    ),
    *(
        _singleton(
            name,
            f"policies/crossTenantAccessPolicy/templates/{segment}",
            model,
            _MULTI_TENANT[:1],
            _MULTI_TENANT[1],
        )
        for name, segment, model in (
            (
                "multiTenantOrganizationPartnerConfigurationTemplate",
                "multiTenantOrganizationPartnerConfiguration",
                "multi_tenant_organization_partner_configuration_template",
            ),
            (
                "multiTenantOrganizationIdentitySyncPolicyTemplate",
                "multiTenantOrganizationIdentitySynchronization",
                "multi_tenant_organization_identity_sync_policy_template",
            ),
        )
    ),
    _singleton(
        "multiTenantOrganization",
        "tenantRelationships/multiTenantOrganization",
        "multi_tenant_organization",
        _MULTI_TENANT[:1],
        _MULTI_TENANT[1],
        fixed=("createdDateTime", "state"),
        upsert=("PUT",),
        changes=("PATCH", "PUT"),
    ),
    EntitySet(
        "multiTenantOrganizationMember",
        "tenantRelationships/multiTenantOrganization/tenants",
        "multi_tenant_organization_member",
        _MULTI_TENANT,
        _MULTI_TENANT[1:],
        key="tenantId",
        required=("tenantId",),
        immutable=frozenset(["tenantId"]),
        read_only=frozenset(["addedByTenantId", "addedDateTime", "joinedDateTime", "state", "transitionDetails"]),
    ),
    EntitySet(
        "ownerlessGroupPolicy",
        "policies/ownerlessGroupPolicy",
        "ownerless_group_policy",
        _POLICY,
        singleton=True,
        delegated=True,
    ),
    EntitySet(
        "permissionGrantPolicy",
        "policies/permissionGrantPolicies",
        "permission_grant_policy",
        ("Policy.Read.PermissionGrant", "Policy.ReadWrite.PermissionGrant"),
        ("Policy.ReadWrite.PermissionGrant",),
        inline=(("includes", "permission_grant_condition_set"), ("excludes", "permission_grant_condition_set")),
        required=("id", "displayName"),
        immutable=frozenset(["id"]),
        read_only=frozenset(["deletedDateTime", "includes", "excludes"]),
    ),
    _assigned("claimsMappingPolicy", "claimsMappingPolicies", "claims_mapping_policy", LinkKind.CLAIMS_MAPPING),
    _assigned(
        "homeRealmDiscoveryPolicy", "homeRealmDiscoveryPolicies", "home_realm_discovery_policy", LinkKind.HOME_REALM
    ),
    _assigned("tokenIssuancePolicy", "tokenIssuancePolicies", "token_issuance_policy", LinkKind.TOKEN_ISSUANCE),
    _assigned("tokenLifetimePolicy", "tokenLifetimePolicies", "token_lifetime_policy", LinkKind.TOKEN_LIFETIME),
    _assigned("appManagementPolicy", "appManagementPolicies", "app_management_policy", LinkKind.APP_MANAGEMENT),
    EntitySet(
        "activityBasedTimeoutPolicy",
        "policies/activityBasedTimeoutPolicies",
        "activity_based_timeout_policy",
        _APPLICATION_CONFIGURATION,
        ("Policy.ReadWrite.ApplicationConfiguration",),
        required=("displayName", "definition"),
        read_only=_SERVER_MADE,
    ),
    EntitySet(
        "featureRolloutPolicy",
        "policies/featureRolloutPolicies",
        "feature_rollout_policy",
        ("Directory.Read.All",),
        delegated=True,
    ),
    EntitySet(
        "authenticationContextClassReference",
        "identity/conditionalAccess/authenticationContextClassReferences",
        "authentication_context_class_reference",
        ("AuthenticationContext.Read.All", "AuthenticationContext.ReadWrite.All", "Policy.Read.ConditionalAccess"),
        ("AuthenticationContext.ReadWrite.All", "Policy.ReadWrite.ConditionalAccess"),
        required=("id", "displayName"),
        immutable=frozenset(["id"]),
        upsert=("PATCH",),
    ),
    EntitySet(
        "agreement",
        "identityGovernance/termsOfUse/agreements",
        "agreement",
        ("Agreement.Read.All", "Agreement.ReadWrite.All"),
        delegated=True,
    ),
)
